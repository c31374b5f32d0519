#!/usr/bin/env node
// gantry: asks the daemon on this machine, over its local socket. With words it does that one thing; without, it is a
// shell for people, or takes commands from its input, one a line. --json for scripts. Exit codes: 0 done, 1 refused or
// failed, 2 wrong use, 3 the daemon cannot be asked, 130 interrupted.
import { createInterface } from "node:readline";
import { Command } from "commander";
import { Asker, EXIT } from "./ask.js";
import type { Client } from "./client.js";
import { completions } from "./complete.js";
import { COMPLETE } from "./completion-script.js";
import { InteractiveShell, namesOf } from "./interactive.js";
import { hungUp, leave } from "./leave.js";
import { LEAVE, runLine } from "./lines.js";
import { programOf } from "./program.js";
import { runVerb } from "./run-verb.js";
import { terminalOf } from "./terminal.js";
import { ROLES, type Role } from "./verb.js";
import { handOver } from "./xcopy.js";

interface Globals {
  readonly socket: string;
  readonly lookSocket?: string;
  readonly role?: Role;
  readonly json?: boolean;
}

const DESCRIPTION = `Shows and steers the gantryd of this machine, over its local socket. Without a command: a shell,
or commands from the input, one a line. SHELL.md is the reference.`;

/** What was written stays whole also where the reader is slow: the process ends by itself. */
const write = (text: string): void => void process.stdout.write(text);
const interrupt = new AbortController();

// A reader that has seen enough (gantry … | head) is no defect.
process.stdout.on("error", () => leave(EXIT.REFUSED));

// Its words and options are its own, so they are not read here.
if (process.argv[2] === "xcopy") void handOver(process.argv.slice(3));
else if (process.argv[2] === COMPLETE) void complete(process.argv.slice(3));
else void main();

async function main(): Promise<void> {
  const program = programOf(
    async (verb, args, options) => {
      process.on("SIGINT", () => interrupt.abort());
      process.exitCode = await runVerb(clientOf(program), verb, args, options);
    },
    ({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT.USE),
  )
    .description(DESCRIPTION)
    .addOption(new Command().createOption("--socket <path>", "the daemon's socket").default(socketPath()))
    .option("--look-socket <path>", "that of technicians (default: gantry-look.sock beside it)")
    .addOption(new Command().createOption("--role <role>", "be no more than that").choices(ROLES))
    // Without a verb; a word that is none would come here too.
    .allowExcessArguments()
    .action(() => withoutVerb(program));
  program
    .command("xcopy")
    .description("third-party copies: hands over to the program gantry-xcopy (has to be the first word)")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      console.error("gantry: Write xcopy first: `gantry xcopy …`; what follows is for gantry-xcopy.");
      process.exitCode = EXIT.USE;
    });
  await program.parseAsync();
}

async function withoutVerb(program: Command): Promise<void> {
  const [unknown] = program.args;
  if (unknown !== undefined) program.error(`error: unknown command '${unknown}'`, { exitCode: EXIT.USE });
  const client = clientOf(program);
  if (client.terminal.interactive && !client.json) {
    await new InteractiveShell(client.asker, client.terminal, process.stdin, process.stdout).run();
    if (hungUp()) leave(EXIT.REFUSED);
  } else await fromInput(client);
}

/** One command a line. All are tried; the exit code is the worst. */
async function fromInput(client: Client): Promise<void> {
  process.on("SIGINT", () => interrupt.abort());
  let worst = 0;
  for await (const line of createInterface({ input: process.stdin, terminal: false })) {
    if (LEAVE.includes(line.trim()) || interrupt.signal.aborted) break;
    worst = Math.max(worst, await runLine(client, line));
  }
  process.exitCode = worst;
}

function clientOf(program: Command): Client {
  const { json = false, ...globals } = program.opts<Globals>();
  return {
    asker: new Asker(globals),
    terminal: terminalOf(process.stdin, process.stdout),
    json,
    write,
    show: async (text) => write(`${text}\n`),
    note: (text) => console.error(`gantry: ${text}`),
    signal: interrupt.signal,
  };
}

function socketPath(): string {
  return process.env.GANTRY_SOCKET ?? "/var/lib/gantry/gantry.sock";
}

/** For bash: what the last word can become, one a line. Silent when nobody can be asked. */
async function complete(words: readonly string[]): Promise<void> {
  const asker = new Asker({ socket: socketPath() });
  const found = await completions(words.slice(0, -1), words.at(-1) ?? "", (kind) => namesOf(asker, kind)).catch(
    () => [],
  );
  write(found.map((word) => `${word}\n`).join(""));
}
