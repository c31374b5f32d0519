// What is seen of a copy while it runs: a bar where its status is known, a clock where the command has not come back;
// silent with --json and where nobody looks, but for a line now and then.
import cliProgress from "cli-progress";
import type { Io } from "./io.js";
import { movedText, type Outcome } from "./result-words.js";

const CLOCK_MS = 1000;

export class CopyBar {
  readonly #silent: boolean;
  readonly #total: number;
  #bar: cliProgress.SingleBar | undefined;

  /** @param segments of the list; 0: not known */
  constructor(segments: number, silent: boolean) {
    this.#total = Math.max(1, segments);
    this.#silent = silent;
  }

  update(outcome: Outcome): void {
    if (this.#silent) return;
    const payload = { words: outcome.words, moved: movedText(outcome.moved) };
    const done = Math.min(outcome.segments, this.#total);
    if (this.#bar === undefined) {
      // Of a copy that has ended before anybody looked nothing is drawn.
      if (outcome.state !== "running") return;
      this.#bar = new cliProgress.SingleBar(
        {
          format: "copy {bar} {value} of {total} segments, {moved}, {words}",
          stream: process.stderr,
          noTTYOutput: true,
          notTTYSchedule: 5000,
          hideCursor: true,
          barsize: 24,
        },
        cliProgress.Presets.shades_classic,
      );
      this.#bar.start(this.#total, done, payload);
    }
    this.#bar.update(done, payload);
  }

  stop(): void {
    this.#bar?.stop();
  }
}

/** Runs a command that comes back when it is done, with a clock beside it. */
export async function withClock<T>(io: Io, silent: boolean, what: string, run: () => Promise<T>): Promise<T> {
  if (silent || !io.terminal) return await run();
  let seconds = 0;
  const timer = setInterval(() => io.err(`\r${what}, ${++seconds} s `), CLOCK_MS);
  try {
    return await run();
  } finally {
    clearInterval(timer);
    if (seconds > 0) io.err(`\r${" ".repeat(what.length + 16)}\r`);
  }
}
