// Third-party copies for tests: lists, answers and pages that are right, and arbitrary ones for round trips.
import fc from "fast-check";
import type { CopyLimits, CopyList } from "../../src/wire/xcopy/copy-list.js";
import type { DataLid4, StatusLid1, StatusLid4, TokenInformation } from "../../src/wire/xcopy/copy-results.js";
import type { Cscd, IdentificationCscd, RodCscd } from "../../src/wire/xcopy/cscd.js";
import type { OperatingParameters } from "../../src/wire/xcopy/operating-parameters.js";
import { encodeRodToken, ROD_TYPE, type RodToken } from "../../src/wire/xcopy/rod-token.js";
import { SEGMENT_CODES, type Segment } from "../../src/wire/xcopy/segments.js";
import type { ThirdPartyDescriptor } from "../../src/wire/xcopy/third-party-page.js";

export const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s+/g, ""), "hex"));

/** All that the codec knows. */
export const ALL_DESCRIPTORS: ReadonlySet<number> = new Set([...SEGMENT_CODES, 0xe4, 0xfe]);

export const LIMITS: CopyLimits = {
  maxCscds: 64,
  maxSegments: 1024,
  maxListBytes: 30_720,
  maxInlineBytes: 65_536,
  withoutListId: true,
  descriptors: ALL_DESCRIPTORS,
};

export const TOKEN_LIMITS = {
  maxRanges: 8,
  maxInactivitySeconds: 3600,
  maxBlocks: 1_000_000n,
  types: new Set<number>([ROD_TYPE.POINT_IN_TIME, ROD_TYPE.POINT_IN_TIME_VULNERABLE]),
};

export const disk = (value = hex("600112233445566778899aabbccddeef")): IdentificationCscd => ({
  form: "identification",
  nul: false,
  deviceType: 0,
  initiatorPort: 0,
  pad: false,
  fixed: false,
  blockBytes: 512,
  designator: { codeSet: 1, association: 0, type: 3, value },
});

export const tape = (fixed: boolean): IdentificationCscd => ({
  ...disk(hex("5001122334455667")),
  deviceType: 1,
  fixed,
  blockBytes: fixed ? 65_536 : 0,
});

export const rod = (more: Partial<RodCscd> = {}): RodCscd => ({
  form: "rod",
  nul: false,
  deviceType: 0,
  initiatorPort: 0,
  pad: false,
  fixed: false,
  blockBytes: 512,
  producer: 0xffff,
  rodType: ROD_TYPE.POINT_IN_TIME,
  lifetimeSeconds: 0,
  inactivitySeconds: 0,
  returnToken: false,
  deleteToken: false,
  tokenOffset: 0,
  ...more,
});

const id = fc.integer({ min: 0, max: 0xffff });
const u8 = fc.nat(0xff);
const u24 = fc.nat(0xff_ffff);
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const bool = fc.boolean();
const bytes = (maxLength: number, minLength = 0) => fc.uint8Array({ minLength, maxLength });
const both = { source: id, destination: id };

/** A kind and arbitrary values for its fields. */
const kind = <K extends Segment["kind"], T extends object>(name: K, fields: { [F in keyof T]: fc.Arbitrary<T[F]> }) =>
  fc.record<T>(fields).map((values) => ({ kind: name, ...values }));

const blockAndStream = { hold: bool, cat: bool, ...both, transfer: u24, blocks: id, lba: u64 };
const offsetAndStream = { cat: bool, ...both, transfer: u24, byteCount: u32, lba: u64, byteOffset: id };
const ranges = fc
  .array(fc.record({ gap: fc.nat(1000), blocks: fc.nat(1000) }), { minLength: 1, maxLength: 6 })
  .map((list) => {
    let next = 0n;
    return list.map(({ gap, blocks }) => {
      const lba = next + BigInt(gap);
      next = lba + BigInt(blocks);
      return { lba, blocks };
    });
  });
const transportIds = fc.constantFrom(
  { protocol: "iscsi" as const, name: "iqn.2001-01.org.example:a", isid: "00023d000001" },
  { protocol: "fc" as const, name: "2100000e1e1b9d60" },
  { protocol: "sas" as const, address: "5000c500a1b2c3d4" },
);

export const segments: fc.Arbitrary<Segment> = fc.oneof(
  kind("block-stream", blockAndStream),
  kind("stream-block", blockAndStream),
  kind("block-block", {
    ...{ hold: bool, cat: bool, destinationCount: bool, ...both },
    ...{ blocks: id, sourceLba: u64, destinationLba: u64 },
  }),
  kind("stream-stream", {
    ...{ hold: bool, cat: bool, ...both },
    ...{ sourceTransfer: u24, destinationTransfer: u24, byteCount: u32 },
  }),
  kind("inline-stream", {
    ...{ cat: bool, destination: id, transfer: u24, byteCount: u32 },
    inlineOffset: fc.nat(0x3fff_ffff).map((quarter) => quarter * 4),
  }),
  kind("embedded-stream", { cat: bool, destination: id, transfer: u24, data: bytes(100) }),
  kind("stream-discard", { hold: bool, cat: bool, source: id, transfer: u24, byteCount: u32 }),
  kind("verify", { source: id, testUnitReady: bool }),
  kind("offset-stream", offsetAndStream),
  kind("stream-offset", offsetAndStream),
  kind("offset-offset", {
    ...{ cat: bool, ...both, byteCount: u32, sourceLba: u64, destinationLba: u64 },
    ...{ sourceOffset: id, destinationOffset: id },
  }),
  kind("filemarks", { destination: id, immediate: bool, count: u24 }),
  kind("space", { destination: id, code: fc.nat(7), count: u24 }),
  kind("locate", { destination: id, objectId: u32 }),
  kind("tape-image", { ...both, filemarks: u32 }),
  kind("register-key", { destination: id, key: u64, actionKey: u64 }),
  kind("source-nexus", {
    ...{ destination: id, key: u64, actionKey: u64, unregister: bool, aptpl: bool, port: id },
    transportId: transportIds,
  }),
  kind("block-image", { ...both, sourceLba: u64, destinationLba: u64, blocks: u32 }),
  kind("rod-ranges", { source: fc.constant(0xffff), destination: id, ranges }),
  kind("rod-range", { source: fc.constant(0xffff), destination: id, lba: u64, blocks: u32 }),
) as fc.Arbitrary<Segment>;

const designators = fc.record({
  codeSet: fc.nat(15),
  association: fc.nat(3),
  type: fc.nat(15),
  value: bytes(20, 1),
});

const identified: fc.Arbitrary<IdentificationCscd> = fc
  .record({ nul: bool, initiatorPort: id, pad: bool, designator: designators, tape: bool, blockBytes: u24 })
  .map(({ tape: isTape, blockBytes, ...rest }) => ({
    ...rest,
    form: "identification" as const,
    deviceType: isTape ? 1 : 0,
    fixed: isTape && blockBytes > 0,
    blockBytes,
  }));

const rods: fc.Arbitrary<RodCscd> = fc
  .record({ initiatorPort: id, pad: bool, producer: id, returnToken: bool, lifetimeSeconds: u32, tokenOffset: u32 })
  .map((values) => {
    const { returnToken, tokenOffset, lifetimeSeconds } = values;
    const given = tokenOffset % 2 === 0;
    return rod({
      ...values,
      rodType: given ? ROD_TYPE.BY_TOKEN : ROD_TYPE.POINT_IN_TIME,
      lifetimeSeconds: returnToken ? lifetimeSeconds : 0,
      inactivitySeconds: returnToken ? lifetimeSeconds >>> 1 : 0,
      deleteToken: given,
      tokenOffset: given ? tokenOffset : 0,
    });
  });

export const cscds: fc.Arbitrary<Cscd> = fc.oneof(identified, rods);

export const copyLists: fc.Arbitrary<CopyList> = fc
  .record({
    lid4: bool,
    striped: bool,
    hold: bool,
    priority: fc.nat(7),
    listId: u8,
    goodSense: bool,
    immediate: bool,
    cscds: fc.array(cscds, { maxLength: 6 }),
    segments: fc.array(segments, { maxLength: 12 }),
    inline: bytes(300),
  })
  .map(({ lid4, hold, goodSense, immediate, ...rest }) => ({
    ...rest,
    form: lid4 ? ("LID4" as const) : ("LID1" as const),
    listIdUsage: hold ? 0 : 2,
    goodSense: lid4 && goodSense,
    immediate: lid4 && immediate && !goodSense,
  }));

export const statusesLid1: fc.Arbitrary<StatusLid1> = fc.record({
  heldDiscarded: bool,
  status: fc.nat(2),
  segments: id,
  units: u8,
  count: u32,
});

export const statusesLid4: fc.Arbitrary<StatusLid4> = fc.record({
  action: fc.nat(31),
  status: fc.nat(127),
  operations: id,
  delayMs: u32,
  completion: u8,
  units: u8,
  count: u64,
  segments: id,
  sense: bytes(252),
});

export const dataLid4: fc.Arbitrary<DataLid4> = fc
  .tuple(statusesLid4, bool, bytes(100))
  .map(([status, heldDiscarded, held]) => ({ ...status, heldDiscarded, held }));

export const rodTokens: fc.Arbitrary<RodToken> = fc.record({
  type: u32,
  identifier: u64,
  creator: identified,
  byteCount: fc.bigInt(0n, (1n << 128n) - 2n),
  deviceData: bytes(32, 32),
  target: fc.record({ codeSet: fc.nat(15), association: fc.nat(3), type: fc.nat(15), value: bytes(124) }),
  extended: bytes(256, 256),
});

export const tokenInformation: fc.Arbitrary<TokenInformation> = fc
  .tuple(statusesLid4, fc.array(fc.record({ cscdId: id, token: rodTokens.map(encodeRodToken) }), { maxLength: 3 }))
  .map(([status, tokens]) => ({ ...status, tokens }));

export const operatingParameters: fc.Arbitrary<OperatingParameters> = fc.record({
  withoutListId: bool,
  maxCscds: id,
  maxSegments: id,
  maxListBytes: u32,
  maxSegmentBytes: u32,
  maxInlineBytes: u32,
  heldBytes: u32,
  maxStreamTransferBytes: u32,
  totalCopies: id,
  maxCopies: u8,
  segmentGranularity: u8,
  inlineGranularity: u8,
  heldGranularity: u8,
  descriptors: fc.array(u8, { maxLength: 255 }),
});

const codes = fc.array(u8, { maxLength: 20 });
const features = fc.record({
  deviceType: fc.nat(31),
  granularityBlocks: id,
  maxBytes: u64,
  optimalBytes: u64,
  optimalToToken: u64,
  optimalFromToken: u64,
});
const rodTypes = fc.record({ type: u32, internal: bool, tokenIn: bool, tokenOut: bool, preference: id });

export const thirdPartyDescriptors: fc.Arbitrary<ThirdPartyDescriptor> = fc.oneof(
  fc
    .record({
      ...{ maxRanges: id, maxInactivitySeconds: u32, defaultInactivitySeconds: u32 },
      ...{ maxBlocks: u64, optimalBlocks: u64 },
    })
    .map((values) => ({ kind: "block-rod-limits" as const, ...values })),
  fc
    .record({ maxCscds: id, maxSegments: id, maxListBytes: u32, maxInlineBytes: u32 })
    .map((values) => ({ kind: "parameter-data" as const, ...values })),
  fc
    .record({
      ...{ totalCopies: u32, maxIdentifiedCopies: u32, maxSegmentBytes: u32 },
      ...{ segmentGranularity: u8, inlineGranularity: u8 },
    })
    .map((values) => ({ kind: "general-copy" as const, ...values })),
  u32.map((maxTransferBytes) => ({ kind: "stream-copy" as const, maxTransferBytes })),
  fc.record({ heldBytes: u32, heldGranularity: u8 }).map((values) => ({ kind: "held-data" as const, ...values })),
  fc
    .array(fc.record({ opcode: u8, actions: codes }), { maxLength: 5 })
    .map((commands) => ({ kind: "commands" as const, commands })),
  codes.map((list) => ({ kind: "descriptors" as const, codes: list })),
  fc.array(id, { maxLength: 5 }).map((ids) => ({ kind: "cscd-ids" as const, ids })),
  fc
    .record({
      ...{ remoteTokens: fc.nat(15), minLifetimeSeconds: u32, maxLifetimeSeconds: u32, maxInactivitySeconds: u32 },
      features: fc.array(features, { maxLength: 3 }),
    })
    .map((values) => ({ kind: "rod-features" as const, ...values })),
  fc.array(rodTypes, { maxLength: 3 }).map((types) => ({ kind: "rod-types" as const, types })),
  fc
    .record({ type: fc.integer({ min: 0xe000, max: 0xefff }), words: fc.nat(10) })
    .map(({ type, words }) => ({ kind: "other" as const, type, bytes: new Uint8Array(4 * words).fill(7) })),
);
