// What the rest of the daemon asks about reservations, whether servers are let in or not: the shell, the broker, and
// the queue of jobs, which takes a device only while no server has it.
import { devicesOf } from "../../copy/admission.js";
import type { RunJob } from "../../copy/job-attempts.js";
import type { JobContext } from "../../copy/job-context.js";
import type { JobSpec } from "../../job.js";
import { GantryError } from "../../sys/errors.js";
import type { Arbiter } from "./arbiter.js";
import type { ReservationFacts } from "./facts.js";
import type { JobAccess } from "./job-holds.js";

type DeskArbiter = Pick<Arbiter, "list" | "clear" | "claim" | "jobMay">;

export class ReservationDesk {
  #arbiter: DeskArbiter | undefined;
  readonly #known: (device: string) => boolean;

  /** @param known whether there is a device of this name */
  constructor(known: (device: string) => boolean) {
    this.#known = known;
  }

  /** From now on servers may come. undefined: none can. */
  attach(arbiter: DeskArbiter | undefined): void {
    this.#arbiter = arbiter;
  }

  list(): readonly ReservationFacts[] {
    return this.#arbiter?.list().filter(({ kind, registered }) => kind !== "none" || registered.length > 0) ?? [];
  }

  /** Takes it all away from every server; what jobs hold stays. Returns what there was. */
  async clear(device: string): Promise<ReservationFacts> {
    if (!this.#known(device)) throw new GantryError("DEVICE_UNKNOWN", `There is no device "${device}".`);
    if (this.#arbiter !== undefined) return this.#arbiter.clear(device);
    return { device, kind: "none", holders: [], registered: [], aptpl: false, jobs: [] };
  }

  /** Whether the devices of a job are free of servers' reservations now. */
  mayStart(spec: JobSpec): boolean {
    return usesOf(spec).every(({ device, access }) => this.#arbiter?.jobMay(device, access) ?? true);
  }

  /** Runs a job with its devices taken; while a server has a disk that it reads, it is paused. */
  running(run: RunJob): RunJob {
    return async (job, context) => {
      const arbiter = this.#arbiter;
      if (arbiter === undefined) return run(job, context);
      const { spec } = context.record;
      const release = await arbiter.claim(spec.jobId, usesOf(spec), {
        lost: (device, holder) => pause(context, device, holder),
        free: (device) => resume(context, device),
      });
      try {
        return await run(job, context);
      } finally {
        release();
      }
    };
  }
}

/** What only reads a disk shares it; a tape belongs to one, since reading it moves it. */
export const usesOf = (spec: JobSpec): readonly { readonly device: string; readonly access: JobAccess }[] =>
  devicesOf(spec).map(({ device, shared }) => ({ device, access: shared ? "read" : "write" }));

function pause({ control, log, record }: JobContext, device: string, holder: string): void {
  log.warn({ jobId: record.spec.jobId, device, holder }, "a job waits, because a server has reserved its disk");
  control.pause();
}

function resume({ control, log, journal, record }: JobContext, device: string): void {
  const { jobId } = record.spec;
  log.info({ jobId, device }, "a job goes on, because its disk is free again");
  // Somebody may have paused it meanwhile.
  if (journal.wishFor(jobId).paused !== true) control.resume();
}
