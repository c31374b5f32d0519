// What the log and the broker hear of reservations. Servers of a cluster may reserve and release a thousand times a
// second: of each device the first change is told at once, and then the latest at most once a second.
import type { Clock, Timers } from "../../sys/clock.js";
import type { ReservationFacts } from "./facts.js";
import type { Wanted } from "./preemption.js";

/** An event of PROTOCOL.md. */
export interface ReservationEvent {
  readonly event: "reservation" | "preempt.wanted";
  readonly severity: "info" | "warning";
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface TellerOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly timers: Timers;
  readonly tell: (event: ReservationEvent) => void;
}

const PERIOD_MS = 1000;

interface Told {
  atMs: number;
  /** Changes that were not told yet, and the last of them. */
  changes: number;
  latest: { readonly facts: ReservationFacts; readonly why: string } | undefined;
  cancel: (() => void) | undefined;
}

export class ReservationTeller {
  readonly #options: TellerOptions;
  readonly #devices = new Map<string, Told>();

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  changed(facts: ReservationFacts, why: string): void {
    const { clock, timers } = this.#options;
    const { device } = facts;
    const told = this.#devices.get(device) ?? {
      atMs: Number.NEGATIVE_INFINITY,
      changes: 0,
      latest: undefined,
      cancel: undefined,
    };
    this.#devices.set(device, told);
    told.changes += 1;
    told.latest = { facts, why };
    const waitMs = told.atMs + PERIOD_MS - clock.monotonicMs();
    if (waitMs <= 0) this.#tell(told);
    else told.cancel ??= timers.after(waitMs, () => this.#tell(told));
  }

  /** Not limited: each question is asked once for each holder. */
  wanted({ device, by, priority, holder, holderPriority }: Wanted): void {
    const who = "jobId" in by ? `Job ${by.jobId}` : by.initiator;
    this.#options.tell({
      event: "preempt.wanted",
      severity: "warning",
      message: `${who} (priority ${priority}) wants ${device}, but ${holder} (priority ${holderPriority}). Answer with reservation.preempt to let it have the device.`,
      details: { device, ...by, priority, holder, holderPriority },
    });
  }

  stop(): void {
    for (const { cancel } of this.#devices.values()) cancel?.();
    this.#devices.clear();
  }

  #tell(told: Told): void {
    const { latest, changes } = told;
    told.cancel?.();
    told.cancel = undefined;
    if (latest === undefined) return;
    told.atMs = this.#options.clock.monotonicMs();
    told.changes = 0;
    told.latest = undefined;
    const { facts, why } = latest;
    this.#options.tell({
      event: "reservation",
      severity: facts.kind === "lost" ? "warning" : "info",
      message: `${facts.device}: ${why}; ${inWords(facts)}.`,
      details: { ...facts, why, changes },
    });
  }
}

function inWords({ kind, type, holders, jobs }: ReservationFacts): string {
  if (kind === "none") return "nobody holds it";
  if (kind === "lost") return "who holds it is not known";
  if (kind === "job") return `held by ${jobs.map((jobId) => `job ${jobId}`).join(", ")}`;
  return `held by ${holders.join(", ")}${type === undefined ? "" : ` (${type})`}`;
}
