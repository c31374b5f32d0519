// The copy manager: takes the commands of third-party copies that the data plane hands up, answers those that ask, and runs
// those that copy, on the engine and in the terms of the broker's jobs. One bridge is the copy manager of all of its
// logical units; what an initiator can reach by it is what it can reach itself.
import { COMMAND_CLASSES } from "../admit/opcodes.js";
import type { PlaneNote, Punt } from "../plane.js";
import { isGantryError } from "../sys/errors.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { fixedSense } from "../wire/sense-encode.js";
import { COPY_IN, COPY_OUT, type CopyCommand, decodeCopyCommand } from "../wire/xcopy/commands.js";
import { fixedCopySense } from "../wire/xcopy/copy-sense.js";
import { ASC, CopyRefusal, refused } from "../wire/xcopy/refusal.js";
import { ActiveCopy, type StopReason } from "./active.js";
import { asksForDescription, describe } from "./descriptions.js";
import { operatingParametersData, supportsCommand } from "./limits.js";
import type { CopyManagerOptions, CopySession } from "./manager-options.js";
import type { Operation, OperationFacts } from "./operation.js";
import { Operations, type ReceiveKind } from "./operations.js";
import { type Order, orderOf } from "./orders.js";
import { type RefusedCopy, refusedCopy } from "./refused-copy.js";
import { type Asker, failureOf, forbidden, type SeenPath } from "./resolver.js";
import type { TokenPlant } from "./run-tokens.js";
import type { CopyAccess } from "./steps.js";
import { Turns } from "./turns.js";

const INQUIRY = 0x12;
/** SAM-5 7: the one function that resets no logical unit. */
const IT_NEXUS_RESET = 0x10;
/** G_SENSE: EXTENDED COPY INFORMATION AVAILABLE. */
const COMPLETED = fixedSense(SENSE_KEY.COMPLETED, 0x00, 0x20);
const NO_ROOM = "As many copies run or wait as there is room for.";
const NOT_DONE = fixedSense(SENSE_KEY.HARDWARE_ERROR, 0x44, 0x00);

type CopyOutKind = OperationFacts["kind"];

export class CopyManager {
  readonly #options: CopyManagerOptions;
  readonly #operations: Operations;
  readonly #active = new Map<Operation, ActiveCopy>();
  readonly #turns = new Turns();

  constructor(options: CopyManagerOptions) {
    this.#options = options;
    this.#operations = new Operations(options.clock);
  }

  /** Whether the command is the copy manager's; VPD page 8Fh is too. */
  takes(cdb: Uint8Array): boolean {
    return cdb[0] === COPY_OUT || cdb[0] === COPY_IN || asksForDescription(cdb);
  }

  /** Copies that run now. */
  running(): readonly ActiveCopy[] {
    for (const active of this.#active.values()) active.refresh();
    return [...this.#active.values()];
  }

  /** The command is answered in any case, some time; never throws. */
  onPunt(punt: Punt): void {
    this.#carryOut(punt).catch((error: unknown) => this.#fail(punt, error));
  }

  onNote(note: PlaneNote): void {
    if (note.kind === "punt-gone") {
      // Its task stays until it is answered, and so does who asked for its end: nothing happens behind that.
      if (this.#turns.gone(note.punt)) this.#answer(note.punt, STATUS.BUSY);
      for (const active of this.#active.values()) if (active.punt === note.punt) active.stop("aborted");
    }
    if (note.kind !== "reset") return;
    const session = this.#options.session(note.nexus);
    if (note.function === IT_NEXUS_RESET) {
      if (session !== undefined) this.nexusClosed(session.text);
      return;
    }
    const device = session?.paths().get(note.lun)?.device;
    if (device !== undefined) this.#stopAll(this.#operations.unitReset(device), "reset");
  }

  /** I_T nexus loss: its copies end (SPC-4 5.17.4.3), and nobody can ask for them. */
  nexusClosed(text: string): void {
    this.#stopAll(this.#operations.nexusClosed(text), "nexus-lost");
  }

  /** Keys or reservations changed. */
  judge(): void {
    for (const active of this.#active.values()) active.judge();
  }

  /** Resolves when copies that are stopped use the unit no more; those that may go on do. */
  async drained(unit: number): Promise<void> {
    const leaving = [...this.#active.values()].filter((one) => one.stopped !== undefined && one.usesUnit(unit));
    await Promise.all(leaving.map(({ ended }) => ended));
  }

  /** Stops a copy by its number in the lists. */
  stop(active: ActiveCopy, why: StopReason): Promise<void> {
    active.stop(why);
    return active.ended;
  }

  async close(): Promise<void> {
    this.#turns.close();
    const all = [...this.#active.values()];
    for (const active of all) active.stop("shutdown");
    await Promise.all(all.map(({ ended }) => ended));
  }

  #stopAll(operations: readonly Operation[], why: StopReason): void {
    for (const operation of operations) this.#active.get(operation)?.stop(why);
  }

  async #carryOut(punt: Punt): Promise<void> {
    const session = this.#options.session(punt.nexus);
    const path = session?.paths().get(punt.lun);
    if (session === undefined || path === undefined) return this.#answer(punt.id, STATUS.BUSY);
    const type = this.#options.typeOf(path.device);
    if (asksForDescription(punt.cdb)) {
      // An emulated device has these commands in its own table.
      if (punt.cdb[0] !== INQUIRY && (type === "changer" || this.#options.isEmulated(path.device)))
        return this.#options.plane.pass(punt.id);
      return this.#describe(punt, path.device, type === "tape" ? "tape" : "disk", this.#seesTape(session));
    }
    const command = decodeCopyCommand(punt.cdb);
    if (command === undefined || type === "changer" || !supportsCommand(type, command.kind))
      throw refused(ASC.CDB_FIELD, "no such service action here", 1, 4);
    if (punt.cdb[0] === COPY_IN) return this.#receive(punt, command, session);
    await this.#copyOut(punt, command, session, path);
  }

  #seesTape({ paths }: CopySession): boolean {
    return [...paths().values()].some(({ device }) => this.#options.typeOf(device) === "tape");
  }

  async #describe(punt: Punt, device: string, type: "disk" | "tape", streams: boolean): Promise<void> {
    const { status, sense, data } = await describe(punt.cdb, device, type, streams, this.#options.plant.units);
    this.#answer(punt.id, status, sense, data);
  }

  #receive(punt: Punt, command: CopyCommand, session: CopySession): void {
    for (const active of this.#active.values()) active.refresh();
    let data: Uint8Array;
    if (command.kind === "operating-parameters") data = operatingParametersData(this.#seesTape(session));
    else if (command.kind === "all-tokens")
      data = this.#options.plant.tokens.report(({ device: of }) => sees(session, of));
    else data = this.#operations.receive(session.text, punt.lun, { ...command, kind: command.kind as ReceiveKind });
    this.#answer(punt.id, STATUS.GOOD, undefined, data.subarray(0, command.length));
  }

  async #copyOut(punt: Punt, command: CopyCommand, session: CopySession, path: SeenPath): Promise<void> {
    if (command.kind === "abort") {
      const operation = this.#operations.toAbort(session.text, punt.lun, command.listId);
      const active = this.#active.get(operation);
      active?.stop("aborted");
      await active?.ended;
      return this.#answer(punt.id, STATUS.GOOD);
    }
    // The unit that has the command is reserved for somebody else: it conflicts as what writes does (SPC-4 table 66).
    if (isReserved(path)) {
      const problem = `${path.device}, which has the command, is reserved for another initiator.`;
      return this.#refuse(punt, STATUS.RESERVATION_CONFLICT, problem);
    }
    const access = TOKEN_ACCESS[command.kind];
    const blocked = access === undefined ? undefined : forbidden(path, access);
    if (blocked !== undefined)
      return this.#refuse(punt, blocked.status, `${path.device} does not let it ${access}.`, blocked.sense);
    // No list is no error, and no copy (SPC-4 6.4.1).
    if (command.length === 0) return this.#answer(punt.id, STATUS.GOOD);
    if (punt.data.length < command.length)
      throw refused(ASC.LIST_LENGTH, `${punt.data.length} bytes of ${command.length} have come`);
    const asker: Asker = {
      nexus: punt.nexus,
      lun: punt.lun,
      paths: session.paths,
      streams: this.#seesTape(session),
    };
    const data = punt.data.slice(0, command.length);
    const order = orderOf(command, data, asker, session.initiator, this.#plant(punt.nexus));
    const place = { nexus: session.text, lun: punt.lun, device: path.device, kind: command.kind as CopyOutKind };
    const facts = { ...place, ...order.facts };
    const before = this.#turns.before(facts, this.#active.values());
    if (before !== undefined) {
      const turn = await this.#turns.wait(punt.id, facts.nexus, before);
      if (turn === "full") this.#refuse(punt, STATUS.TASK_SET_FULL, NO_ROOM);
      // Keys, reservations and the session itself may be others by now.
      else if (turn === "begin") await this.#carryOut(punt);
      return;
    }
    const operation = this.#operations.begin(facts);
    if (typeof operation === "number") return this.#refuse(punt, operation, NO_ROOM);
    const active = new ActiveCopy(operation, asker, punt.id);
    this.#active.set(operation, active);
    if (order.facts.background) this.#give(active, STATUS.GOOD);
    await this.#run(active, order, session.initiator);
  }

  #plant(nexus: number): TokenPlant {
    const { plant, reserveOut, onWrote } = this.#options;
    return {
      ...plant,
      reserveOut: (device, cdb, list) => reserveOut(nexus, device, cdb, list),
      onWrote: (device, extents) => {
        plant.tokens.wrote(device, extents);
        onWrote(device, extents);
      },
    };
  }

  async #run(active: ActiveCopy, order: Order, initiator: string): Promise<void> {
    const { operation } = active;
    let failure: CopyRefusal | undefined;
    try {
      this.#options.onBegin(active, initiator);
      const state = await order.run(active);
      if (active.stopped !== undefined) throw active.stopped.refusal;
      // Segments that move nothing may be in no step.
      if (state === "done") operation.progress({ segments: operation.facts.segments, commands: 0 });
      operation.end({ state });
      this.#give(active, STATUS.GOOD, order.goodSense ? COMPLETED : undefined);
    } catch (error) {
      if (!isGantryError(error)) this.#options.log.error({ error }, "a third-party copy met a defect of the bridge");
      failure = refusalOf(active.stopped?.refusal ?? error);
      const { fault } = failure;
      const [status, sense] = [STATUS.CHECK_CONDITION, fixedCopySense(fault)];
      const terminated = active.stopped !== undefined && active.stopped.why !== "not-allowed";
      operation.end({ state: terminated ? "terminated" : "failed", status, sense, fault });
      this.#give(active, status, sense);
    } finally {
      this.#active.delete(operation);
      active.settle();
      this.#options.onEnd(active, initiator, failure);
    }
  }

  /** The status of the command, once, where anybody still waits for it. */
  #give(active: ActiveCopy, status: number, sense?: Uint8Array): void {
    const { punt } = active;
    active.punt = undefined;
    if (punt !== undefined) this.#answer(punt, status, sense);
  }

  #fail(punt: Punt, error: unknown): void {
    if (error instanceof CopyRefusal) {
      this.#refuse(punt, STATUS.CHECK_CONDITION, error.message, fixedCopySense(error.fault), error.details);
      return;
    }
    this.#options.log.error({ error }, "a third-party copy met a defect of the bridge");
    this.#refuse(punt, STATUS.CHECK_CONDITION, "The bridge met a defect of its own; its log has it.", NOT_DONE);
  }

  /** Answers a command that began no copy, and tells of it where one was asked for. */
  #refuse(
    punt: Punt,
    status: number,
    problem: string,
    sense: Uint8Array = new Uint8Array(0),
    details?: RefusedCopy["details"],
  ): void {
    this.#answer(punt.id, status, sense);
    const session = this.#options.session(punt.nexus);
    const copy = session && refusedCopy(punt, session, { status, sense, problem, ...(details && { details }) });
    if (copy !== undefined) this.#options.onRefused?.(copy);
  }

  #answer(punt: bigint, status: number, sense?: Uint8Array, data?: Uint8Array): void {
    this.#options.plane.answer(punt, status, sense, data);
  }
}

const TOKEN_ACCESS: Readonly<Partial<Record<CopyCommand["kind"], CopyAccess>>> = {
  "populate-token": "read",
  "write-using-token": "write",
};

const refusalOf = (error: unknown): CopyRefusal =>
  error instanceof CopyRefusal ? error : failureOf(error, "source", 0);

const isReserved = ({ verdict }: SeenPath): boolean =>
  (verdict.reservation & (1 << COMMAND_CLASSES.position.bit)) === 0;

const sees = ({ paths }: CopySession, device: string): boolean =>
  [...paths().values()].some((path) => path.device === device && forbidden(path, "read") === undefined);
