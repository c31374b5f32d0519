// Jobs and servers about the same device: what a job claims before it starts, what it takes from a server of lower
// priority, and what it gives up to one of higher.
import { GantryError } from "../../sys/errors.js";
import type { ArbiterOptions } from "./arbiter-options.js";
import type { Standing } from "./classes.js";
import { whoHolds } from "./facts.js";
import { type JobAccess, type JobHold, JobHolds, type JobWatch, jobMay } from "./job-holds.js";
import { type Claimant, identityOf, initiatorName, Preemption, usersOf } from "./preemption.js";
import { type NexusText, standingOf, type UnitReservations } from "./state.js";
import { type Attention, dispossessed } from "./step.js";

/** How long a server that takes a device waits for the job to stop; and the device for it, after the broker's word. */
const YIELD_MS = 20_000;
const PROMISE_MS = 60_000;
/** Bits of all command classes. */
const ALL_CLASSES = 0xffff;

/** A job as far as claims go. */
export interface ClaimingJob {
  readonly jobId: string;
  readonly priority: number;
}

export interface DeviceUse {
  readonly device: string;
  readonly access: JobAccess;
}

/** What the arbiter does for claims. */
export interface Bench {
  state(device: string): UnitReservations;
  inTurn(device: string, work: () => Promise<void> | void): Promise<void>;
  put(device: string, state: UnitReservations, why: string): Promise<void>;
  tell(device: string, attentions: readonly Attention[]): void;
  changed(device: string, why: string): void;
  abort(device: string, nexuses: readonly NexusText[]): Promise<void>;
}

type Options = Pick<
  ArbiterOptions,
  "plane" | "paths" | "clock" | "timers" | "policy" | "priorityOf" | "onWanted" | "log"
>;

export class JobClaims {
  readonly #options: Options;
  readonly #bench: Bench;
  readonly #jobs = new JobHolds();
  readonly #preemption: Preemption;
  /** Devices that the broker has given to a server, which is yet to reserve them. */
  readonly #promised = new Map<string, { readonly initiator: string; readonly untilMs: number }>();

  constructor(options: Options, bench: Bench) {
    this.#options = options;
    this.#bench = bench;
    this.#preemption = new Preemption({ ...options, policy: () => options.policy().preempt });
  }

  of(device: string): readonly JobHold[] {
    return this.#jobs.of(device);
  }

  devices(): readonly string[] {
    return this.#jobs.devices();
  }

  /** What jobs leave to every server. */
  standing(device: string): Standing {
    return this.#jobs.standing(device, this.#options.policy().reading);
  }

  /** After every change of a reservation: jobs learn whether they may go on. */
  judged(device: string): void {
    const state = this.#bench.state(device);
    if (usersOf(state).length === 0 && this.of(device).length === 0) this.#preemption.settled(device);
    for (const { access, onJudged } of this.of(device)) onJudged(jobMay(standingOf(state, ""), access));
  }

  /** Whether a job could have the device now, be it by taking it from a server. */
  mayStart(job: ClaimingJob, { device, access }: DeviceUse): boolean {
    if (this.#promise(device) !== undefined) return false;
    return this.#isFree(device, access) || this.#mayTake(job, device);
  }

  /** The job waits for the device: who is to decide about it is asked. */
  want({ jobId, priority }: ClaimingJob, device: string): void {
    const state = this.#bench.state(device);
    const holderPriority = this.#preemption.rankOfServers(device, state);
    const wanted = { device, by: { jobId }, priority, holder: this.#holder(device), holderPriority };
    this.#preemption.want(wanted, identityOf(state));
  }

  /**
   * Takes the devices of a job: resolves at a command boundary, with what gives them back.
   * @throws GantryError DEVICE_RESERVED when a server has one of them
   */
  async claim(job: ClaimingJob, uses: readonly DeviceUse[], watch: JobWatch): Promise<() => void> {
    const taken: string[] = [];
    const release = (): void => {
      for (const device of taken.splice(0)) {
        if (this.#jobs.remove(device, job.jobId)) this.#bench.changed(device, `job ${job.jobId} gave it back`);
      }
    };
    try {
      for (const use of uses) {
        let losers: readonly NexusText[] = [];
        taken.push(use.device);
        await this.#bench.inTurn(use.device, async () => {
          losers = await this.#take(job, use, watch);
        });
        await this.#bench.abort(use.device, losers);
        await this.#drain(use.device);
      }
    } catch (error) {
      release();
      throw error;
    }
    return release;
  }

  /**
   * In the turn of the device: a server is about to reserve it. Resolves with whether jobs leave it to it, which they may
   * do by stopping first.
   */
  async makeWay(device: string, nexus: NexusText, after: UnitReservations): Promise<boolean> {
    const name = initiatorName(nexus);
    if (name !== undefined && this.#promise(device)?.initiator === name) this.#promised.delete(device);
    const rank = this.#preemption.rankOf(device, nexus);
    if (this.standing(device) === "free") {
      // It would stop jobs that share the disk; where priorities decide by themselves, those of higher priority stay.
      const stopped = this.of(device).filter(({ access }) => !jobMay(standingOf(after, ""), access));
      return this.#options.policy().preempt !== "automatic" || stopped.every(({ priority }) => priority <= rank);
    }
    if (name === undefined || !this.#serverMayTake(device, name, rank)) return false;
    this.#yield(device, name);
    return this.#jobs.gone(device, this.#options.timers, YIELD_MS);
  }

  /** The broker's answer. @throws GantryError PREEMPT_UNWANTED */
  allow(device: string, by: Claimant): void {
    if ("jobId" in by) {
      this.#preemption.allow(device, by, identityOf(this.#bench.state(device)));
      this.#bench.changed(device, `the broker gave it to job ${by.jobId}`);
      return;
    }
    const { initiator } = by;
    this.#preemption.allow(device, by, jobsOf(this.of(device)));
    this.#promised.set(device, { initiator, untilMs: this.#options.clock.monotonicMs() + PROMISE_MS });
    this.#bench.changed(device, `the broker gave it to ${initiator}`);
    this.#yield(device, initiator);
  }

  /** A server that was given a device and does not come has lost its turn. */
  expire(): void {
    for (const device of [...this.#promised.keys()]) {
      if (this.#promise(device) === undefined) this.#bench.changed(device, "nobody came to reserve it");
    }
  }

  #isFree(device: string, access: JobAccess): boolean {
    return jobMay(standingOf(this.#bench.state(device), ""), access);
  }

  #mayTake({ jobId, priority }: ClaimingJob, device: string): boolean {
    const state = this.#bench.state(device);
    const held = { rank: this.#preemption.rankOfServers(device, state), what: identityOf(state) };
    return this.#preemption.may(device, { jobId }, priority, held);
  }

  #serverMayTake(device: string, initiator: string, priority: number): boolean {
    const jobs = this.of(device);
    const rank = Math.max(...jobs.map((job) => job.priority));
    if (this.#preemption.may(device, { initiator }, priority, { rank, what: jobsOf(jobs) })) return true;
    const wanted = { device, by: { initiator }, priority, holder: this.#holder(device), holderPriority: rank };
    this.#preemption.want(wanted, jobsOf(jobs));
    return false;
  }

  #yield(device: string, taker: string): void {
    for (const { jobId, onYield } of this.of(device)) {
      this.#options.log.warn({ device, jobId, taker }, "a job gives its device up to a server of higher priority");
      onYield(taker);
    }
  }

  async #take(job: ClaimingJob, { device, access }: DeviceUse, watch: JobWatch): Promise<readonly NexusText[]> {
    const free = this.#isFree(device, access);
    if (this.#promise(device) !== undefined || (!free && !this.#mayTake(job, device)))
      throw new GantryError("DEVICE_RESERVED", `${device} is reserved: ${this.#holder(device)}.`, {
        details: { device },
      });
    this.#jobs.add(device, this.#hold(job, { device, access }, watch));
    if (free) {
      this.#bench.changed(device, `job ${job.jobId} took it`);
      return [];
    }
    const before = this.#bench.state(device);
    const losers = usersOf(before);
    this.#options.log.warn({ device, jobId: job.jobId, holder: this.#holder(device) }, "a job takes a device");
    const { state, attentions } = dispossessed(before, losers);
    await this.#bench.put(device, state, `job ${job.jobId} preempted who had it`);
    this.#bench.tell(device, attentions);
    return losers;
  }

  #hold({ jobId, priority }: ClaimingJob, { device, access }: DeviceUse, watch: JobWatch): JobHold {
    let had = true;
    return {
      jobId,
      access,
      priority,
      sinceMs: this.#options.clock.nowMs(),
      onJudged: (may) => {
        if (had && !may) watch.lost(device, this.#holder(device));
        if (may && !had) watch.free(device);
        had = may;
      },
      onYield: (taker) => watch.yield(device, taker),
    };
  }

  /** What servers sent before is not to land in the middle of the job. */
  async #drain(device: string): Promise<void> {
    const { plane, paths } = this.#options;
    if (this.standing(device) === "free") return;
    const units = new Set(paths.pathsTo(device).map(({ unit }) => unit));
    await Promise.all([...units].map((unit) => plane.drain(unit, ALL_CLASSES)));
  }

  #holder(device: string): string {
    const promise = this.#promise(device);
    const words = whoHolds(this.#bench.state(device), this.of(device));
    return words ?? (promise === undefined ? "somebody has it" : `the broker has given it to ${promise.initiator}`);
  }

  #promise(device: string): { readonly initiator: string } | undefined {
    const promise = this.#promised.get(device);
    if (promise === undefined || this.#options.clock.monotonicMs() < promise.untilMs) return promise;
    this.#promised.delete(device);
    return undefined;
  }
}

const jobsOf = (jobs: readonly JobHold[]): string => JSON.stringify(jobs.map(({ jobId, sinceMs }) => [jobId, sinceMs]));
