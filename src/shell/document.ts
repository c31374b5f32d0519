#!/usr/bin/env node
// Writes SHELL.md from the table of verbs: one source, so that the reference cannot drift. A test compares the two;
// `npm run docs` mends a difference.
import { writeFileSync } from "node:fs";
import { HISTORY_LINES } from "./history.js";
import type { Verb } from "./verb.js";
import { VERBS } from "./verb-table.js";

/** The whole document. */
export function shellDocument(): string {
  return `${HEAD}
## Verbs

| verb | who | what |
|---|---|---|
${VERBS.map((verb) => `| [\`${verb.words}\`](#${anchor(synopsis(verb))}) | ${verb.role} | ${verb.help} |`).join("\n")}

${VERBS.map(section).join("\n\n")}

${TAIL}`;
}

function synopsis({ words, args = [], options = [], confirm }: Verb): string {
  const given = args.map(({ name, optional }) => (optional === true ? `[${name}]` : `<${name}>`));
  const more = options.map(({ name, value }) => (value === undefined ? `[--${name}]` : `[--${name} <${value}>]`));
  return ["gantry", words, ...given, ...more, ...(confirm === undefined ? [] : ["--confirm <name>"])].join(" ");
}

/** As GitHub makes them of headings. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .replaceAll(" ", "-");

function section(verb: Verb): string {
  const { help, detail, args = [], options = [], confirm, columns } = verb;
  const rows = [
    ...args.map(
      ({ name, help: meaning, optional }) => `- \`${name}\`: ${meaning}${optional === true ? ", or none" : ""}`,
    ),
    ...options.map(
      ({ name, value, help: meaning }) => `- \`--${name}${value === undefined ? "" : ` ${value}`}\`: ${meaning}`,
    ),
    ...(confirm === undefined
      ? []
      : [`- \`--confirm name\`: the name of the ${confirm} once more; the interactive shell asks for it`]),
  ];
  const shown =
    columns === undefined
      ? []
      : [`Columns: ${columns.map((column) => `\`${column}\``).join(", ")}; everything is in \`--json\`.`];
  const first = `${help[0]?.toUpperCase()}${help.slice(1)}.`;
  const parts = [
    `### \`${synopsis(verb)}\``,
    first,
    ...(detail === undefined ? [] : [detail]),
    rows.join("\n"),
    ...shown,
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

const HEAD = `# The shell

\`gantry\` shows and steers the \`gantryd\` of the same machine, over a local socket: at a serial console, over SSH, or from
a script. It needs neither the network nor the broker. It uses the words of the SCSI standards: sense keys, additional
sense codes, statuses and pages are spelled out.

## Synopsis

    gantry [--socket PATH] [--role ROLE] [--json] VERB [ARGUMENT …]   one verb
    gantry                                                           at a terminal: interactive
    gantry < FILE                                                    one command a line

| option | meaning |
|---|---|
| \`--json\` | The answer as one JSON value, errors as \`{"error":{"code","message"}}\`; for scripts. Numbers of more than 53 bits are text. |
| \`--socket PATH\` | The daemon's socket; default \`$GANTRY_SOCKET\`, else \`/var/lib/gantry/gantry.sock\`. |
| \`--look-socket PATH\` | That of technicians; default \`gantry-look.sock\` beside the other. |
| \`--role ROLE\` | \`technician\` or \`administrator\`: use that one's socket only. |
| \`--version\`, \`--help\` | |

Exit codes: 0 done; 1 refused, or what was looked at is not in order; 2 wrong use, or a confirmation is missing; 3 the
daemon cannot be asked; 130 interrupted. Commands from the input are all tried, and the exit code is the highest of theirs.
The codes of errors are in [ERRORS.md](ERRORS.md).

## Roles

A *technician* looks and runs self-tests. An *administrator* changes things, too. The daemon decides who is who: it has two
sockets, and whoever may open one has its role (\`[shell]\` in [CONFIGURATION.md](CONFIGURATION.md)). \`gantry\` tries that of
administrators first. What is for administrators is refused to a technician with \`SHELL_ROLE\`.

A verb that takes something from somebody wants the name of what it hits once more: \`--confirm NAME\`; the interactive
shell asks for it.

## The interactive shell

The prompt says which bridge it is, as what one is there (\`admin\`, \`tech\`), and \`(broker away)\` while the broker cannot be
reached; since when is told once, and by \`show system\`.

| key | what it does |
|---|---|
| Tab | completes words, options, names of devices, cartridges, jobs, initiators and files; twice: shows what there is |
| up, down, Ctrl-R … | the lines before, as in other shells; the last ${HISTORY_LINES} are kept in \`~/.local/state/gantry/history\`, or in memory where that cannot be written |
| Ctrl-C | ends the verb that runs, or empties the line; never the shell |
| Ctrl-D, \`exit\` | leaves |
| \`?\`, \`help\` | the verbs; \`show ?\` those that begin with \`show\` |

An answer that is higher than the screen stops at \`-- more --\`: space for the next page, Enter for a line, \`q\` for no
more. A serial line that does not say its size has 24 lines of 80 columns (\`stty rows 50 cols 132\` tells another). There is
no colour. Lines that change in place are written from where they differ, every 2 seconds at most and with no more than a
tenth of what the line carries (\`stty speed\`); on a terminal that says \`TERM=dumb\` each is a line of its own. Completion
and the lines before need a terminal that is not dumb.

For bash: \`source <(gantry completion bash)\`.
`;

const TAIL = `## Examples

    gantry show devices --json | jq -r '.[] | select(.problem) | .name'
    gantry show job nightly-17 --watch
    gantry reservation clear tape0 --confirm tape0
    gantry trace on iqn.2024-01.com.example:host7 --seconds 60
    gantry trace show --file /tmp/host7.pcap
    gantry self-test || gantry support bundle /tmp/bundle.tar
    printf 'show system\\nshow reservations\\n' | gantry
`;

if (import.meta.filename === process.argv[1]) writeFileSync("SHELL.md", shellDocument());
