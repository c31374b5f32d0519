// Who was refused what and why: counted for each (initiator, device, reason), and told to the broker and the log, but
// no more often than anybody can read. Nothing that a server sends makes this grow: the kinds that were not seen for
// longest are forgotten.
import type { Clock, Timers } from "../sys/clock.js";
import type { Logger } from "../sys/log.js";
import { LogLimit } from "../sys/log-limit.js";

/** Kinds of refusals that are kept apart. */
export const REFUSALS_MAX = 1000;
/** The same kind is told of again after so long, with what came meanwhile. */
const AGAIN_MS = 10_000;
/** Of all kinds together. */
const TOLD = { lines: 20, periodMs: 60_000 } as const;

export interface RefusalFacts {
  readonly initiator: string;
  /** Or "LUN n", where no device is for this initiator. */
  readonly device: string;
  readonly why: string;
  /** The last of them, in words. */
  readonly command: string;
  readonly count: bigint;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Refusal extends Pick<RefusalFacts, "initiator" | "device" | "why" | "command" | "count"> {
  /** Who has reserved the device, in words. */
  readonly holder?: string | undefined;
}

/** One report: how many since the last one of its kind. */
export type RefusalReport = Refusal & Pick<RefusalFacts, "firstMs" | "lastMs">;

export interface RefusalBookOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Pick<Logger, "warn">;
  /** To the broker. */
  readonly onReport: (report: RefusalReport) => void;
}

interface Entry {
  facts: RefusalFacts;
  holder: string | undefined;
  untold: bigint;
  toldMs: number;
}

export class RefusalBook {
  readonly #options: RefusalBookOptions;
  /** The one that was seen last is last. */
  readonly #entries = new Map<string, Entry>();
  /** Kinds of which there is something to tell. */
  readonly #waiting = new Set<string>();
  readonly #limit: LogLimit;
  #timer: (() => void) | undefined;
  #total = 0n;

  constructor(options: RefusalBookOptions) {
    this.#options = options;
    this.#limit = new LogLimit({
      clock: options.clock,
      ...TOLD,
      onSkipped: (count) => options.log.warn({ count }, "more refusals were counted than were told of"),
    });
  }

  /** Since the start, of all kinds. */
  get total(): bigint {
    return this.#total;
  }

  note(refusal: Refusal): void {
    const { initiator, device, why, command, count } = refusal;
    const nowMs = this.#options.clock.nowMs();
    const name = JSON.stringify([initiator, device, why]);
    const known = this.#entries.get(name);
    const firstMs = known?.facts.firstMs ?? nowMs;
    const total = (known?.facts.count ?? 0n) + count;
    this.#entries.delete(name);
    this.#entries.set(name, {
      facts: { initiator, device, why, command, count: total, firstMs, lastMs: nowMs },
      holder: refusal.holder,
      untold: (known?.untold ?? 0n) + count,
      toldMs: known?.toldMs ?? Number.NEGATIVE_INFINITY,
    });
    this.#total += count;
    this.#waiting.add(name);
    this.#forget();
    this.#tell(name);
    this.#timer ??= this.#waiting.size === 0 ? undefined : this.#options.timers.after(AGAIN_MS, () => this.#again());
  }

  /** The one that was seen last is first. */
  list(): readonly RefusalFacts[] {
    return [...this.#entries.values()].map(({ facts }) => facts).reverse();
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
  }

  #again(): void {
    this.#timer = undefined;
    for (const name of [...this.#waiting]) this.#tell(name);
    if (this.#waiting.size > 0) this.#timer = this.#options.timers.after(AGAIN_MS, () => this.#again());
  }

  #tell(name: string): void {
    const { clock, log, onReport } = this.#options;
    const entry = this.#entries.get(name);
    if (entry === undefined || clock.monotonicMs() - entry.toldMs < AGAIN_MS) return;
    if (!this.#limit.take()) return;
    this.#waiting.delete(name);
    const { holder } = entry;
    const report = { ...entry.facts, count: entry.untold, ...(holder === undefined ? {} : { holder }) };
    entry.untold = 0n;
    entry.toldMs = clock.monotonicMs();
    log.warn(report, "a command was refused");
    onReport(report);
  }

  #forget(): void {
    for (const name of this.#entries.keys()) {
      if (this.#entries.size <= REFUSALS_MAX) return;
      this.#entries.delete(name);
      this.#waiting.delete(name);
    }
  }
}
