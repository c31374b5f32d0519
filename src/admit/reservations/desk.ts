// What the rest of the daemon asks about reservations, whether servers are let in or not: the shell, the broker, and
// the queue of jobs, which takes a device only while no server has it.
import { devicesOf } from "../../copy/admission.js";
import type { RunJob } from "../../copy/job-attempts.js";
import type { JobContext } from "../../copy/job-context.js";
import type { JobSpec } from "../../job.js";
import { GantryError, isGantryError, messageOf } from "../../sys/errors.js";
import type { Arbiter } from "./arbiter.js";
import type { ReservationFacts } from "./facts.js";
import type { DeviceUse } from "./job-claims.js";
import type { Claimant } from "./preemption.js";

type DeskArbiter = Pick<Arbiter, "list" | "clear" | "claim" | "jobMay" | "want" | "preempt">;

export interface DeskDevices {
  /** Whether there is a device of this name. */
  readonly known: (device: string) => boolean;
  /** Takes out of a drive what was loaded into it by name. */
  readonly unload: (drive: string) => Promise<void>;
  /** How long a claim may go on when its job is cancelled, milliseconds. Default 5000. */
  readonly graceMs?: number;
}

const CLAIM_GRACE_MS = 5000;

export class ReservationDesk {
  #arbiter: DeskArbiter | undefined;
  readonly #devices: DeskDevices;

  constructor(devices: DeskDevices) {
    this.#devices = devices;
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
    this.#check(device);
    if (this.#arbiter !== undefined) return this.#arbiter.clear(device);
    return { device, kind: "none", holders: [], registered: [], aptpl: false, jobs: [] };
  }

  /** The broker lets somebody take the device from who has it. Returns what there was. */
  preempt(device: string, by: Claimant): ReservationFacts {
    this.#check(device);
    if (this.#arbiter !== undefined) return this.#arbiter.preempt(device, by);
    throw new GantryError("PREEMPT_UNWANTED", "No server can log in here, so nobody waits for a device.");
  }

  /** Whether servers leave the job its devices now, or may lose them to it. Where neither, the broker may be asked. */
  mayStart(spec: JobSpec): boolean {
    const arbiter = this.#arbiter;
    if (arbiter === undefined) return true;
    const missing = usesOf(spec).filter((use) => !arbiter.jobMay(spec, use));
    for (const { device } of missing) arbiter.want(spec, device);
    return missing.length === 0;
  }

  /**
   * Runs a job with its devices taken. While a server has a disk that it reads, it is paused; when one takes a device
   * from it, or was there first, the job stops at a checkpoint, to go on later.
   */
  running(run: RunJob): RunJob {
    return async (job, context) => {
      const arbiter = this.#arbiter;
      if (arbiter === undefined) return run(job, context);
      const { spec } = context.record;
      const release = await this.#claim(arbiter, context);
      if (release === undefined) return { state: "cancelled" };
      try {
        const outcome = await run(job, context);
        if (context.yieldedTo !== undefined && spec.tape !== undefined) await this.#takeOut(context, spec.tape.device);
        return outcome;
      } finally {
        release();
      }
    };
  }

  async #claim(arbiter: DeskArbiter, context: JobContext): Promise<(() => void) | undefined> {
    const { spec } = context.record;
    const claim = arbiter.claim(spec, usesOf(spec), {
      lost: (device, holder) => pause(context, device, holder),
      free: (device) => resume(context, device),
      yield: (_device, taker) => giveUp(context, taker),
    });
    try {
      return await untilCancelled(claim, context.control, this.#devices.graceMs ?? CLAIM_GRACE_MS);
    } catch (error) {
      if (!isGantryError(error) || error.code !== "DEVICE_RESERVED") throw error;
      giveUp(context, messageOf(error));
      return undefined;
    }
  }

  /** Its cartridge is no other's to write on. One that nobody can take out is looked at before the job goes on. */
  async #takeOut({ record, log }: JobContext, drive: string): Promise<void> {
    await this.#devices.unload(drive).catch((error: unknown) => {
      const { jobId } = record.spec;
      log.warn({ jobId, drive, error }, "the cartridge of a job that gave its drive up stays in it");
    });
  }

  #check(device: string): void {
    if (!this.#devices.known(device)) throw new GantryError("DEVICE_UNKNOWN", `There is no device "${device}".`);
  }
}

/**
 * A claim waits for commands of servers that are under way, and a device that does not answer can make that hours. A job
 * that is cancelled, and a daemon that stops, do not wait for it: what is claimed later is given back at once.
 */
async function untilCancelled(
  claim: Promise<() => void>,
  control: JobContext["control"],
  graceMs: number,
): Promise<(() => void) | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let off = (): unknown => undefined;
  const given = new Promise<undefined>((resolve) => {
    off = control.onCancel(() => {
      timer ??= setTimeout(() => resolve(undefined), graceMs);
    });
  });
  try {
    const release = await Promise.race([claim, given]);
    if (release === undefined)
      claim.then(
        (late) => late(),
        () => undefined,
      );
    return release;
  } finally {
    off();
    clearTimeout(timer);
  }
}

/** What only reads a disk shares it; a tape belongs to one, since reading it moves it. */
export const usesOf = (spec: JobSpec): readonly DeviceUse[] =>
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

/** Stops where it can go on. A job that is writing its end ends in a moment, and gives all back then. */
function giveUp(context: JobContext, taker: string): void {
  // One that is cancelled already ends as that.
  if (context.closing || context.control.cancelled) return;
  context.yieldedTo = taker;
  context.control.cancel();
}
