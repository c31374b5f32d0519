// Commands to a copy manager among models (copy-room.ts) that are nearly right: lists whose devices are mostly there, whose
// blocks are mostly on them, and whose bytes are changed now and then.
import fc from "fast-check";
import { type CopyCommandKind, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyForm, encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import type { Cscd } from "../../src/wire/xcopy/cscd.js";
import { ROD_TYPE, zeroToken } from "../../src/wire/xcopy/rod-token.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { encodePopulateToken, encodeWriteUsingToken } from "../../src/wire/xcopy/token-lists.js";
import { nameOf } from "./copy-model-unit.js";
import { DEVICES, FULL, LUN, READER, Room } from "./copy-room.js";
import { hex, disk as someDisk } from "./xcopy.js";

export interface Order {
  readonly nexus: number;
  readonly lun: number;
  readonly cdb: Uint8Array;
  readonly data: Uint8Array;
  /** What happens meanwhile: EVENT of copy-order-run.ts. */
  readonly event: number;
}

const { plant } = new Room();
const DESIGNATORS = DEVICES.map((device) => nameOf(plant, device));
const BLOCK_BYTES = [512, 4096, 0, 0, 512];
/** Blocks of the token that the full nexus has made before: the model's randomness makes it the same every time. */
export const POPULATED = encodePopulateToken({
  immediate: false,
  inactivitySeconds: 0,
  ranges: [
    { lba: 8n, blocks: 8 },
    { lba: 0n, blocks: 4 },
    { lba: 100n, blocks: 1 },
  ],
});

const bool = fc.boolean();
const seldom = fc.nat(9).map((value) => value === 0);
const often = fc.nat(9).map((value) => value < 6);

/** CSCD descriptors 0 to 4 are those of DEVICES; what follows is wrong in some way. */
const cscds = fc
  .array(fc.record({ pad: bool, fixed: seldom, wrong: fc.nat(19), length: fc.constantFrom(512, 2048, 65_536) }), {
    minLength: 5,
    maxLength: 7,
  })
  .map((list) =>
    list.map(({ pad, fixed, wrong, length }, index): Cscd => {
      const tape = DEVICES[index]?.startsWith("tape") ?? false;
      return {
        ...someDisk(),
        deviceType: (wrong === 0) === tape ? 0 : 1,
        initiatorPort: 0,
        nul: wrong === 1,
        pad,
        fixed: (wrong === 0) !== tape && fixed,
        blockBytes: (wrong === 0) !== tape ? (fixed ? length : 0) : wrong === 2 ? 520 : (BLOCK_BYTES[index] ?? 512),
        designator: DESIGNATORS[index] ?? { codeSet: 1, association: 0, type: 3, value: hex("5001") },
      };
    }),
  );

const strange = fc.constantFrom(4, 5, 6, 9, 0xc000, 0xc001, 0xffff, 0xf800);
const disks = fc.oneof({ weight: 20, arbitrary: fc.nat(1) }, strange);
const tapes = fc.oneof({ weight: 20, arbitrary: fc.constantFrom(2, 3) }, strange);
const any = fc.oneof({ weight: 20, arbitrary: fc.nat(3) }, strange);
const lba = fc.oneof(
  { weight: 12, arbitrary: fc.nat(15).map(BigInt) },
  { weight: 3, arbitrary: fc.nat(140).map(BigInt) },
  fc.constantFrom(128n, (1n << 64n) - 1n, 1n << 63n, 1n << 32n),
);
const count = fc.oneof({ weight: 12, arbitrary: fc.nat(8) }, { weight: 3, arbitrary: fc.nat(130) }, fc.nat(0xffff));
const bytes = fc.oneof(
  { weight: 8, arbitrary: fc.nat(5000) },
  { weight: 4, arbitrary: fc.nat(12).map((blocks) => blocks * 512) },
  fc.constantFrom(0xffff_ffff, 0x8000_0000, 65_536, 1 << 20),
);
const transfer = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(2048, 2048, 512, 4096, 8192) },
  fc.constantFrom(0, 1, 80, 511, 513, 1000, 65_536, 65_537, 3 << 20, (3 << 20) + 1, 4 << 20, 8 << 20, 0xff_ffff),
);
const offset = fc.oneof({ weight: 8, arbitrary: fc.nat(511) }, fc.constantFrom(512, 4095, 4096, 0xffff));

const kind = <T extends object>(name: Segment["kind"], fields: { [F in keyof T]: fc.Arbitrary<T[F]> }) =>
  fc.record<T>(fields).map((values) => ({ kind: name, ...values }));

const blockAndTape = { hold: seldom, cat: often, transfer, blocks: count, lba };
const keys = fc.constantFrom(0n, 1n, (1n << 64n) - 1n);
const segments = fc.oneof(
  kind("block-stream", { ...blockAndTape, source: disks, destination: tapes }),
  kind("stream-block", { ...blockAndTape, source: tapes, destination: disks }),
  {
    weight: 3,
    arbitrary: kind("block-block", {
      ...{ hold: seldom, cat: often, destinationCount: bool, source: disks, destination: disks },
      ...{ blocks: count, sourceLba: lba, destinationLba: lba },
    }),
  },
  kind("stream-stream", {
    ...{ hold: seldom, cat: often, source: tapes, destination: tapes },
    ...{ sourceTransfer: transfer, destinationTransfer: transfer, byteCount: bytes },
  }),
  kind("inline-stream", {
    ...{ cat: often, destination: tapes, transfer, byteCount: fc.nat(600) },
    inlineOffset: fc.nat(30).map((quarter) => quarter * 4),
  }),
  kind("embedded-stream", { cat: often, destination: tapes, transfer, data: fc.uint8Array({ maxLength: 80 }) }),
  kind("stream-discard", { hold: seldom, cat: often, source: tapes, transfer, byteCount: bytes }),
  kind("verify", { source: any, testUnitReady: bool }),
  kind("offset-stream", {
    ...{ cat: often, source: disks, destination: tapes, transfer, byteCount: bytes, lba, byteOffset: offset },
  }),
  kind("stream-offset", {
    ...{ cat: often, source: tapes, destination: disks, transfer, byteCount: bytes, lba, byteOffset: offset },
  }),
  {
    weight: 3,
    arbitrary: kind("offset-offset", {
      ...{ cat: often, source: disks, destination: disks, byteCount: bytes },
      ...{ sourceLba: lba, destinationLba: lba, sourceOffset: offset, destinationOffset: offset },
    }),
  },
  kind("filemarks", { destination: tapes, immediate: bool, count: fc.constantFrom(0, 1, 2, 0xff_ffff) }),
  kind("space", { destination: tapes, code: fc.nat(7), count: fc.constantFrom(0, 1, 2, 0xff_ffff, 0x80_0000) }),
  kind("locate", { destination: tapes, objectId: fc.constantFrom(0, 0, 1, 4, 9, 0xffff_ffff) }),
  kind("tape-image", { source: tapes, destination: tapes, filemarks: fc.constantFrom(0, 1, 2, 0xffff_ffff) }),
  kind("register-key", { destination: any, key: keys, actionKey: keys }),
  kind("source-nexus", {
    ...{ destination: any, key: keys, actionKey: keys, unregister: bool, aptpl: bool, port: fc.nat(2) },
    transportId: fc.constant({ protocol: "iscsi", name: "iqn.2001-01.org.example:a", isid: "00023d000001" } as const),
  }),
  {
    weight: 2,
    arbitrary: kind("block-image", {
      source: disks,
      destination: disks,
      sourceLba: lba,
      destinationLba: lba,
      blocks: count,
    }),
  },
) as fc.Arbitrary<Segment>;

/** In LID4 the first CSCD descriptor has id 1. */
function shifted(segment: Segment, form: CopyForm): Segment {
  if (form === "LID1") return segment;
  const up = (id: number): number => (id < 0x0800 ? id + 1 : id);
  return {
    ...segment,
    ...("source" in segment && { source: up(segment.source) }),
    ...("destination" in segment && { destination: up(segment.destination) }),
  };
}

type Ordered = Pick<Order, "cdb" | "data">;
const ordered = (command: CopyCommandKind, listId: number, data: Uint8Array): Ordered => ({
  cdb: encodeCopyCommand({ kind: command, listId, length: data.length }),
  data,
});

const copies: fc.Arbitrary<Ordered> = fc
  .record({
    ...{ lid4: bool, usage: fc.constantFrom(0, 0, 0, 2, 3), listId: fc.nat(3), goodSense: seldom, immediate: seldom },
    ...{ cscds, segments: fc.array(segments, { maxLength: 9 }), inline: fc.uint8Array({ maxLength: 700 }) },
  })
  .map(({ lid4, usage, immediate, goodSense, listId, ...rest }) => {
    const form = lid4 ? "LID4" : "LID1";
    const list = encodeCopyList({
      ...{ ...rest, form, striped: false, priority: 1, listIdUsage: usage, listId: usage === 3 ? 0 : listId },
      ...{ goodSense: lid4 && goodSense, immediate: lid4 && immediate },
      segments: rest.segments.map((segment) => shifted(segment, form)),
    });
    return ordered(lid4 ? "copy-lid4" : "copy-lid1", 0, list);
  });

const ranges = fc
  .array(fc.record({ gap: fc.nat(12), blocks: fc.nat(12) }), { minLength: 1, maxLength: 6 })
  .map((list) => {
    let next = 0n;
    const made = list.map(({ gap, blocks }) => {
      const from = next + BigInt(gap);
      next = from + BigInt(blocks);
      return { lba: from, blocks };
    });
    return (list[0]?.gap ?? 0) % 2 === 0 ? made : made.reverse();
  });

const populates = fc
  .record({ immediate: seldom, inactivitySeconds: fc.constantFrom(0, 60, 3600, 3601), ranges, typed: bool })
  .map(({ typed, ...rest }) =>
    encodePopulateToken({ ...rest, ...(typed && { type: ROD_TYPE.POINT_IN_TIME_VULNERABLE }) }),
  );

/** @param token that the model gives for POPULATED */
const uses = (token: Uint8Array) =>
  fc
    .record({
      ...{ immediate: seldom, deleteToken: bool, offset: fc.oneof(fc.constant(0n), fc.nat(20).map(BigInt)), ranges },
      token: fc.oneof(
        { weight: 8, arbitrary: fc.constant(token) },
        { weight: 3, arbitrary: fc.constant(zeroToken()) },
        fc.constant(new Uint8Array(512)),
        fc.nat(511).map((at) => token.map((byte, index) => (index === at ? byte ^ 1 : byte))),
      ),
    })
    .map((list) => encodeWriteUsingToken(list));

const tokens = (token: Uint8Array): fc.Arbitrary<Ordered> =>
  fc.oneof(
    fc.tuple(populates, fc.nat(3)).map(([list, id]) => ordered("populate-token", id, list)),
    {
      weight: 3,
      arbitrary: fc.tuple(uses(token), fc.nat(3)).map(([list, id]) => ordered("write-using-token", id, list)),
    },
  );

const edits = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  fc.array(fc.record({ at: fc.nat(0xffff), value: fc.oneof(fc.nat(0xff), fc.constantFrom(0, 1, 0xff)) }), {
    ...{ minLength: 1, maxLength: 4 },
  }),
);

const changed = (data: Uint8Array, changes: readonly { readonly at: number; readonly value: number }[]): Uint8Array => {
  const copy = data.slice();
  for (const { at, value } of changes) copy[at % copy.length] = value;
  return copy;
};

/** Mostly of the nexus that may, to a unit that it has, with nothing else going on. */
export const ordersWith = (token: Uint8Array): fc.Arbitrary<Order> =>
  fc
    .record({
      ordered: fc.oneof({ weight: 4, arbitrary: copies }, tokens(token)),
      nexus: fc.oneof({ weight: 3, arbitrary: fc.constant(FULL) }, fc.constant(READER)),
      lun: fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...Object.values(LUN), 0, 0, 1) }, fc.constant(4)),
      event: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(7)),
      edits,
    })
    .map(({ ordered: { cdb, data }, edits: changes, ...rest }) => ({ ...rest, cdb, data: changed(data, changes) }));
