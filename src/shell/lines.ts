// Lines of commands, from a terminal or from a pipe: each one parsed by the same words as a call of `gantry`.
import { CommanderError } from "commander";
import { EXIT } from "./ask.js";
import type { Client } from "./client.js";
import { programOf } from "./program.js";
import { runVerb } from "./run-verb.js";
import { verbOf } from "./verb-table.js";
import { wordsOf } from "./words.js";

/** What leaves the shell. */
export const LEAVE: readonly string[] = ["exit", "quit", "logout"];

const HELP = `
In the shell:
  help, ?               this; "help show" or "show ?" for a part of it
  exit, quit            leave, as Ctrl-D does
  Tab                   completes words, and names of devices and jobs
  Ctrl-C                ends the verb that runs`;

/** Resolves with the exit code of the verb. */
export async function runLine(client: Client, line: string): Promise<number> {
  const words = wordsOf(line);
  if (words === undefined) {
    client.note("A quote is open on this line.");
    return EXIT.USE;
  }
  if (words.length === 0 || words[0]?.startsWith("#") === true) return 0;
  let code = 0;
  let said = "";
  const program = programOf(
    async (verb, args, options) => {
      const json = client.json || program.opts<{ json?: boolean }>().json === true;
      code = await runVerb({ ...client, json }, verb, args, options);
    },
    (error) => {
      throw error;
    },
    {
      writeOut: (text) => {
        said += text;
      },
      writeErr: (text) => client.note(text.trimEnd().replace(/^error: /, "")),
    },
  );
  program.addHelpText("after", HELP);
  try {
    await program.parseAsync(asked(words), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    code = error.exitCode === 0 ? 0 : EXIT.USE;
  }
  if (said !== "") await client.show(said.trimEnd());
  return code;
}

/** "show ?" and "?" as commander's "help show" and "help"; a verb of one word has its help as an option. */
function asked(words: readonly string[]): string[] {
  if (words.at(-1) !== "?") return [...words];
  const before = words.slice(0, -1);
  const verb = verbOf(before.slice(0, 2).join(" ")) ?? verbOf(before[0] ?? "");
  return verb === undefined ? ["help", ...before.slice(0, 1)] : [...verb.words.split(" "), "--help"];
}
