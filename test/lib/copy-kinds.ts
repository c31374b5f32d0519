// One segment of every kind, between devices that the test names: tables over all kinds are made of these.

import type { TransportId } from "../../src/wire/transport-id.js";
import type { Segment, SegmentKind } from "../../src/wire/xcopy/segments.js";

type DeviceKind = "disk" | "tape";
/** Rights of SPC-4 table 66 that a segment needs of a device. */
export type Wants = "read" | "write" | "position" | "look" | "reserve";

export interface KindRow {
  readonly source?: readonly [DeviceKind, Wants];
  readonly destination?: readonly [DeviceKind, Wants];
  /** A copy of its data may be held for the application client. */
  readonly holds?: boolean;
  make(source: number, destination: number, hold: boolean): Segment;
}

const BLOCKS = 8;
const BYTES = 4096;
/** Of the tape blocks that the source tape has. */
const TRANSFER = 512;
const PORT: TransportId = { protocol: "iscsi", name: "iqn.2024-01.org.example:host-a", isid: "400001370001" };

const disk = (wants: Wants) => ["disk", wants] as const;
const tape = (wants: Wants) => ["tape", wants] as const;
const both = (source: number, destination: number) => ({ cat: false, source, destination });
const onTape = { transfer: TRANSFER, blocks: BLOCKS, lba: 3n };
const offset = { transfer: TRANSFER, byteCount: BYTES, lba: 3n, byteOffset: 5 };

/** Kinds that this copy manager has: the compiler sees that none is left out. */
export const KINDS: Readonly<Record<Exclude<SegmentKind, "rod-ranges" | "rod-range">, KindRow>> = {
  "block-stream": {
    ...{ source: disk("read"), destination: tape("write"), holds: true },
    make: (s, d, hold) => ({ kind: "block-stream", hold, ...both(s, d), ...onTape }),
  },
  "stream-block": {
    ...{ source: tape("read"), destination: disk("write"), holds: true },
    make: (s, d, hold) => ({ kind: "stream-block", hold, ...both(s, d), ...onTape }),
  },
  "block-block": {
    ...{ source: disk("read"), destination: disk("write"), holds: true },
    make: (s, d, hold) => ({
      ...{ kind: "block-block", hold, ...both(s, d), destinationCount: false },
      ...{ blocks: BLOCKS, sourceLba: 1n, destinationLba: 2n },
    }),
  },
  "stream-stream": {
    ...{ source: tape("read"), destination: tape("write"), holds: true },
    make: (s, d, hold) => ({
      ...{ kind: "stream-stream", hold, ...both(s, d) },
      ...{ sourceTransfer: TRANSFER, destinationTransfer: TRANSFER, byteCount: BYTES },
    }),
  },
  "inline-stream": {
    destination: tape("write"),
    make: (_, destination) => ({
      ...{ kind: "inline-stream", cat: false, destination, transfer: TRANSFER, inlineOffset: 0, byteCount: TRANSFER },
    }),
  },
  "embedded-stream": {
    destination: tape("write"),
    make: (_, destination) => ({
      ...{ kind: "embedded-stream", cat: false, destination, transfer: TRANSFER, data: new Uint8Array(TRANSFER) },
    }),
  },
  "stream-discard": {
    ...{ source: tape("read"), holds: true },
    make: (source, _, hold) => ({
      ...{ kind: "stream-discard", hold, cat: false, source, transfer: TRANSFER, byteCount: BYTES },
    }),
  },
  verify: { source: disk("look"), make: (source) => ({ kind: "verify", source, testUnitReady: true }) },
  "offset-stream": {
    ...{ source: disk("read"), destination: tape("write") },
    make: (s, d) => ({ kind: "offset-stream", ...both(s, d), ...offset }),
  },
  "stream-offset": {
    ...{ source: tape("read"), destination: disk("write") },
    make: (s, d) => ({ kind: "stream-offset", ...both(s, d), ...offset }),
  },
  "offset-offset": {
    ...{ source: disk("read"), destination: disk("write") },
    make: (s, d) => ({
      ...{ kind: "offset-offset", ...both(s, d), byteCount: BYTES },
      ...{ sourceLba: 1n, destinationLba: 2n, sourceOffset: 3, destinationOffset: 4 },
    }),
  },
  filemarks: {
    destination: tape("write"),
    make: (_, destination) => ({ kind: "filemarks", destination, immediate: false, count: 1 }),
  },
  space: {
    destination: tape("position"),
    make: (_, destination) => ({ kind: "space", destination, code: 3, count: 0 }),
  },
  locate: { destination: tape("position"), make: (_, destination) => ({ kind: "locate", destination, objectId: 0 }) },
  "tape-image": {
    ...{ source: tape("read"), destination: tape("write") },
    make: (source, destination) => ({ kind: "tape-image", source, destination, filemarks: 1 }),
  },
  "register-key": {
    destination: disk("reserve"),
    make: (_, destination) => ({ kind: "register-key", destination, key: 0n, actionKey: 5n }),
  },
  "source-nexus": {
    destination: disk("reserve"),
    make: (_, destination) => ({
      ...{ kind: "source-nexus", destination, key: 5n, actionKey: 6n, unregister: false, aptpl: false, port: 1 },
      transportId: PORT,
    }),
  },
  "block-image": {
    ...{ source: disk("read"), destination: disk("write") },
    make: (source, destination) => ({
      ...{ kind: "block-image", source, destination, sourceLba: 1n, destinationLba: 2n, blocks: BLOCKS },
    }),
  },
};

/** Every kind, and those whose data can be held once more with that. */
export const VARIANTS: readonly { readonly words: string; readonly row: KindRow; readonly hold: boolean }[] =
  Object.entries(KINDS).flatMap(([kind, row]) => [
    { words: kind, row, hold: false },
    ...(row.holds ? [{ words: `${kind}, held`, row, hold: true }] : []),
  ]);
