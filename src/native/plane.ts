// The bridge's data plane and its iSCSI target: checks in words, settles what notes answer, and hands what is taken to
// the supervisor's callbacks. The contract is src/plane.ts.
import type {
  ClassRow,
  FullFeature,
  PathStats,
  Plane,
  PlaneEvents,
  PlaneNote,
  RefusalReason,
  TargetPort,
  Verdict,
  WrittenExtent,
} from "../plane.js";
import type { Addon, PlaneHandle, RawEvent, RawNote } from "./addon.js";
import { bytes, flag, integer, oneOf, text, U16_MAX, U32_MAX, wide } from "./check.js";
import { deviceHandle } from "./device.js";
import { call, callLater, invalid } from "./failure.js";
import { iscsiArguments, sgArguments } from "./lu.js";
import { openPaths } from "./paths.js";
import type { TraceFilter } from "./records.js";
import { PlaneRings } from "./rings.js";
import { recordOf } from "./tap.js";
import type { EmulatedDevice, NativePlane, PlaneOptions, RealTarget, TargetStats } from "./types.js";

const HEADER_BYTES = 48;
const LOGIN_DATA_MAX = 65_536;
const PUNT_DATA_MAX = 98_304;
/** SPC-4 4.5.1; what the data plane has no room for is cut. */
const SENSE_MAX = 252;
const LUNS_MAX = 256;
const PORTALS_MAX = 64;
const TIMEOUT_MAX_MS = 7 * 86_400_000;
const NOBODY = U32_MAX;
const NO_MESSAGE = 255;

/** Numbers of csrc/plane/plane.h gt_handling and gt_class_flags. */
const HANDLING = { forward: 0, punt: 1, luns: 2, sense: 3, identity: 4 } as const;
const FLAG = { noAttention: 1, writes: 2, slow: 4, patient: 8 } as const;
const ROW_BYTES = 8;
const FILTER_BYTES = 8;
/** gt_note_kind and gt_refusal. */
const NOTE = {
  UNIT_GONE: 1,
  ABORTED: 2,
  DRAINED: 3,
  REFUSED: 4,
  RESET: 5,
  NEXUS_CLOSED: 6,
  UNIT_DOWN: 7,
  PUNT_GONE: 8,
} as const;
const WHY: readonly RefusalReason[] = ["no-path", "expired", "no-opcode", "no-right", "read-only", "reserved"];
/** gt_target_event_kind. */
const EVENT = { LOGIN: 1, TEXT: 2, GONE: 3, COLD_RESET: 4 } as const;

class BridgePlane implements NativePlane {
  readonly rings: PlaneRings;
  readonly #addon: Addon;
  readonly #events: PlaneEvents;
  readonly #handle: PlaneHandle;
  /** Whom a note with this cookie answers. */
  readonly #waiting = new Map<bigint, () => void>();
  /** Who waits for a unit to be gone. */
  readonly #leaving = new Map<number, (() => void)[]>();
  #cookie = 0n;

  constructor(addon: Addon, handle: PlaneHandle, events: PlaneEvents) {
    this.#addon = addon;
    this.#handle = handle;
    this.#events = events;
    this.rings = new PlaneRings(addon, handle, events);
  }

  classes(rows: readonly ClassRow[]): void {
    const packed = Buffer.alloc(rows.length * ROW_BYTES);
    rows.forEach((row, index) => {
      const at = index * ROW_BYTES;
      const flags =
        (row.noAttention === true ? FLAG.noAttention : 0) |
        (row.writes === true ? FLAG.writes : 0) |
        (row.slow === true ? FLAG.slow : 0) |
        (row.patient === true ? FLAG.patient : 0);
      packed.writeUInt8(integer("opcode", row.opcode, 0, 0xff), at);
      packed.writeUInt8(integer("class", row.class, 0, 15), at + 1);
      packed.writeUInt8(HANDLING[row.handling], at + 2);
      packed.writeUInt8(flags, at + 3);
      packed.writeInt16LE(integer("action", row.action, 0, 0x7fff, -1), at + 4);
    });
    call(() => this.#addon.planeClasses(this.#handle, packed));
  }

  addDevice(unit: number, device: EmulatedDevice, inline: boolean): void {
    const handle = deviceHandle(device);
    if (handle === undefined) throw invalid("device is not an emulated device of this process.", { field: "device" });
    call(() => this.#addon.planeAddDevice(this.#handle, unitNumber(unit), handle, flag("inline", inline)));
  }

  async addLu(unit: number, target: RealTarget, timeoutMs: number, slowTimeoutMs: number): Promise<number> {
    const place = unitNumber(unit);
    const ordinary = integer("timeoutMs", timeoutMs, 1, TIMEOUT_MAX_MS);
    const slow = integer("slowTimeoutMs", slowTimeoutMs, 1, TIMEOUT_MAX_MS);
    oneOf("transport", target.transport, ["sg", "paths", "iscsi"]);
    if (target.transport === "paths")
      return openPaths(this.#addon, target, (paths) =>
        this.#addon.planeAddLu(this.#handle, place, ordinary, slow, "paths", paths),
      );
    const details = target.transport === "sg" ? sgArguments(target) : iscsiArguments(target);
    return await callLater(() =>
      this.#addon.planeAddLu(this.#handle, place, ordinary, slow, target.transport, ...details),
    );
  }

  async removeUnit(unit: number): Promise<void> {
    call(() => this.#addon.planeRemoveUnit(this.#handle, unitNumber(unit)));
    await new Promise<void>((resolve) => {
      const others = this.#leaving.get(unit);
      if (others === undefined) this.#leaving.set(unit, [resolve]);
      else others.push(resolve);
    });
  }

  setPort(nexus: number, { relative, group, name }: TargetPort): void {
    call(() =>
      this.#addon.planeSetPort(
        this.#handle,
        integer("nexus", nexus, 0, U32_MAX),
        integer("relative", relative, 1, U16_MAX),
        integer("group", group, 0, U16_MAX),
        text("name", name),
      ),
    );
  }

  setPath(nexus: number, lun: number, unit: number, verdict: Verdict): void {
    call(() =>
      this.#addon.planeSetPath(
        this.#handle,
        integer("nexus", nexus, 0, U32_MAX),
        integer("lun", lun, 0, LUNS_MAX - 1),
        integer("unit", unit, 0, U32_MAX),
        integer("gate", verdict.gate, 0, U16_MAX),
        integer("reservation", verdict.reservation, 0, U16_MAX),
        flag("visible", verdict.visible),
        flag("writeProtected", verdict.writeProtected),
        expiry(verdict.expiresMonotonicMs),
      ),
    );
  }

  clearPath(nexus: number, lun: number): void {
    call(() => this.#addon.planeClearPath(this.#handle, nexus, lun));
  }

  attention(nexus: number, lun: number, asc: number, ascq: number): void {
    call(() => this.#addon.planeAttention(this.#handle, nexus, lun, asc, ascq));
  }

  async abort(unit: number, { nexus, except, status }: Parameters<Plane["abort"]>[1]): Promise<void> {
    await this.#noted((cookie) =>
      this.#addon.planeAbort(this.#handle, unit, nexus ?? NOBODY, except ?? NOBODY, status ?? 0, cookie),
    );
  }

  async drain(unit: number, classes: number, nexus?: number): Promise<void> {
    const mask = integer("classes", classes, 0, U16_MAX);
    await this.#noted((cookie) => this.#addon.planeDrain(this.#handle, unit, nexus ?? NOBODY, mask, cookie));
  }

  answer(punt: bigint, status: number, sense?: Uint8Array, data?: Uint8Array): void {
    const checked = sense === undefined ? null : bytes("sense", sense, 0, SENSE_MAX);
    const parameters = data === undefined ? null : bytes("data", data, 0, PUNT_DATA_MAX);
    call(() => this.#addon.planeAnswer(this.#handle, punt, integer("status", status, 0, 0xff), checked, parameters));
  }

  pass(punt: bigint): void {
    call(() => this.#addon.planePass(this.#handle, punt));
  }

  takeWrites(unit: number): readonly WrittenExtent[] {
    const flat = call(() => this.#addon.planeTakeWrites(this.#handle, unit));
    const extents: WrittenExtent[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) extents.push({ lba: flat[at] ?? 0n, blocks: flat[at + 1] ?? 0n });
    return extents;
  }

  pathStats(nexus: number, lun: number): PathStats {
    return call(() => this.#addon.planePathStats(this.#handle, nexus, lun));
  }

  async listen(portal: number, host: string, port: number): Promise<number> {
    return await callLater(async () =>
      this.#addon.targetListen(
        this.#handle,
        integer("portal", portal, 0, PORTALS_MAX - 1),
        text("host", host, 64),
        integer("port", port, 0, U16_MAX),
      ),
    );
  }

  async unlisten(portal: number): Promise<void> {
    await callLater(async () => this.#addon.targetUnlisten(this.#handle, portal));
  }

  openNexus(connection: number): number | undefined {
    return call(() => this.#addon.targetOpenNexus(this.#handle, connection));
  }

  loginAnswer(connection: number, header: Uint8Array, data: Uint8Array, enter?: FullFeature): number | undefined {
    const first = bytes("header", header, HEADER_BYTES, HEADER_BYTES);
    const rest = bytes("data", data, 0, LOGIN_DATA_MAX);
    const negotiated = enter === undefined ? null : fullFeatureNumbers(enter);
    return call(() => this.#addon.targetAnswer(this.#handle, connection, first, rest, negotiated));
  }

  loginClose(connection: number, header?: Uint8Array, data?: Uint8Array): void {
    const last = header === undefined ? null : bytes("header", header, HEADER_BYTES, HEADER_BYTES);
    call(() => this.#addon.targetRefuse(this.#handle, connection, last, data ?? null));
  }

  closeNexus(nexus: number, asyncEvent?: number): void {
    const event = integer("asyncEvent", asyncEvent, 0, 254, NO_MESSAGE);
    call(() => this.#addon.targetCloseNexus(this.#handle, nexus, event));
  }

  stats(): TargetStats {
    return call(() => this.#addon.targetStats(this.#handle));
  }

  trace(filters: readonly TraceFilter[]): void {
    const packed = Buffer.alloc(filters.length * FILTER_BYTES);
    filters.forEach(({ nexus, unit }, index) => {
      packed.writeUInt32LE(integer("nexus", nexus, 0, U32_MAX, NOBODY), index * FILTER_BYTES);
      packed.writeUInt32LE(integer("unit", unit, 0, U32_MAX, NOBODY), index * FILTER_BYTES + 4);
    });
    call(() => this.#addon.planeTrace(this.#handle, packed));
  }

  takeTrace(): ReturnType<NativePlane["takeTrace"]> {
    const { records, lost } = call(() => this.#addon.planeTakeTrace(this.#handle));
    return { records: records.map(recordOf), lost };
  }

  async close(): Promise<void> {
    await callLater(() => this.#addon.planeClose(this.#handle));
    // Whatever was waited for has come about: nothing runs and no unit is left.
    for (const done of this.#waiting.values()) done();
    for (const done of [...this.#leaving.values()].flat()) done();
    this.rings.closed();
    this.#waiting.clear();
    this.#leaving.clear();
  }

  async #noted(ask: (cookie: bigint) => void): Promise<void> {
    const cookie = ++this.#cookie;
    call(() => ask(cookie));
    await new Promise<void>((resolve) => this.#waiting.set(cookie, resolve));
  }

  /** Something is waiting to be taken. */
  take(): void {
    const { events, punts, notes, rings } = this.#addon.planeTake(this.#handle);
    // A callback that throws must not keep the others from theirs: each failure is thrown where nobody is in between.
    const apart = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    };
    // Notes last: who closed a nexus has seen its punts by then.
    for (const event of events) apart(() => this.#onEvent(event));
    for (const punt of punts) apart(() => this.#events.onPunt(punt));
    for (const note of notes) apart(() => this.#onNote(note));
    for (const ring of rings) apart(() => this.rings.taken(ring));
  }

  #onEvent({ kind, connection, portal, nexus, peer, header, data }: RawEvent): void {
    if (kind === EVENT.GONE) this.#events.onGone(connection);
    else if (kind === EVENT.COLD_RESET) this.#events.onColdReset(nexus);
    else this.#events.onLogin({ connection, portal, peer, header, data, text: kind === EVENT.TEXT });
  }

  #onNote(raw: RawNote): void {
    if (raw.kind === NOTE.ABORTED || raw.kind === NOTE.DRAINED) {
      const done = this.#waiting.get(raw.cookie);
      this.#waiting.delete(raw.cookie);
      done?.();
      return;
    }
    const note = noteOf(raw);
    if (note === undefined) return;
    if (note.kind === "unit-gone") {
      const waiting = this.#leaving.get(note.unit) ?? [];
      this.#leaving.delete(note.unit);
      for (const done of waiting) done();
    }
    this.#events.onNote(note);
  }
}

function noteOf({
  kind,
  nexus,
  lun,
  unit,
  cookie,
  why,
  opcode,
  count,
  function: code,
}: RawNote): PlaneNote | undefined {
  switch (kind) {
    case NOTE.UNIT_GONE:
      return { kind: "unit-gone", unit };
    case NOTE.UNIT_DOWN:
      return { kind: "unit-down", unit };
    case NOTE.RESET:
      return { kind: "reset", nexus, lun, unit, function: code };
    case NOTE.NEXUS_CLOSED:
      return { kind: "nexus-closed", nexus };
    case NOTE.PUNT_GONE:
      return { kind: "punt-gone", punt: cookie };
    case NOTE.REFUSED: {
      const who = { ...(nexus === NOBODY ? {} : { nexus }), ...(lun === NOBODY ? {} : { lun }) };
      return { kind: "refused", ...who, unit, why: WHY[why - 1] ?? "no-path", opcode, count };
    }
    default:
      return undefined;
  }
}

const unitNumber = (unit: number): number => integer("unit", unit, 0, 255);

/** From this thread's performance.now() to nanoseconds of CLOCK_MONOTONIC; what is over stays over, 0 would be never. */
function expiry(atMs: number | undefined): bigint {
  if (atMs === undefined) return 0n;
  const leftMs = Math.min(atMs - performance.now(), Number.MAX_SAFE_INTEGER / 1e3);
  const at = process.hrtime.bigint() + BigInt(Math.floor(leftMs * 1e6));
  return at > 0n ? at : 1n;
}

/** In the order of csrc/binding/plane_target.cc. */
function fullFeatureNumbers(enter: FullFeature): readonly number[] {
  return [
    enter.headerDigest,
    enter.dataDigest,
    enter.initiatorMaxRecvDataSegmentLength,
    enter.targetMaxRecvDataSegmentLength,
    enter.maxBurstLength,
    enter.firstBurstLength,
    enter.initialR2T,
    enter.immediateData,
    enter.maxOutstandingR2T,
    enter.dataPduInOrder,
    enter.dataSequenceInOrder,
    enter.discovery,
    enter.expCmdSn,
    enter.statSn,
    enter.tsih,
    enter.cid,
  ].map(Number);
}

export function openPlane(addon: Addon, options: PlaneOptions, events: PlaneEvents): NativePlane {
  let plane: BridgePlane | undefined;
  const handle = call(() =>
    addon.planeOpen(
      integer("puntTimeoutMs", options.puntTimeoutMs, 0, TIMEOUT_MAX_MS, 0),
      integer("reactors", options.reactors, 0, 64, 0),
      integer("connections", options.connections, 0, 65_536, 0),
      wide("poolBytes", options.poolBytes, 0n),
      integer("queueDepth", options.queueDepth, 0, 4096, 0),
      integer("loginTimeoutMs", options.loginTimeoutMs, 0, TIMEOUT_MAX_MS, 0),
      integer("spinUs", options.spinUs, 0, 1_000_000, 0),
      () => plane?.take(),
    ),
  );
  plane = new BridgePlane(addon, handle, events);
  return plane;
}
