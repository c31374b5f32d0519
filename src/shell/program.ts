// The words of a command, by commander, made from the table of verbs: for one call and for each line of the interactive
// shell alike.
import { Command, type CommanderError, type OutputConfiguration } from "commander";
import { VERSION } from "../sys/version.js";
import type { Verb } from "./verb.js";
import { GROUPS, VERBS } from "./verb-table.js";

export type RunVerb = (verb: Verb, args: readonly string[], options: Readonly<Record<string, string>>) => Promise<void>;

const WIDTH = 80;

/**
 * @param exit called where commander would end the process
 */
export function programOf(
  run: RunVerb,
  exit: (error: CommanderError) => never,
  output: OutputConfiguration = {},
): Command {
  // Before the verbs, which inherit it.
  const program = new Command("gantry")
    .exitOverride(exit)
    .configureOutput({ getOutHelpWidth: () => WIDTH, getErrHelpWidth: () => WIDTH, ...output })
    .version(VERSION)
    .option("--json", "print JSON instead of text");
  const groups = new Map<string, Command>();
  for (const verb of VERBS) {
    const [first = "", second] = verb.words.split(" ");
    let parent = program;
    if (second !== undefined) {
      parent = groups.get(first) ?? program.command(first).description(GROUPS[first] ?? "");
      groups.set(first, parent);
    }
    addVerb(parent.command(second ?? first), verb, run);
  }
  return program;
}

function addVerb(command: Command, verb: Verb, run: RunVerb): void {
  command.description(verb.help + (verb.role === "administrator" ? " (administrator)" : ""));
  for (const { name, help, optional } of verb.args ?? [])
    command.argument(optional === true ? `[${name}]` : `<${name}>`, help);
  for (const { name, value, help } of verb.options ?? [])
    command.option(value === undefined ? `--${name}` : `--${name} <${value}>`, help);
  if (verb.confirm !== undefined) command.option("--confirm <name>", `the name of the ${verb.confirm} once more`);
  command.action(() => run(verb, command.args, optionsOf(command)));
}

/** As they go to the daemon: text; one without a value is "". */
function optionsOf(command: Command): Readonly<Record<string, string>> {
  const given = Object.entries(command.opts<Record<string, string | boolean>>());
  return Object.fromEntries(given.map(([name, value]) => [name, typeof value === "string" ? value : ""]));
}
