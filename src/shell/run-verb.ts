// One verb from words to exit code, wherever the words came from.
import { EXIT, ShellError } from "./ask.js";
import { answer, type Client } from "./client.js";
import { LOCAL_VERBS } from "./local-verbs.js";
import { CONFIRM_BRIDGE, type Verb } from "./verb.js";

type Options = Readonly<Record<string, string>>;

/** Prints what is to be printed; resolves with the exit code. */
export async function runVerb(client: Client, verb: Verb, args: readonly string[], options: Options): Promise<number> {
  try {
    const sure = await confirmed(client, verb, args, options);
    const local = LOCAL_VERBS.get(verb.words);
    if (local !== undefined) return await local(client, verb, args, sure);
    await answer(client, verb.words, await client.asker.all(verb.words, args, sure, client.signal));
    return 0;
  } catch (error) {
    if (!(error instanceof ShellError)) throw error;
    return told(client, error);
  }
}

function told({ json, write, note }: Client, { code, message, exit }: ShellError): number {
  if (exit === EXIT.INTERRUPTED) return exit;
  if (json) write(`${JSON.stringify({ error: { code, message } })}\n`);
  else note(`${message} (${code})`);
  return code === "SHELL_CONFIRM" ? EXIT.USE : exit;
}

/** Asks where somebody is; the daemon is the one that insists. */
async function confirmed(client: Client, verb: Verb, args: readonly string[], options: Options): Promise<Options> {
  const { question, asker, signal } = client;
  if (verb.confirm === undefined || options.confirm !== undefined || question === undefined) return options;
  const isBridge = verb.confirm === CONFIRM_BRIDGE;
  const name = isBridge
    ? ((await asker.ask("greet", [], {}, signal)) as { readonly bridge: string }).bridge
    : args[(verb.args ?? []).findIndex((argument) => argument.name === verb.confirm)];
  const typed = await question(`${verb.help[0]?.toUpperCase()}${verb.help.slice(1)}. Type ${name} to go on: `);
  if (typed.trim() === name) return { ...options, confirm: typed.trim() };
  throw new ShellError(EXIT.USE, "SHELL_CONFIRM", "Nothing was done.");
}
