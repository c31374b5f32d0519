// The live arbiter: takes the commands that reservations decide, one after the other for each device, puts what has to
// survive on stable storage, changes what the data plane lets through, tells who has to know, and answers last.
import type { Punt } from "../../plane.js";
import { messageOf } from "../../sys/errors.js";
import { SENSE_KEY, STATUS } from "../../wire/names.js";
import { fixedSense } from "../../wire/sense-encode.js";
import type { ArbiterOptions, UnitFacts } from "./arbiter-options.js";
import { goesThrough, type ReservationClass, reservationMask, type Standing } from "./classes.js";
import { arbiterFacts, type ReservationFacts, whoHolds } from "./facts.js";
import { type ClaimingJob, type DeviceUse, JobClaims } from "./job-claims.js";
import { type JobWatch, stricter } from "./job-holds.js";
import { classByCdb, isReserving, judge, nexusLost, unitReset } from "./machine.js";
import type { Claimant } from "./preemption.js";
import { changeOf, loadReservations } from "./records.js";
import { nextGeneration, type Situation, unregister } from "./register.js";
import {
  type NexusText,
  nexusParts,
  persistentHolders,
  standingOf,
  UNRESERVED,
  type UnitReservations,
} from "./state.js";
import { type Attention, cleared, type Step } from "./step.js";

/** INTERNAL TARGET FAILURE: what could not be stored was not done. */
const NOT_DONE = fixedSense(SENSE_KEY.HARDWARE_ERROR, 0x44, 0x00);

export class Arbiter {
  readonly #options: ArbiterOptions;
  readonly #states = new Map<string, UnitReservations>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #jobs: JobClaims;
  /** Device → since when its holders are away, as far as expire() saw. */
  readonly #awayMs = new Map<string, number>();

  constructor(options: ArbiterOptions) {
    this.#options = options;
    this.#jobs = new JobClaims(options, {
      state: (device) => this.state(device),
      inTurn: (device, work) => this.#inTurn(device, work),
      put: (device, state, why) => this.#put(device, state, why),
      tell: (device, attentions) => this.#tell(device, attentions),
      changed: (device, why) => this.#changed(device, why),
      abort: (device, nexuses) => this.#abort(device, nexuses),
    });
  }

  /** What survived. Before any nexus gets a path. */
  load(): void {
    for (const [device, state] of loadReservations(this.#options.store)) {
      this.#states.set(device, state);
      if (state.lost) this.#options.log.error({ device }, "the stored reservations of a device cannot be read");
    }
  }

  /** For the verdict of a path: classes[n] is the reservation class of command class n for the device's type. */
  mask(device: string, nexus: NexusText, classes: readonly ReservationClass[]): number {
    return reservationMask(this.standing(device, nexus), classes);
  }

  standing(device: string, nexus: NexusText): Standing {
    return stricter(standingOf(this.state(device), nexus), this.#jobs.standing(device));
  }

  state(device: string): UnitReservations {
    return this.#states.get(device) ?? UNRESERVED;
  }

  /** Whoever holds a device, in words; undefined: nobody. For every refusal. */
  holder(device: string): string | undefined {
    return whoHolds(this.state(device), this.#jobs.of(device));
  }

  /** Every device of which there is something to say. */
  list(): readonly ReservationFacts[] {
    const devices = new Set([...this.#states.keys(), ...this.#jobs.devices()]);
    return [...devices].sort().map((device) => this.facts(device));
  }

  facts(device: string): ReservationFacts {
    return arbiterFacts(device, this.state(device), this.#jobs.of(device));
  }

  /** A punt of reservation class "arbiter". Answered, or passed on to the unit; never both, never neither. */
  punt(punt: Punt): Promise<void> {
    const { plane, paths } = this.#options;
    const unit = paths.unit(punt.unit);
    const nexus = paths.nexusText(punt.nexus);
    if (unit === undefined || nexus === undefined) {
      plane.answer(punt.id, STATUS.BUSY);
      return Promise.resolve();
    }
    return this.#inTurn(unit.device, () => this.#carryOut(punt, unit, nexus)).catch((error: unknown) => {
      this.#options.log.error({ device: unit.device, nexus, error }, "a reservation was not made");
      plane.answer(punt.id, STATUS.CHECK_CONDITION, NOT_DONE);
    });
  }

  /** The session of a nexus has ended. */
  nexusLost(device: string, nexus: NexusText): Promise<void> {
    return this.#inTurn(device, () => this.#put(device, nexusLost(this.state(device), nexus), "nexus lost"));
  }

  /** LOGICAL UNIT RESET or a reset of its target. */
  unitReset(device: string): Promise<void> {
    return this.#inTurn(device, () => this.#put(device, unitReset(this.state(device)), "reset"));
  }

  /** An operator or the broker takes everything away from everybody; returns what there was. */
  async clear(device: string): Promise<ReservationFacts> {
    const before = this.facts(device);
    await this.#inTurn(device, async () => {
      const { state, attentions } = cleared(this.state(device));
      await this.#put(device, state, "cleared");
      this.#tell(device, attentions);
    });
    return before;
  }

  /** Ends persistent reservations whose holders are all away for longer than the lease; call every few seconds. */
  async expire(): Promise<void> {
    this.#jobs.expire();
    for (const device of [...this.#states.keys()]) {
      if (this.#isOverdue(device)) await this.#inTurn(device, () => this.#endLease(device));
    }
  }

  async #endLease(device: string): Promise<void> {
    // Somebody may have come back while others had their turn.
    if (!this.#isOverdue(device)) return;
    const before = this.state(device);
    const { state, attentions } = unregister(before, persistentHolders(before), "");
    await this.#put(device, { ...state, generation: nextGeneration(state) }, "the lease of its holder ended");
    this.#tell(device, attentions);
  }

  /** See JobClaims. */
  claim(job: ClaimingJob, uses: readonly DeviceUse[], watch: JobWatch): Promise<() => void> {
    return this.#jobs.claim(job, uses, watch);
  }

  /** Whether a job could have the device now. */
  jobMay(job: ClaimingJob, use: DeviceUse): boolean {
    return this.#jobs.mayStart(job, use);
  }

  /** A job waits for a device that a server has. */
  want(job: ClaimingJob, device: string): void {
    this.#jobs.want(job, device);
  }

  /** The broker's word: whoever has the device loses it to one that wants it. @throws GantryError PREEMPT_UNWANTED */
  preempt(device: string, by: Claimant): ReservationFacts {
    const before = this.facts(device);
    this.#jobs.allow(device, by);
    return before;
  }

  async #carryOut(punt: Punt, { device, deviceType }: UnitFacts, nexus: NexusText): Promise<void> {
    const { plane } = this.#options;
    const before = this.state(device);
    const judgement = judge(before, punt.cdb, punt.data, this.#situation(device, nexus), deviceType);
    if (judgement === "pass") {
      if (goesThrough(this.#jobs.standing(device), classByCdb(punt.cdb, deviceType))) plane.pass(punt.id);
      else plane.answer(punt.id, STATUS.RESERVATION_CONFLICT);
      return;
    }
    // Nobody reserves a device from under a job that does not give it up.
    if (isReserving(before, judgement.state) && !(await this.#jobs.makeWay(device, nexus, judgement.state))) {
      plane.answer(punt.id, STATUS.RESERVATION_CONFLICT);
      return;
    }
    await this.#put(device, judgement.state, `command ${(punt.cdb[0] ?? 0).toString(16)}h of ${nexus}`);
    this.#tell(device, judgement.attentions);
    this.#answerAfterAborts(punt, device, judgement);
  }

  #situation(device: string, nexus: NexusText): Situation {
    const { paths, clock } = this.#options;
    const texts = [...paths.pathsTo(device), ...this.state(device).registrations.map((r) => ({ text: r.nexus }))];
    const initiators = texts.map(({ text }) => nexusParts(text)?.initiator).filter((port) => port !== undefined);
    return { nexus, nowMs: clock.nowMs(), targetPorts: paths.targetPorts(device), initiators };
  }

  /** Storage first, then the data plane; whoever is told afterwards finds both done. */
  async #put(device: string, state: UnitReservations, why: string): Promise<void> {
    const before = this.state(device);
    if (state === before) return;
    const change = changeOf(device, before, state);
    if (change !== undefined) await this.#options.store.batch([change]);
    this.#states.set(device, state);
    this.#changed(device, why);
    this.#jobs.judged(device);
  }

  #changed(device: string, why: string): void {
    this.#options.paths.changed(device);
    this.#options.onChange(this.facts(device), why);
  }

  #tell(device: string, attentions: readonly Attention[]): void {
    const paths = this.#options.paths.pathsTo(device);
    for (const { nexus, code } of attentions) {
      for (const path of paths.filter(({ text }) => text === nexus))
        this.#options.plane.attention(path.nexus, path.lun, code[0], code[1]);
    }
  }

  /** The turn of the device ends before: a task that is hard to abort must not stop the arbiter. */
  #answerAfterAborts(punt: Punt, device: string, { answer, abort }: Step): void {
    const { plane, log } = this.#options;
    const say = (): void =>
      plane.answer(punt.id, answer.status, answer.sense && fixedSense(...answer.sense), answer.data);
    if (abort.length === 0) {
      say();
      return;
    }
    void this.#abort(device, abort)
      .catch((error: unknown) => log.error({ device, reason: messageOf(error) }, "tasks could not be aborted"))
      .then(say);
  }

  async #abort(device: string, nexuses: readonly NexusText[]): Promise<void> {
    const { plane, paths } = this.#options;
    const tasks = paths.pathsTo(device).filter(({ text }) => nexuses.includes(text));
    await Promise.all(tasks.map(({ nexus, unit }) => plane.abort(unit, { nexus, status: STATUS.TASK_ABORTED })));
  }

  /** None of the holders of a persistent reservation was seen for longer than the lease. */
  #isOverdue(device: string): boolean {
    const { clock, policy, paths } = this.#options;
    const holders = persistentHolders(this.state(device));
    if (holders.length === 0 || paths.pathsTo(device).some(({ text }) => holders.includes(text))) {
      this.#awayMs.delete(device);
      return false;
    }
    const nowMs = clock.monotonicMs();
    const awayMs = this.#awayMs.get(device) ?? nowMs;
    this.#awayMs.set(device, awayMs);
    const { leaseMs } = policy();
    return leaseMs > 0 && nowMs - awayMs >= leaseMs;
  }

  /** One thing after the other for a device. */
  #inTurn(device: string, work: () => Promise<void> | void): Promise<void> {
    const turn = (this.#turns.get(device) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(device, settled);
    void settled.then(() => {
      if (this.#turns.get(device) === settled) this.#turns.delete(device);
    });
    return turn;
  }
}
