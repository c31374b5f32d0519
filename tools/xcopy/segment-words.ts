// A segment descriptor in the words that make it (segment-parse.ts).
import type { TransportId } from "../../src/wire/transport-id.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { dataText } from "./data-words.js";
import { SPACE_CODES } from "./segment-parse.js";
import { sizeText } from "./words.js";

/** The names that a list's devices have in words. */
export interface DeviceNames {
  /** By CSCD descriptor ID; "cscd:N" where there is no name, or where it is the name of another kind of device. */
  name(id: number, as?: "disk" | "tape"): string;
  /** As Devices.fixedBytes of places.ts. */
  fixedBytes(id: number): number;
}

const EOD = 3;

export function segmentText(segment: Segment, names: DeviceNames): string {
  const d = (id: number, lba: bigint, more = ""): string => `${names.name(id, "disk")}@${lba}${more}`;
  const t = (id: number, transfer: number): string => {
    const fixed = names.fixedBytes(id);
    return `${names.name(id, "tape")}/${sizeText(BigInt(transfer) * BigInt(fixed === 0 ? 1 : fixed))}`;
  };
  const bytes = (count: number): string => `+${sizeText(BigInt(count))}`;
  const s = segment;
  switch (s.kind) {
    case "block-stream":
      return `blocks ${d(s.source, s.lba, `+${s.blocks}`)} -> ${t(s.destination, s.transfer)}${flags(s)}`;
    case "stream-block":
      return `tape ${t(s.source, s.transfer)} -> ${d(s.destination, s.lba, `+${s.blocks}`)}${flags(s)}`;
    case "block-block": {
      const dc = s.destinationCount ? " dc" : "";
      return `blocks ${d(s.source, s.sourceLba, `+${s.blocks}`)} -> ${d(s.destination, s.destinationLba)}${dc}${flags(s)}`;
    }
    case "stream-stream":
      return `tape ${t(s.source, s.sourceTransfer)}${bytes(s.byteCount)} -> ${t(s.destination, s.destinationTransfer)}${flags(s)}`;
    case "inline-stream":
      return `inline data@${s.inlineOffset}${bytes(s.byteCount)} -> ${t(s.destination, s.transfer)}${flags(s)}`;
    case "embedded-stream":
      return `embed ${dataText(s.data)} -> ${t(s.destination, s.transfer)}${flags(s)}`;
    case "stream-discard":
      return `discard ${t(s.source, s.transfer)}${bytes(s.byteCount)}${flags(s)}`;
    case "verify":
      return `verify ${names.name(s.source)}${s.testUnitReady ? "" : " untested"}`;
    case "offset-stream":
      return `bytes ${d(s.source, s.lba, `:${s.byteOffset}${bytes(s.byteCount)}`)} -> ${t(s.destination, s.transfer)}${flags(s)}`;
    case "stream-offset":
      return `bytes ${t(s.source, s.transfer)} -> ${d(s.destination, s.lba, `:${s.byteOffset}${bytes(s.byteCount)}`)}${flags(s)}`;
    case "offset-offset": {
      const from = d(s.source, s.sourceLba, `:${s.sourceOffset}${bytes(s.byteCount)}`);
      return `bytes ${from} -> ${d(s.destination, s.destinationLba, `:${s.destinationOffset}`)}${flags(s)}`;
    }
    case "filemarks":
      return `filemarks ${names.name(s.destination)} ${s.count}${s.immediate ? " immediate" : ""}`;
    case "space":
      return `space ${names.name(s.destination)} ${spaceText(s.code, s.count)}`;
    case "locate":
      return `locate ${names.name(s.destination)} ${s.objectId}`;
    case "tape-image": {
      const end = s.filemarks === 0 ? "" : ` filemarks ${s.filemarks}`;
      return `image ${names.name(s.source)} -> ${names.name(s.destination)}${end}`;
    }
    case "register-key":
      return `register ${names.name(s.destination)} ${keys(s)}`;
    case "source-nexus": {
      const port = s.port === 0 ? "" : ` port=${s.port}`;
      const more = `${s.unregister ? " unregister" : ""}${s.aptpl ? " aptpl" : ""}`;
      return `move ${names.name(s.destination)} to ${portText(s.transportId)}${port} ${keys(s)}${more}`;
    }
    case "block-image": {
      const count = s.blocks === 0 ? "" : `+${s.blocks}`;
      return `image ${d(s.source, s.sourceLba, count)} -> ${d(s.destination, s.destinationLba)}`;
    }
    case "rod-ranges": {
      const ranges = s.ranges.map(({ lba, blocks }) => `${lba}+${blocks}`).join(",");
      return `rod ${names.name(s.source, "disk")}@${ranges} -> ${names.name(s.destination)}`;
    }
    case "rod-range":
      return `rodrange ${d(s.source, s.lba, `+${s.blocks}`)} -> ${names.name(s.destination)}`;
  }
}

const flags = (segment: { readonly cat: boolean; readonly hold?: boolean }): string =>
  `${segment.cat ? " cat" : ""}${segment.hold === true ? " hold" : ""}`;

function spaceText(code: number, count: number): string {
  const name = SPACE_CODES[code];
  if (code === EOD && count === 0) return "eod";
  const signed = count >= 0x80_0000 ? count - 0x100_0000 : count;
  return name === undefined || code === EOD ? `code ${code} ${signed}` : `${name} ${signed}`;
}

const keys = ({ key, actionKey }: { readonly key: bigint; readonly actionKey: bigint }): string =>
  `key=0x${key.toString(16)} action=0x${actionKey.toString(16)}`;

export function portText(id: TransportId): string {
  if (id.protocol === "sas") return `sas:${id.address}`;
  if (id.protocol === "fc") return `fc:${id.name}`;
  return "isid" in id ? `iscsi:${id.name},i,0x${id.isid}` : `iscsi:${id.name}`;
}
