// All copy operations, by logical unit, I_T nexus and list identifier (SPC-4 5.17.4.2). A logical unit is a copy manager of
// its own to whoever asks it, so that two programs on one server, each with its disk and both with list identifier 1, do
// not meet. The one byte of LID1 and the four of LID4 are the same number: a copy of one form can be asked for in the
// other. What ended is kept for a time, in bounds, so that nothing an initiator does makes this grow.
import type { Clock } from "../sys/clock.js";
import { STATUS } from "../wire/names.js";
import type { CopyCommand, CopyCommandKind } from "../wire/xcopy/commands.js";
import { LIST_ID_USAGE } from "../wire/xcopy/copy-list.js";
import { ASC, type CopyRefusal, refused } from "../wire/xcopy/refusal.js";
import { COPY_LIMITS } from "./limits.js";
import { isOfTokens, type KeptPart, Operation, type OperationFacts } from "./operation.js";
import { dataLid1, dataLid4, failureDetails, statusLid1, statusLid4, tokenInformation } from "./operation-answers.js";

export const KEPT = {
  /** After the end. */
  ms: 600_000,
  /** Operations that have ended, of one nexus. */
  ofNexus: 32,
  /** Held data of all operations. */
  heldBytes: 1 << 20,
} as const;

/** SAM-5 5.3.1: TASK SET FULL where the nexus waits for copies of its own, BUSY where others have taken all. */
export type NoRoom = typeof STATUS.TASK_SET_FULL | typeof STATUS.BUSY;

export type ReceiveKind = Extract<
  CopyCommandKind,
  "status-lid1" | "data-lid1" | "failure-details" | "status-lid4" | "data-lid4" | "token-information"
>;

interface Receive {
  readonly part: KeptPart;
  /** INVALID FIELD IN CDB until the copy has ended (SPC-3 6.17.3, 6.17.5). */
  readonly afterEnd: boolean;
  /** Once only, whatever there was room for; else it stays until it was fetched whole, or with ALLOCATION LENGTH 0. */
  readonly once: boolean;
  readonly answer: (operation: Operation, nowMs: number) => Uint8Array;
}

const RECEIVE: Readonly<Record<ReceiveKind, Receive>> = {
  "status-lid1": { part: "status", afterEnd: false, once: true, answer: statusLid1 },
  "status-lid4": { part: "status", afterEnd: false, once: true, answer: statusLid4 },
  "data-lid1": { part: "held", afterEnd: true, once: false, answer: dataLid1 },
  "data-lid4": { part: "held", afterEnd: false, once: false, answer: dataLid4 },
  "failure-details": { part: "failure", afterEnd: true, once: false, answer: failureDetails },
  "token-information": { part: "tokens", afterEnd: false, once: false, answer: tokenInformation },
};
/** LIST IDENTIFIER of these commands, and of COPY OPERATION ABORT. */
const LIST_ID_PLACE = 2;

const keyOf = ({ nexus, lun, listId }: Pick<OperationFacts, "nexus" | "lun" | "listId">): string =>
  `${lun} ${listId} ${nexus}`;

export class Operations {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #running = new Set<Operation>();
  /** Those that can be asked for. */
  readonly #known = new Map<string, Operation>();
  /** Ended and known, the oldest end first: all, and by nexus. */
  readonly #ended = new Set<Operation>();
  readonly #endedOf = new Map<string, Set<Operation>>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /**
   * An operation that runs from now on, or the status that says that there is no room for it.
   * @throws CopyRefusal OPERATION IN PROGRESS: its list identifier is in use (SPC-4 5.17.4.2)
   */
  begin(facts: OperationFacts): Operation | NoRoom {
    this.#sweep();
    const identified = facts.usage !== LIST_ID_USAGE.NONE;
    const before = identified ? this.#known.get(keyOf(facts)) : undefined;
    if (before?.running)
      throw refused(ASC.OPERATION_IN_PROGRESS, `list identifier ${facts.listId} is that of a copy that runs`);
    const own = this.ofNexus(facts.nexus);
    if (own.length >= COPY_LIMITS.copiesOfNexus || this.#running.size >= COPY_LIMITS.copies)
      return own.some((operation) => !operation.facts.background) ? STATUS.TASK_SET_FULL : STATUS.BUSY;
    if (before !== undefined) this.#forget(before);
    const operation = new Operation(facts, {
      nowMs: () => this.#clock.monotonicMs(),
      roomToHold: (one, bytes) => this.#roomToHold(one, bytes),
      ended: (one) => this.#keep(one),
    });
    this.#running.add(operation);
    if (identified) this.#known.set(keyOf(facts), operation);
    return operation;
  }

  /** Running, or ended and kept; never one without a list identifier. */
  find(nexus: string, lun: number, listId: number): Operation | undefined {
    this.#sweep();
    return this.#known.get(keyOf({ nexus, lun, listId }));
  }

  /** What COPY OPERATION ABORT is about; one that has ended is no error. @throws CopyRefusal there is none */
  toAbort(nexus: string, lun: number, listId: number): Operation {
    const operation = this.find(nexus, lun, listId);
    if (operation === undefined) throw unknown(listId);
    return operation;
  }

  /**
   * Parameter data of a RECEIVE command. What it hands over whole of an operation that has ended is dropped then.
   * @throws CopyRefusal INVALID FIELD IN CDB: no such operation, or not yet
   */
  receive(nexus: string, lun: number, command: CopyCommand & { readonly kind: ReceiveKind }): Uint8Array {
    const { part, afterEnd, once, answer } = RECEIVE[command.kind];
    const operation = this.toAbort(nexus, lun, command.listId);
    const gone = !operation.running && !operation.keeps(part);
    // Held data and failures that are not there are answered with none of them; a status cannot be.
    if (gone && (part === "status" || (part === "tokens" && isOfTokens(operation.facts.kind))))
      throw unknown(command.listId);
    if (operation.running && afterEnd)
      throw refused(ASC.CDB_FIELD, `the copy with list identifier ${command.listId} still runs`, LIST_ID_PLACE);
    const data = answer(operation, this.#clock.monotonicMs());
    const fetched = once || command.length === 0 || command.length >= data.length;
    if (!operation.running && fetched && !operation.fetched(part)) this.#forget(operation);
    return data;
  }

  /** All that run, in the order of their beginning. */
  running(): readonly Operation[] {
    return [...this.#running];
  }

  /** Those of a nexus that run. */
  ofNexus(nexus: string): readonly Operation[] {
    return this.running().filter(({ facts }) => facts.nexus === nexus);
  }

  /** Those that run and came to this device's logical unit. */
  onUnit(device: string): readonly Operation[] {
    return this.running().filter(({ facts }) => facts.device === device);
  }

  /** I_T nexus loss: what it could have asked for is forgotten. @returns what still runs */
  nexusClosed(nexus: string): readonly Operation[] {
    for (const operation of [...this.#known.values()]) if (operation.facts.nexus === nexus) this.#forget(operation);
    return this.ofNexus(nexus);
  }

  /** Logical unit reset: nobody can ask for what began there. @returns what still runs */
  unitReset(device: string): readonly Operation[] {
    for (const operation of [...this.#known.values()]) if (operation.facts.device === device) this.#forget(operation);
    return this.onUnit(device);
  }

  #keep(operation: Operation): void {
    this.#running.delete(operation);
    const { nexus } = operation.facts;
    // Without an identifier, or forgotten while it ran, perhaps with another in its place.
    if (this.#known.get(keyOf(operation.facts)) !== operation) return;
    this.#ended.add(operation);
    const own = this.#endedOf.get(nexus) ?? new Set();
    this.#endedOf.set(nexus, own.add(operation));
    for (const oldest of own) {
      if (own.size <= KEPT.ofNexus) break;
      this.#forget(oldest);
    }
    this.#sweep();
  }

  #forget(operation: Operation): void {
    const { nexus } = operation.facts;
    this.#known.delete(keyOf(operation.facts));
    this.#ended.delete(operation);
    const own = this.#endedOf.get(nexus);
    own?.delete(operation);
    if (own?.size === 0) this.#endedOf.delete(nexus);
    operation.dropHeld();
  }

  #sweep(): void {
    const before = this.#clock.monotonicMs() - KEPT.ms;
    for (const oldest of this.#ended) {
      if ((oldest.endedMs ?? 0) > before) break;
      this.#forget(oldest);
    }
  }

  /** Of one operation as much as VPD page 8Fh says; of all together what was held longest makes room. */
  #roomToHold(operation: Operation, bytes: number): number {
    if (this.#known.get(keyOf(operation.facts)) !== operation) return 0;
    const wanted = Math.min(bytes, COPY_LIMITS.heldBytes - operation.heldBytes);
    let held = 0;
    for (const one of this.#known.values()) held += one.heldBytes;
    for (const oldest of this.#ended) {
      if (held + wanted <= KEPT.heldBytes) break;
      held -= oldest.heldBytes;
      oldest.dropHeld();
    }
    return Math.min(wanted, Math.max(0, KEPT.heldBytes - held));
  }
}

const unknown = (listId: number): CopyRefusal =>
  refused(ASC.CDB_FIELD, `no copy of this nexus and logical unit has list identifier ${listId}`, LIST_ID_PLACE);
