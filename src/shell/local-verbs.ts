// Verbs of which the client does more than ask and print.
import { setTimeout as sleep } from "node:timers/promises";
import { JOB_ENDS, type JobState } from "../job.js";
import { byteSize } from "../sys/units.js";
import { EXIT, ShellError } from "./ask.js";
import { answer, type Client } from "./client.js";
import { completionScript } from "./completion-script.js";
import { wrap } from "./fit.js";
import { LiveLine } from "./live-line.js";
import { install, runSelfTest, save, supportBundle, withFile } from "./local-care.js";
import type { LogAnswer } from "./log-lines.js";
import { pcapOf } from "./pcap.js";
import { type TraceAnswer, traceLineText } from "./trace-lines.js";
import type { Verb } from "./verb.js";

type Options = Readonly<Record<string, string>>;
type LocalVerb = (client: Client, verb: Verb, args: readonly string[], options: Options) => Promise<number>;

/** How often a log or a trace that is followed is asked for what is new. */
const FOLLOW_MS = 500;

export const LOCAL_VERBS: ReadonlyMap<string, LocalVerb> = new Map<string, LocalVerb>([
  ["show job", showJob],
  ["show log", showLog],
  ["trace show", showTrace],
  ["self-test", runSelfTest],
  ["support bundle", supportBundle],
  ["config check", withFile],
  ["config apply", withFile],
  ["update install", install],
  ["completion", completion],
]);

interface Seen {
  readonly jobId: string;
  readonly type: string;
  readonly state: JobState;
  readonly bytesDone: string;
  readonly bytesTotal: string;
  readonly bytesPerS: string;
}

async function showJob(client: Client, { words }: Verb, args: readonly string[], options: Options): Promise<number> {
  const look = (): Promise<unknown> => client.asker.ask(words, args, {}, client.signal);
  if (options.watch === undefined || client.json) {
    await answer(client, words, await look());
    return 0;
  }
  const line = new LiveLine(client.terminal, client.write);
  try {
    for (;;) {
      const seen = (await look()) as Seen;
      line.show(progressText(seen));
      if (JOB_ENDS.includes(seen.state)) {
        line.end();
        await answer(client, words, seen);
        return seen.state === "succeeded" ? 0 : EXIT.REFUSED;
      }
      await pause(line.pauseMs, client.signal);
    }
  } finally {
    line.end();
  }
}

/** What changes most is last, so that little has to be written again. */
function progressText({ jobId, type, state, ...job }: Seen): string {
  const [done, total, perS] = [job.bytesDone, job.bytesTotal, job.bytesPerS].map(Number);
  const percent = total === undefined || total === 0 ? "" : ` ${Math.floor((100 * (done ?? 0)) / total)} %`;
  return `${jobId} ${type} ${state} of ${byteSize(total ?? 0)}:${percent} ${byteSize(done ?? 0)}, ${byteSize(perS ?? 0)}/s`;
}

async function showLog(client: Client, { words }: Verb, _args: readonly string[], options: Options): Promise<number> {
  const { follow, ...rest } = options;
  const first = (await client.asker.ask(words, [], rest, client.signal)) as LogAnswer;
  if (follow === undefined) {
    await answer(client, words, first);
    return 0;
  }
  for (let { lines } = first, after = 0; ; ) {
    after = lines.at(-1)?.serial ?? after;
    await lineByLine(client, words, { lines });
    await pause(FOLLOW_MS, client.signal);
    const level = rest.level === undefined ? {} : { level: rest.level };
    ({ lines } = (await client.asker.ask(words, [], { ...level, after: String(after) }, client.signal)) as LogAnswer);
  }
}

/** Not by pages: who follows wants to see the last line. */
export async function lineByLine(client: Client, words: string, { lines }: { readonly lines: readonly unknown[] }) {
  if (lines.length === 0) return;
  const { json, write } = client;
  const show = async (text: string): Promise<void> => write(`${text}\n`);
  if (json) for (const line of lines) write(`${JSON.stringify(line)}\n`);
  else await answer({ ...client, show }, words, { lines });
}

/** Rejects with ShellError when nobody wants to wait. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    throw new ShellError(EXIT.INTERRUPTED, "INTERRUPTED", "interrupted");
  });
}

async function showTrace(client: Client, { words }: Verb, _args: readonly string[], options: Options): Promise<number> {
  const { follow, file, ...rest } = options;
  const first = (await client.asker.ask(words, [], rest, client.signal)) as TraceAnswer;
  if (file !== undefined) {
    save(file, pcapOf(first.lines));
    await client.show(
      client.json ? JSON.stringify({ file, commands: first.lines.length }) : `${file}: ${first.lines.length} commands`,
    );
    return 0;
  }
  if (follow === undefined) {
    await answer(client, words, first);
    return 0;
  }
  for (let { lines } = first, after = 0; ; ) {
    after = lines.at(-1)?.serial ?? after;
    for (const line of lines)
      client.write(`${client.json ? JSON.stringify(line) : wrap(traceLineText(line), client.terminal.columns)}\n`);
    await pause(FOLLOW_MS, client.signal);
    ({ lines } = (await client.asker.ask(words, [], { after: String(after) }, client.signal)) as TraceAnswer);
  }
}

async function completion({ write }: Client, _verb: Verb, [shell]: readonly string[]): Promise<number> {
  if (shell !== "bash") throw new ShellError(EXIT.USE, "SHELL_VERB", "There is completion for bash only.");
  write(completionScript());
  return 0;
}
