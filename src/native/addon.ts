// Finds and loads the addon, and says what its functions look like. They take positional, already checked
// arguments; device.ts, lu.ts and copy.ts give them their shape. null stands for "not given".
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PathStats, Punt } from "../plane.js";
import { GantryError, messageOf } from "../sys/errors.js";
import type { TraceRecord } from "./records.js";
import type { CopyEvent, CopyStats, RingStats, ScsiAnswer, TargetStats } from "./types.js";

declare const kind: unique symbol;
/** A share of a native object; only the addon can make one. */
export type Handle<K extends string> = { readonly [kind]: K };
export type DeviceHandle = Handle<"device">;
export type LuHandle = Handle<"lu">;
export type ArenaHandle = Handle<"arena">;
export type CopyHandle = Handle<"copy">;
export type PlaneHandle = Handle<"plane">;
export type PathsHandle = Handle<"paths">;
export type UeventsHandle = Handle<"uevents">;
export type TapHandle = Handle<"tap">;
export type Unit = readonly [LuHandle, type: number, blockBytes: number, blocks: bigint, maxIoBytes: number];

export interface OpenedLu {
  readonly handle: LuHandle;
  readonly maxTransfer: number;
  readonly maxQueue: number;
}

/** gt_target_event of csrc/fabric/target.h; nexus 2^32-1: none. */
export interface RawEvent {
  readonly kind: number;
  readonly connection: number;
  readonly portal: number;
  readonly nexus: number;
  readonly peer: string;
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** gt_note of csrc/plane/plane.h. */
export interface RawNote {
  readonly kind: number;
  readonly nexus: number;
  readonly lun: number;
  readonly unit: number;
  readonly cookie: bigint;
  readonly why: number;
  readonly opcode: number;
  readonly count: bigint;
  readonly function: number;
}

/** gt_lio_event of csrc/lio/lio.h. */
export interface RawRing {
  readonly kind: number;
  readonly ring: number;
}

export interface Taken {
  readonly events: readonly RawEvent[];
  readonly punts: readonly Punt[];
  readonly notes: readonly RawNote[];
  readonly rings: readonly RawRing[];
}

/** gt_trace_record of csrc/transport/trace.h. */
export interface RawRecord extends Omit<TraceRecord, "outcome" | "direction" | "unit"> {
  readonly unit: number;
  readonly direction: number;
  readonly outcome: number;
}

type Text = string | null;

/** How a real device is reached. */
export type SgArguments = [path: string, reservedBytes: number, directIo: boolean];
export type IscsiArguments = [
  portal: string,
  target: string,
  lun: number,
  initiator: string,
  user: Text,
  secret: Text,
  targetUser: Text,
  targetSecret: Text,
  headerDigest: boolean,
  connectTimeoutMs: number,
];
/** Where a unit's commands can be recorded, if anywhere, and as whose. */
export type TapArguments = [tap: TapHandle | null, tag: number];

export interface Addon {
  openDisk(
    path: string,
    blockBytes: number,
    blocks: bigint,
    vendor: Text,
    product: Text,
    serial: Text,
    thin: boolean,
    readOnly: boolean,
    maxTransferBlocks: number,
    volatileCache: boolean,
    removable: boolean,
    physicalBlockBytes: number,
  ): DeviceHandle;
  openTape(vendor: Text, product: Text, serial: Text, maxBlockBytes: number, volatileCache: boolean): DeviceHandle;
  tapeLoad(
    tape: DeviceHandle,
    path: string,
    capacityBytes: bigint,
    earlyWarningBytes: bigint,
    writeProtected: boolean,
    worm: boolean,
  ): Promise<void>;
  tapeUnload(tape: DeviceHandle): Promise<void>;
  deviceInject(
    device: DeviceHandle,
    opcode: number,
    first: bigint,
    last: bigint,
    skip: number,
    count: number,
    status: number,
    key: number,
    asc: number,
    ascq: number,
    outcome: number,
    after: boolean,
    deferred: boolean,
    delayMs: number,
  ): void;
  deviceClearFaults(device: DeviceHandle): void;
  devicePace(device: DeviceHandle, bytesPerS: bigint): void;
  tapeStream(tape: DeviceHandle, bytesPerS: bigint, bufferBytes: bigint): void;
  tapeStreamCounts(tape: DeviceHandle): [starts: number, underruns: number];
  deviceClose(device: DeviceHandle): void;

  luOpenVirtual(device: DeviceHandle, ...tap: TapArguments): Promise<OpenedLu>;
  luOpenSg(...details: [...SgArguments, ...TapArguments]): Promise<OpenedLu>;
  luOpenIscsi(...details: [...IscsiArguments, ...TapArguments]): Promise<OpenedLu>;
  luOpenPaths(paths: PathsHandle, ...tap: TapArguments): Promise<OpenedLu>;
  tapOpen(): TapHandle;
  tapSet(tap: TapHandle, tags: Uint8Array): void;
  tapTake(tap: TapHandle): { readonly records: readonly RawRecord[]; readonly lost: bigint };
  pathsOpen(again: Uint8Array, checkMs: number, onChanged: () => void): PathsHandle;
  pathsAdd(
    paths: PathsHandle,
    id: number,
    path: string,
    reservedBytes: number,
    directIo: boolean,
    settle: boolean,
    type: number,
    value: Uint8Array,
    vendor: string,
  ): Promise<void>;
  pathsRemove(paths: PathsHandle, id: number): void;
  pathsFacts(paths: PathsHandle): readonly (readonly [id: number, state: number, failures: number])[] | undefined;
  pathsClose(paths: PathsHandle): void;
  ueventsStart(onChanged: () => void): UeventsHandle;
  ueventsStop(uevents: UeventsHandle): void;
  bsgProbe(path: string): number;
  luExecute(
    lu: LuHandle,
    cdb: Uint8Array,
    dataIn: number,
    dataOut: Uint8Array | null,
    timeoutMs: number,
  ): Promise<ScsiAnswer>;
  luClose(lu: LuHandle): Promise<void>;

  createArena(bytes: bigint): ArenaHandle;
  arenaFreeBytes(arena: ArenaHandle): bigint;
  arenaClose(arena: ArenaHandle): void;

  startCopy(
    arena: ArenaHandle,
    units: readonly Unit[],
    ringBytes: bigint,
    tapeBlockBytes: number,
    sourceBlockBytes: number,
    ioBytes: number,
    depth: number,
    sha256: boolean,
    zeroFill: boolean,
    sourceCrcs: boolean,
    keepMember: boolean,
    leaveCached: boolean,
    streamOffset: bigint,
    tapeObject: bigint,
    digest: Uint8Array | null,
    checkpointBytes: bigint,
    checkpointMs: number,
    bytesPerS: bigint,
    commandTimeoutMs: number,
    tapeTimeoutMs: number,
    retryLimit: number,
    busyLimitMs: number,
    onEvents: () => void,
  ): CopyHandle;
  copyAppend(copy: CopyHandle, gather: Uint8Array, scatter: Uint8Array, inline: Uint8Array): boolean;
  copyFinish(copy: CopyHandle): void;
  copyPause(copy: CopyHandle): void;
  copyResume(copy: CopyHandle): void;
  copyCancel(copy: CopyHandle): void;
  copyRate(copy: CopyHandle, bytesPerS: bigint): void;
  copyTake(copy: CopyHandle): CopyEvent[];
  copyStats(copy: CopyHandle): CopyStats;
  copyClose(copy: CopyHandle): Promise<void>;

  planeOpen(
    puntTimeoutMs: number,
    reactors: number,
    connections: number,
    poolBytes: bigint,
    queueDepth: number,
    loginTimeoutMs: number,
    spinUs: number,
    onEvents: () => void,
  ): PlaneHandle;
  planeClose(plane: PlaneHandle): Promise<void>;
  planeTake(plane: PlaneHandle): Taken;
  planeClasses(plane: PlaneHandle, rows: Uint8Array): void;
  planeAddDevice(plane: PlaneHandle, unit: number, device: DeviceHandle, inline: boolean): void;
  planeAddLu(
    plane: PlaneHandle,
    unit: number,
    timeoutMs: number,
    slowTimeoutMs: number,
    transport: "sg" | "paths" | "iscsi",
    ...details: SgArguments | [paths: PathsHandle] | IscsiArguments
  ): Promise<number>;
  planeRemoveUnit(plane: PlaneHandle, unit: number): void;
  planeSetPort(plane: PlaneHandle, nexus: number, relative: number, group: number, name: string): void;
  planeSetPath(
    plane: PlaneHandle,
    nexus: number,
    lun: number,
    unit: number,
    gate: number,
    reservation: number,
    visible: boolean,
    writeProtected: boolean,
    expiresNs: bigint,
  ): boolean;
  planeClearPath(plane: PlaneHandle, nexus: number, lun: number): void;
  planeAttention(plane: PlaneHandle, nexus: number, lun: number, asc: number, ascq: number): void;
  planeAbort(plane: PlaneHandle, unit: number, nexus: number, except: number, status: number, cookie: bigint): void;
  planeDrain(plane: PlaneHandle, unit: number, nexus: number, classes: number, cookie: bigint): void;
  planeAnswer(
    plane: PlaneHandle,
    punt: bigint,
    status: number,
    sense: Uint8Array | null,
    data: Uint8Array | null,
  ): void;
  planePass(plane: PlaneHandle, punt: bigint): void;
  planeTakeWrites(plane: PlaneHandle, unit: number): readonly bigint[];
  planeTrace(plane: PlaneHandle, filters: Uint8Array): void;
  planeTakeTrace(plane: PlaneHandle): { readonly records: readonly RawRecord[]; readonly lost: bigint };
  planePathStats(plane: PlaneHandle, nexus: number, lun: number): PathStats;
  targetListen(plane: PlaneHandle, portal: number, host: string, port: number): number;
  targetUnlisten(plane: PlaneHandle, portal: number): void;
  targetOpenNexus(plane: PlaneHandle, connection: number): number | undefined;
  targetAnswer(
    plane: PlaneHandle,
    connection: number,
    header: Uint8Array,
    data: Uint8Array,
    enter: readonly number[] | null,
  ): number | undefined;
  targetRefuse(plane: PlaneHandle, connection: number, header: Uint8Array | null, data: Uint8Array | null): void;
  targetCloseNexus(plane: PlaneHandle, nexus: number, asyncEvent: number): void;
  targetStats(plane: PlaneHandle): TargetStats;
  lioOpenNexus(plane: PlaneHandle): number | undefined;
  lioCloseNexus(plane: PlaneHandle, nexus: number): void;
  lioAttach(plane: PlaneHandle, nexus: number, lun: number, sequential: boolean, node: string, bytes: bigint): number;
  lioDetach(plane: PlaneHandle, ring: number): void;
  lioStats(plane: PlaneHandle): RingStats;

  crc32c(data: Uint8Array, seed: number): number;
  notify(socketPath: string, state: string): void;
  lockFile(fd: number): boolean;
}

/** The package's root, seen from the compiled file as well as from the source. */
export function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest)) {
      const parsed: unknown = JSON.parse(readFileSync(manifest, "utf8"));
      if (typeof parsed === "object" && parsed !== null && "name" in parsed && parsed.name === "gantry") return folder;
    }
    if (folder === dirname(folder))
      throw new GantryError("NATIVE_FAILED", `No package "gantry" lies above ${start}; install Gantry as a whole.`, {
        details: { errno: "ENOENT" },
      });
  }
}

/** Where the build puts the addon. */
export function addonFile(): string {
  return join(packageRoot(), "build", "bin", "gantry.node");
}

/** Loads the addon. Each thread and each call gets functions of its own; they share nothing but code. */
export function loadAddon(file: string = addonFile()): Addon {
  try {
    return createRequire(import.meta.url)(file) as Addon;
  } catch (error) {
    throw new GantryError(
      "NATIVE_FAILED",
      `The data plane ${file} cannot be loaded (${messageOf(error)}); build it with "npm run build:native".`,
      { cause: error, details: { errno: existsSync(file) ? "ELIBACC" : "ENOENT", file } },
    );
  }
}
