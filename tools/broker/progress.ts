// A progress bar on standard error while a job runs; silent with --json, plain lines where there is no terminal.
import cliProgress from "cli-progress";
import type { JobProgress } from "../../src/job.js";
import { byteSize } from "../../src/sys/units.js";

export class JobBar {
  readonly #jobId: string;
  readonly #silent: boolean;
  #bar: cliProgress.SingleBar | undefined;
  #sent = 0;

  constructor(jobId: string, silent: boolean) {
    this.#jobId = jobId;
    this.#silent = silent;
  }

  /** A chunk of the block list has arrived. */
  chunk(of: number): void {
    this.#sent++;
    if (this.#sent === of) this.note(`block list delivered, ${of} ${of === 1 ? "chunk" : "chunks"}`);
  }

  update(progress: JobProgress): void {
    if (this.#silent) return;
    const total = Number(progress.bytesTotal);
    const done = Math.min(total, Number(progress.bytesDone));
    const payload = {
      state: progress.state,
      rate: `${byteSize(Number(progress.bytesPerS))}/s`,
      moved: byteSize(done),
      waits: progress.tapeWaits.toString(),
    };
    if (this.#bar === undefined) {
      if (total === 0) return;
      this.#bar = new cliProgress.SingleBar(
        {
          format: `${progress.type} {bar} {percentage}% {moved} {rate} {state}, tape waits: {waits}`,
          stream: process.stderr,
          noTTYOutput: true,
          notTTYSchedule: 5000,
          hideCursor: true,
          barsize: 24,
        },
        cliProgress.Presets.shades_classic,
      );
      this.#bar.start(total, done, payload);
    }
    this.#bar.setTotal(total);
    this.#bar.update(done, payload);
  }

  note(text: string): void {
    if (!this.#silent) process.stderr.write(`${this.#bar === undefined ? "" : "\n"}${this.#jobId}: ${text}\n`);
  }

  stop(): void {
    this.#bar?.stop();
  }
}
