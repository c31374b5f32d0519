// Logical units: opening one over any transport, and single commands.
import type { Addon, IscsiArguments, LuHandle, OpenedLu, SgArguments } from "./addon.js";
import { bytes, flag, integer, text, U32_MAX } from "./check.js";
import { deviceHandle } from "./device.js";
import { callLater, invalid } from "./failure.js";
import { openOverPaths } from "./paths.js";
import type { Tapped } from "./records.js";
import { tapArguments } from "./tap.js";
import { type ExecuteOptions, type Lu, type LuTarget, PARAMETER_MAX, type ScsiAnswer } from "./types.js";

const TIMEOUT_MS = 30_000;
/** A day: longer than the longest tape command, and small enough for every transport's timer. */
const TIMEOUT_MAX_MS = 86_400_000;
const CONNECT_TIMEOUT_MS = 10_000;
const RESERVED_BYTES = 1 << 20;
/** RFC 7143 4.2.7.1: an iSCSI name has at most 223 bytes. */
const ISCSI_NAME_BYTES = 223;
const CHAP_BYTES = 255;
const CDB_LENGTHS: readonly number[] = [6, 10, 12, 16, 32];

class NativeLu implements Lu {
  readonly maxTransferBytes: number;
  readonly maxQueue: number;
  readonly handle: LuHandle;

  constructor(
    private readonly addon: Addon,
    readonly transport: Lu["transport"],
    opened: OpenedLu,
  ) {
    this.handle = opened.handle;
    this.maxTransferBytes = opened.maxTransfer;
    this.maxQueue = opened.maxQueue;
  }

  async execute(cdb: Uint8Array, options: ExecuteOptions = {}): Promise<ScsiAnswer> {
    const command = bytes("cdb", cdb, 6, 32);
    if (!CDB_LENGTHS.includes(command.byteLength))
      throw invalid(`cdb has ${command.byteLength} bytes, not ${CDB_LENGTHS.join(" or ")}.`, { field: "cdb" });
    const dataIn = integer("dataIn", options.dataIn, 0, PARAMETER_MAX, 0);
    const dataOut = options.dataOut === undefined ? null : bytes("dataOut", options.dataOut, 0, PARAMETER_MAX);
    if (dataIn > 0 && dataOut !== null && dataOut.byteLength > 0)
      throw invalid("dataIn and dataOut are both given; a command moves data one way only.", { field: "dataIn" });
    const timeoutMs = integer("timeoutMs", options.timeoutMs, 1, TIMEOUT_MAX_MS, TIMEOUT_MS);
    return await callLater(() => this.addon.luExecute(this.handle, command, dataIn, dataOut, timeoutMs));
  }

  async close(): Promise<void> {
    await callLater(() => this.addon.luClose(this.handle));
  }
}

function chap(
  name: string,
  pair: { readonly user: string; readonly secret: string } | undefined,
): [string, string] | null {
  if (pair === undefined) return null;
  return [text(`${name}.user`, pair.user, CHAP_BYTES), text(`${name}.secret`, pair.secret, CHAP_BYTES)];
}

type Target<T extends LuTarget["transport"]> = Extract<LuTarget, { readonly transport: T }>;

/** What the addon wants to know of a device behind the kernel's generic driver. */
export function sgArguments(target: Target<"sg">): SgArguments {
  return [
    text("path", target.path),
    integer("reservedBytes", target.reservedBytes, 4096, 1 << 26, RESERVED_BYTES),
    flag("directIo", target.directIo),
  ];
}

/** The same of a logical unit of an iSCSI target. */
export function iscsiArguments(target: Target<"iscsi">): IscsiArguments {
  const ours = chap("chap", target.chap);
  const theirs = chap("targetChap", target.targetChap);
  if (theirs !== null && ours === null)
    throw invalid("targetChap needs chap: a target proves itself only to an initiator that does.", { field: "chap" });
  return [
    text("portal", target.portal),
    text("target", target.target, ISCSI_NAME_BYTES),
    integer("lun", target.lun, 0, U32_MAX),
    text("initiator", target.initiator, ISCSI_NAME_BYTES),
    ours?.[0] ?? null,
    ours?.[1] ?? null,
    theirs?.[0] ?? null,
    theirs?.[1] ?? null,
    flag("headerDigest", target.headerDigest),
    integer("connectTimeoutMs", target.connectTimeoutMs, 1, TIMEOUT_MAX_MS, CONNECT_TIMEOUT_MS),
  ];
}

function open(addon: Addon, target: LuTarget, tapped: Tapped | undefined): Promise<OpenedLu> {
  const tap = tapArguments(tapped);
  switch (target.transport) {
    case "virtual": {
      const device = deviceHandle(target.device);
      if (device === undefined) throw invalid("device is not an emulated device of this process.", { field: "device" });
      return addon.luOpenVirtual(device, ...tap);
    }
    case "sg":
      return addon.luOpenSg(...sgArguments(target), ...tap);
    case "paths":
      return openOverPaths(addon, target, tap);
    case "iscsi":
      return addon.luOpenIscsi(...iscsiArguments(target), ...tap);
    default:
      throw invalid("transport is none of virtual, sg, paths and iscsi.", { field: "transport" });
  }
}

export async function openLu(addon: Addon, target: LuTarget, tapped?: Tapped): Promise<Lu> {
  const opened = await callLater(async () => await open(addon, target, tapped));
  return new NativeLu(addon, target.transport, opened);
}

/** The handle behind a logical unit of this module, or undefined for anything else. */
export function luHandle(lu: unknown): LuHandle | undefined {
  return lu instanceof NativeLu ? lu.handle : undefined;
}
