// One copy operation (SPC-4 5.17.4): from the command that begins it until nobody can ask for it any more. Who may ask, and
// for how long, is operations.ts; what is answered is operation-answers.ts.
import { STATUS } from "../wire/names.js";
import type { CopyCommandKind } from "../wire/xcopy/commands.js";
import { LIST_ID_USAGE } from "../wire/xcopy/copy-list.js";
import type { CopyFault } from "../wire/xcopy/refusal.js";

export type OperationKind = Extract<
  CopyCommandKind,
  "copy-lid1" | "copy-lid4" | "populate-token" | "write-using-token"
>;

/** Those of SBC-3, which RECEIVE ROD TOKEN INFORMATION is about. */
export const isOfTokens = (kind: OperationKind): boolean => kind === "populate-token" || kind === "write-using-token";

export interface OperationFacts {
  /** The I_T nexus, as text. */
  readonly nexus: string;
  readonly lun: number;
  /** The device behind this logical unit, which the command came to. */
  readonly device: string;
  readonly kind: OperationKind;
  readonly listId: number;
  /** LIST ID USAGE; the commands of tokens always have an identifier: HOLD. */
  readonly usage: number;
  /** IMMED: the command has its status, and the copy goes on. */
  readonly background: boolean;
  /** Segments, or ranges, in all. */
  readonly segments: number;
  /** To be written; absent: not known before the end. */
  readonly totalBytes?: bigint;
}

/** partial: less of a token was used, or made, than was asked for; residual: COPY OPERATION STATUS 04h. */
export type EndState = "done" | "partial" | "residual" | "failed" | "terminated";

export interface OperationEnd {
  readonly state: EndState;
  /** What the command ends with, or would have if it had not ended at once; absent: GOOD. */
  readonly status?: number;
  readonly sense?: Uint8Array;
  /** What the sense data was made of. */
  readonly fault?: CopyFault;
}

/** What is kept of an operation that has ended, each until it was fetched. */
export type KeptPart = "status" | "held" | "failure" | "tokens";

/** What an operation asks of the table that it is in. */
export interface OperationHome {
  nowMs(): number;
  /** How many of these bytes there is room for. */
  roomToHold(operation: Operation, bytes: number): number;
  ended(operation: Operation): void;
}

/** Reads as a record; only the methods change it. */
export class Operation {
  readonly facts: OperationFacts;
  /** Monotonic. */
  readonly startedMs: number;
  readonly #home: OperationHome;
  readonly #parts = new Set<KeptPart>();
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #heldDiscarded = false;
  #segmentsDone = 0;
  #bytes = 0n;
  #blockBytes: number | undefined;
  #commands = 0;
  #tokens: readonly Uint8Array[] = [];
  #end: OperationEnd | undefined;
  #endedMs: number | undefined;

  constructor(facts: OperationFacts, home: OperationHome) {
    this.facts = facts;
    this.#home = home;
    this.startedMs = home.nowMs();
  }

  get state(): "running" | EndState {
    return this.#end?.state ?? "running";
  }
  get running(): boolean {
    return this.#end === undefined;
  }
  get segmentsDone(): number {
    return this.#segmentsDone;
  }
  get bytes(): bigint {
    return this.#bytes;
  }
  /** Commands of tokens count blocks of so many bytes (SBC-3 5.23); undefined: bytes are counted. */
  get blockBytes(): number | undefined {
    return this.#blockBytes ?? (isOfTokens(this.facts.kind) ? 1 : undefined);
  }
  /** Commands sent to devices, modulo 65,536 (OPERATION COUNTER). */
  get commands(): number {
    return this.#commands;
  }
  get heldBytes(): number {
    return this.#heldBytes;
  }
  /** HDD: some of what was to be held is not there, or is not there any more. */
  get heldDiscarded(): boolean {
    return this.#heldDiscarded;
  }
  get tokens(): readonly Uint8Array[] {
    return this.#tokens;
  }
  get result(): OperationEnd | undefined {
    return this.#end;
  }
  get endedMs(): number | undefined {
    return this.#endedMs;
  }

  /** Of the logical unit that has the command, as soon as it was asked. */
  countsBlocksOf(bytes: number): void {
    this.#blockBytes = bytes;
  }

  /** How far it is by now; what is left out has not changed. */
  progress({
    segments,
    bytes,
    commands = 1,
  }: {
    readonly segments?: number;
    readonly bytes?: bigint;
    /** Sent since the last call; absent: one, since a change of the counter is what shows that a copy is alive. */
    readonly commands?: number;
  }): void {
    this.#segmentsDone = segments ?? this.#segmentsDone;
    this.#bytes = bytes ?? this.#bytes;
    this.#commands = (this.#commands + commands) & 0xffff;
  }

  /** Keeps a copy of data for the application client, in the order of the stream; what there is no room for is dropped. */
  hold(data: Uint8Array): void {
    const wanted = this.facts.usage === LIST_ID_USAGE.HOLD && this.running ? data.length : 0;
    // Bytes behind a gap would be taken for those that are missing.
    const room = this.#heldDiscarded || wanted === 0 ? 0 : this.#home.roomToHold(this, wanted);
    if (room < data.length) this.#heldDiscarded = true;
    if (room === 0) return;
    this.#held.push(data.slice(0, room));
    this.#heldBytes += room;
  }

  /** All that is held. */
  held(): Uint8Array {
    const whole = new Uint8Array(Buffer.concat(this.#held));
    if (this.#held.length > 1) this.#held = [whole];
    return whole;
  }

  dropHeld(): void {
    if (this.#heldBytes > 0) this.#heldDiscarded = true;
    this.#held = [];
    this.#heldBytes = 0;
    this.#parts.delete("held");
  }

  /** A token that POPULATE TOKEN made. */
  made(token: Uint8Array): void {
    this.#tokens = [...this.#tokens, token];
  }

  /** The first end counts: false, it had ended before. */
  end(result: OperationEnd): boolean {
    if (this.#end !== undefined) return false;
    this.#end = result;
    this.#endedMs = this.#home.nowMs();
    this.#parts.add("status");
    if (this.#heldBytes > 0) this.#parts.add("held");
    if (this.failed) this.#parts.add("failure");
    if (isOfTokens(this.facts.kind)) this.#parts.add("tokens");
    this.#home.ended(this);
    return true;
  }

  /** It ended with a status other than GOOD, which RECEIVE COPY FAILURE DETAILS is about. */
  get failed(): boolean {
    return this.#end !== undefined && (this.#end.status ?? STATUS.GOOD) !== STATUS.GOOD;
  }

  /** Whether this can still be fetched of an operation that has ended. */
  keeps(part: KeptPart): boolean {
    return this.#parts.has(part);
  }

  /** It was fetched. @returns whether anything is left */
  fetched(part: KeptPart): boolean {
    if (part === "held") this.dropHeld();
    // The status stands in front of the tokens; a copy has none, and keeps its status.
    if (part === "tokens" && isOfTokens(this.facts.kind)) this.#parts.delete("status");
    this.#parts.delete(part);
    return this.#parts.size > 0;
  }
}
