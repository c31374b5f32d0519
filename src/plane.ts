// What the supervisor sees of the bridge's data plane: units, paths with verdicts, punts, iSCSI portals. The C side is
// csrc/plane/plane.h and csrc/fabric/target.h; numbers of classes and their meaning are the supervisor's (admit/opcodes.ts).

/** A login or text PDU for the supervisor, and what it answers. Data segments are at most 8192 bytes for login, 65,536 for text. */
export interface LoginRequest {
  readonly connection: number;
  /** Index given to listen(). */
  readonly portal: number;
  /** "127.0.0.1:51234": who connected. */
  readonly peer: string;
  /** 48 bytes of basic header segment. */
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  /** True in full-feature phase: a Text Request. */
  readonly text: boolean;
}

/** What login negotiated, for the full-feature phase in C (RFC 7143 13). */
export interface FullFeature {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initiatorMaxRecvDataSegmentLength: number;
  readonly targetMaxRecvDataSegmentLength: number;
  readonly maxBurstLength: number;
  readonly firstBurstLength: number;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly maxOutstandingR2T: number;
  readonly dataPduInOrder: boolean;
  readonly dataSequenceInOrder: boolean;
  readonly discovery: boolean;
  readonly expCmdSn: number;
  readonly statSn: number;
  readonly tsih: number;
  readonly cid: number;
}

/** A command for the supervisor; INQUIRY for VPD page 8Fh too, where there is a row for THIRD-PARTY COPY OUT (83h). */
export interface Punt {
  readonly id: bigint;
  readonly nexus: number;
  readonly lun: number;
  readonly unit: number;
  readonly cdb: Uint8Array;
  /** Parameter list; empty where there is none. */
  readonly data: Uint8Array;
  /** Room for parameter data. */
  readonly room: number;
}

/** In place of a unit's number: a path that leads to no device, but whose punts come here (a place to present a key at). */
export const NO_UNIT = 0xffff_ffff;

export type RefusalReason = "no-path" | "expired" | "no-opcode" | "no-right" | "read-only" | "reserved";

export type PlaneNote =
  | { readonly kind: "unit-gone"; readonly unit: number }
  /** Its transport says that the link or device is gone for good: remove the unit, add it anew. */
  | { readonly kind: "unit-down"; readonly unit: number }
  | {
      readonly kind: "refused";
      /** Absent: of several, more than were kept apart. */
      readonly nexus?: number;
      readonly lun?: number;
      readonly unit: number;
      readonly why: RefusalReason;
      readonly opcode: number;
      readonly count: bigint;
    }
  | {
      readonly kind: "reset";
      readonly nexus: number;
      readonly lun: number;
      readonly unit: number;
      readonly function: number;
    }
  | { readonly kind: "nexus-closed"; readonly nexus: number }
  /**
   * Nobody waits for this punt any more, so that an answer goes nowhere: it was aborted, its path or nexus ended, or its
   * time was over. Comes once, after the punt itself, and before what else tells of its end: abort() of the plane,
   * "nexus-closed".
   */
  | { readonly kind: "punt-gone"; readonly punt: bigint };

export interface Verdict {
  /** Bit per class that the keys admit. */
  readonly gate: number;
  /** Bit per class that no reservation forbids. */
  readonly reservation: number;
  readonly visible: boolean;
  readonly writeProtected: boolean;
  /** Milliseconds of the monotonic clock (performance.now() of the process's CLOCK_MONOTONIC, see monotonicMs()); absent: never. */
  readonly expiresMonotonicMs?: number;
}

/** SPC-4 7.8.6: what VPD 83h of emulated devices says of the way by which it was asked. */
export interface TargetPort {
  /** RELATIVE TARGET PORT IDENTIFIER. */
  readonly relative: number;
  /** TARGET PORT GROUP. */
  readonly group: number;
  /** SCSI name string: `iqn.…,t,0x0001`. */
  readonly name: string;
}

export interface WrittenExtent {
  readonly lba: bigint;
  readonly blocks: bigint;
}

export interface PlaneEvents {
  /** Answer with loginAnswer or loginClose, in any order among connections. */
  onLogin(request: LoginRequest): void;
  /** A connection that onLogin was called for is no more; its number does not come again. */
  onGone(connection: number): void;
  /** TARGET COLD RESET by this nexus was carried out: the other sessions of its target are to end too (RFC 7143 11.5.1). */
  onColdReset(nexus: number): void;
  onPunt(punt: Punt): void;
  onNote(note: PlaneNote): void;
  /** A ring of the kernel's target says what cannot be, or its device was taken away: nothing of it is served any more. */
  onRing?(ring: number, state: "broken" | "gone"): void;
}

/** One row of the opcode table as the data plane knows it. */
export interface ClassRow {
  readonly opcode: number;
  /** Service action; absent: all of the opcode. */
  readonly action?: number;
  /** 0 to 15: bit of the verdict's masks. */
  readonly class: number;
  readonly handling: "forward" | "punt" | "luns" | "sense" | "identity";
  /** Carried out with a unit attention pending. */
  readonly noAttention?: boolean;
  /** Changes the medium. */
  readonly writes?: boolean;
  /** May take long. */
  readonly slow?: boolean;
  /** A punt that may be answered hours later: it has no time-out. At most 64 at a time, more are BUSY. */
  readonly patient?: boolean;
}

export interface PathStats {
  readonly commands: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly refused: bigint;
  readonly errors: bigint;
  readonly outstanding: number;
}

/** What decisions are made into: the supervisor's side of csrc/plane/plane.h. src/native/plane.ts implements it; units are added there. */
export interface Plane {
  /** Throws on a wrong row. Once, before the first nexus. */
  classes(rows: readonly ClassRow[]): void;
  removeUnit(unit: number): Promise<void>;

  /** Before the first path: the target port that the nexus comes by. */
  setPort(nexus: number, port: TargetPort): void;
  setPath(nexus: number, lun: number, unit: number, verdict: Verdict): void;
  clearPath(nexus: number, lun: number): void;
  attention(nexus: number, lun: number, asc: number, ascq: number): void;
  /** Resolves when no such task is left. nexus/except undefined: every one / nobody. */
  abort(unit: number, options: { nexus?: number; except?: number; status?: number }): Promise<void>;
  /** Resolves at the command boundary: no task of these classes admitted before is running. */
  drain(unit: number, classes: number, nexus?: number): Promise<void>;

  /** Of a punt that is gone, and of a closed plane, nobody waits for an answer: nothing happens. Sense data longer than 96 bytes are cut, data to the room that there is. */
  answer(punt: bigint, status: number, sense?: Uint8Array, data?: Uint8Array): void;
  pass(punt: bigint): void;
  takeWrites(unit: number): readonly WrittenExtent[];
  pathStats(nexus: number, lun: number): PathStats;

  /** Listens; resolves with the port really bound. */
  listen(portal: number, host: string, port: number): Promise<number>;
  unlisten(portal: number): Promise<void>;
  /** Opens the nexus under which the connection will enter the full-feature phase, so that its paths are set before the initiator knows that it is in. Undefined: the connection is gone, or no nexus is left. It ends with the connection. */
  openNexus(connection: number): number | undefined;
  /** The next PDU to send (header of 48 bytes without digest, data unpadded). enter: then the full-feature phase begins, under that nexus; with the answer to a Text Request: initiatorMaxRecvDataSegmentLength is now another. Undefined: gone, or a discovery session. */
  loginAnswer(connection: number, header: Uint8Array, data: Uint8Array, enter?: FullFeature): number | undefined;
  loginClose(connection: number, header?: Uint8Array, data?: Uint8Array): void;
  /** Asynchronous message, then the connection goes: reinstatement, key revoked, shutdown (RFC 7143 11.9). */
  closeNexus(nexus: number, asyncEvent?: number): void;
  close(): Promise<void>;
}
