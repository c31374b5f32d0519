// What initiators send to have data copied, and what copy managers answer. A list that is taken says the same when it is
// written and read again, and what is refused has a sense code.
import { isDeepStrictEqual } from "node:util";
import { isGantryError } from "../../../src/sys/errors.js";
import { decodeCopyCommand, encodeCopyCommand } from "../../../src/wire/xcopy/commands.js";
import { copyDevice, inlineData } from "../../../src/wire/xcopy/copy-devices.js";
import { type CopyForm, type CopyList, decodeCopyList, encodeCopyList } from "../../../src/wire/xcopy/copy-list.js";
import {
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
  decodeTokenInformation,
  encodeDataLid1,
  encodeDataLid4,
  encodeFailureDetails,
  encodeStatusLid1,
  encodeTokenInformation,
} from "../../../src/wire/xcopy/copy-results.js";
import { decodeCopySense, descriptorCopySense, fixedCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import { decodeDesignators, designatorText } from "../../../src/wire/xcopy/designator.js";
import { decodeOperatingParameters, encodeOperatingParameters } from "../../../src/wire/xcopy/operating-parameters.js";
import { CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import { decodeAllTokens, decodeRodToken, encodeAllTokens, encodeRodToken } from "../../../src/wire/xcopy/rod-token.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import { decodeThirdPartyPage, encodeThirdPartyPage } from "../../../src/wire/xcopy/third-party-page.js";
import {
  decodePopulateToken,
  decodeWriteUsingToken,
  encodePopulateToken,
  encodeWriteUsingToken,
} from "../../../src/wire/xcopy/token-lists.js";
import { disk, hex, LIMITS, rod, TOKEN_LIMITS, tape } from "../../lib/xcopy.js";
import { must, type Target } from "../target.js";

const both = { source: 0, destination: 1 };
const tapeTo = { cat: false, destination: 1, transfer: 65_536 };
const SEGMENTS: readonly Segment[] = [
  { kind: "block-stream", hold: false, cat: true, ...both, transfer: 1, blocks: 128, lba: 2n ** 40n },
  { kind: "stream-block", hold: true, cat: false, source: 1, destination: 0, transfer: 65_536, blocks: 128, lba: 7n },
  {
    ...{ kind: "block-block", hold: false, cat: false, destinationCount: true, ...both },
    ...{ blocks: 65_535, sourceLba: 1n, destinationLba: 2n ** 63n },
  },
  {
    ...{ kind: "stream-stream", hold: true, cat: true, source: 1, destination: 1 },
    ...{ sourceTransfer: 512, destinationTransfer: 1024, byteCount: 1 << 30 },
  },
  { kind: "inline-stream", ...tapeTo, inlineOffset: 4, byteCount: 8 },
  { kind: "embedded-stream", ...tapeTo, data: hex("0102030405") },
  { kind: "stream-discard", hold: false, cat: true, source: 1, transfer: 512, byteCount: 4096 },
  { kind: "verify", source: 0, testUnitReady: true },
  { kind: "offset-stream", cat: false, ...both, transfer: 512, byteCount: 700, lba: 3n, byteOffset: 100 },
  { kind: "stream-offset", cat: false, ...both, transfer: 512, byteCount: 700, lba: 3n, byteOffset: 100 },
  {
    ...{ kind: "offset-offset", cat: true, ...both, byteCount: 1000 },
    ...{ sourceLba: 1n, destinationLba: 2n, sourceOffset: 3, destinationOffset: 4 },
  },
  { kind: "filemarks", destination: 1, immediate: true, count: 2 },
  { kind: "space", destination: 1, code: 1, count: 0xffffff },
  { kind: "locate", destination: 1, objectId: 9 },
  { kind: "tape-image", ...both, filemarks: 2 },
  { kind: "register-key", destination: 0, key: 1n, actionKey: 2n },
  {
    ...{ kind: "source-nexus", destination: 1, key: 1n, actionKey: 2n, unregister: true, aptpl: false, port: 1 },
    transportId: { protocol: "iscsi", name: "iqn.2001-01.org.example:a", isid: "00023d000001" },
  },
  { kind: "block-image", ...both, sourceLba: 1n, destinationLba: 2n, blocks: 0 },
  {
    ...{ kind: "rod-ranges", source: 0xffff, destination: 2 },
    ranges: [
      { lba: 0n, blocks: 8 },
      { lba: 8n, blocks: 8 },
    ],
  },
  { kind: "rod-range", source: 0xffff, destination: 2, lba: 100n, blocks: 1 },
];
const HEADER = { listId: 1, listIdUsage: 0, priority: 1, striped: false, goodSense: false, immediate: false };
const inline = new Uint8Array(64).fill(0x41);
const lists = (form: CopyForm): readonly Uint8Array[] =>
  [
    {
      ...HEADER,
      form,
      cscds: [disk(), tape(true), rod({ returnToken: true, lifetimeSeconds: 9 })],
      segments: SEGMENTS,
      inline,
    },
    { ...HEADER, form, cscds: [disk(), tape(false)], segments: SEGMENTS.slice(2, 3), inline: new Uint8Array(0) },
    { ...HEADER, form, listId: 0, listIdUsage: 3, cscds: [disk()], segments: SEGMENTS.slice(11, 13), inline },
  ].map(encodeCopyList);

/** What is refused can be told: in both formats, with a sense code, at a place in the list. */
function told(input: Uint8Array, decode: () => unknown): unknown {
  try {
    return decode();
  } catch (error) {
    if (error instanceof CopyRefusal) {
      must(
        error.fault.asc > 0 && (error.fault.pointer?.byte ?? -1) < input.length,
        "a sense code, a place in the list",
      );
      must(fixedCopySense(error.fault).length === 18, "fixed sense");
      must(descriptorCopySense(error.fault).length >= 8, "descriptor sense");
    }
    throw error;
  }
}

/** The devices and data of every segment are found, or the copy is aborted there. */
function resolve(list: CopyList): void {
  for (const [number, segment] of list.segments.entries()) {
    try {
      if ("source" in segment) copyDevice(list, segment.source, "source", number);
      if ("destination" in segment) copyDevice(list, segment.destination, "destination", number);
      if (segment.kind === "inline-stream")
        must(inlineData(list, segment, number).length === segment.byteCount, "inline data is whole");
    } catch (error) {
      if (!isGantryError(error) || !(error instanceof CopyRefusal)) throw error;
      must(error.fault.key === 0x0a && error.fault.segment === number, "a copy is aborted at its segment");
    }
  }
}

const copyList = (form: CopyForm): Target => ({
  name: `xcopy-${form.toLowerCase()}`,
  codes: ["COPY_REFUSED"],
  seeds: () => lists(form),
  run: (input) =>
    told(input, () => {
      const list = decodeCopyList(input, form, LIMITS);
      const again = encodeCopyList(list);
      must(again.length <= input.length, "a list is not longer than its bytes");
      must(isDeepStrictEqual(decodeCopyList(again, form, LIMITS), list), "a list comes back");
      resolve(list);
      return list;
    }),
  proportion: 100,
});

const DATA_CODES = ["SCSI_DATA_TRUNCATED", "SCSI_DATA_INVALID"] as const;

/** An answer, which comes back from what is written of it. */
function answer<T>(
  name: string,
  seeds: readonly Uint8Array[],
  decode: (input: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): Target {
  return {
    name: `xcopy-${name}`,
    codes: DATA_CODES,
    seeds: () => seeds,
    run: (input) => {
      const value = decode(input);
      must(isDeepStrictEqual(decode(encode(value)), value), "an answer comes back");
      return value;
    },
    proportion: 100,
  };
}

const SENSE = hex("70 00 0a 00 00 00 00 0a 12 00 00 03 0d 01 00 80 00 10");
const STATUS = {
  ...{ action: 0x10, status: 1, operations: 7, delayMs: 0xffff_fffe, completion: 0, units: 0xf1, count: 16n },
  ...{ segments: 3, sense: SENSE },
};
const TOKEN = encodeRodToken({
  ...{ type: 0x0080_0001, identifier: 77n, byteCount: 8192n, creator: disk(hex("5001122334455667")) },
  ...{ deviceData: hex(`00000200${"00".repeat(28)}`), extended: new Uint8Array(256).fill(0x5a) },
  target: {
    codeSet: 3,
    association: 2,
    type: 8,
    value: Uint8Array.from(Buffer.from("iqn.2024-01.org.example:t\0\0\0")),
  },
});
const RANGES = [
  { lba: 0n, blocks: 8 },
  { lba: 2n ** 40n, blocks: 8 },
];
const POPULATE = encodePopulateToken({ immediate: false, inactivitySeconds: 60, type: 0x0080_0000, ranges: RANGES });
const WRITE = encodeWriteUsingToken({ immediate: true, deleteToken: true, offset: 8n, token: TOKEN, ranges: RANGES });
const PARAMETERS = {
  ...{ withoutListId: true, maxCscds: 64, maxSegments: 1024, maxListBytes: 30_720, maxSegmentBytes: 0 },
  ...{ maxInlineBytes: 65_536, heldBytes: 65_536, maxStreamTransferBytes: 1 << 20, totalCopies: 64, maxCopies: 64 },
  ...{ segmentGranularity: 0, inlineGranularity: 0, heldGranularity: 0, descriptors: [...LIMITS.descriptors] },
};
const PAGE = encodeThirdPartyPage(0, [
  ...[{ kind: "commands" as const, commands: [{ opcode: 0x83, actions: [0, 1] }] }],
  ...[{ kind: "parameter-data" as const, maxCscds: 64, maxSegments: 1024, maxListBytes: 30_720, maxInlineBytes: 0 }],
  ...[{ kind: "descriptors" as const, codes: [2, 0xe4] }],
  ...[{ kind: "cscd-ids" as const, ids: [0xffff] }],
  {
    ...{ kind: "rod-features" as const, remoteTokens: 0, minLifetimeSeconds: 1, maxLifetimeSeconds: 9 },
    ...{ maxInactivitySeconds: 9, features: [] },
  },
  ...[{ kind: "rod-types" as const, types: [] }],
]);

const tokenList = <T>(
  name: string,
  seed: Uint8Array,
  decode: (input: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): Target => ({
  name: `xcopy-${name}`,
  codes: ["COPY_REFUSED"],
  seeds: () => [seed],
  run: (input) =>
    told(input, () => {
      const list = decode(input);
      must(isDeepStrictEqual(decode(encode(list)), list), "a list comes back");
      return list;
    }),
});

export const xcopyTargets: readonly Target[] = [
  copyList("LID1"),
  copyList("LID4"),
  tokenList("populate", POPULATE, (input) => decodePopulateToken(input, TOKEN_LIMITS), encodePopulateToken),
  tokenList("write", WRITE, (input) => decodeWriteUsingToken(input, TOKEN_LIMITS), encodeWriteUsingToken),
  {
    name: "xcopy-command",
    codes: [],
    seeds: () => [
      encodeCopyCommand({ kind: "copy-lid4", listId: 0, length: 4096 }),
      encodeCopyCommand({ kind: "status-lid4", listId: 7, length: 4096 }),
      encodeCopyCommand({ kind: "abort", listId: 7, length: 0 }),
    ],
    run: (input) => {
      const command = decodeCopyCommand(input);
      if (command === undefined) return undefined;
      must(isDeepStrictEqual(decodeCopyCommand(encodeCopyCommand(command)), command), "a command comes back");
      return command;
    },
  },
  answer("status-lid1", [hex("00000008 82 0102 03 04050607")], decodeStatusLid1, encodeStatusLid1),
  answer("data-lid1", [encodeDataLid1(inline)], decodeDataLid1, encodeDataLid1),
  answer("failure", [encodeFailureDetails({ status: 2, sense: SENSE })], decodeFailureDetails, encodeFailureDetails),
  answer("data-lid4", [encodeDataLid4({ ...STATUS, heldDiscarded: true, held: inline })], decodeDataLid4, (data) => {
    must(
      isDeepStrictEqual(Object.keys(decodeStatusLid4(encodeDataLid4(data))).length, 9),
      "status is in front of data",
    );
    return encodeDataLid4(data);
  }),
  answer(
    "token-information",
    [encodeTokenInformation({ ...STATUS, tokens: [{ cscdId: 2, token: TOKEN }] })],
    decodeTokenInformation,
    encodeTokenInformation,
  ),
  answer("operating", [encodeOperatingParameters(PARAMETERS)], decodeOperatingParameters, encodeOperatingParameters),
  answer("page", [PAGE], decodeThirdPartyPage, (page) => encodeThirdPartyPage(0, page)),
  {
    name: "xcopy-token",
    codes: [...DATA_CODES, "COPY_REFUSED"],
    seeds: () => [TOKEN, encodeAllTokens([TOKEN, TOKEN])],
    run: (input) => {
      if (input[0] !== 0 || input[1] !== 0) {
        const token = decodeRodToken(input);
        must(isDeepStrictEqual(decodeRodToken(encodeRodToken(token)), token), "a token comes back");
        return token;
      }
      return decodeAllTokens(input);
    },
    proportion: 100,
  },
  {
    name: "xcopy-sense",
    codes: DATA_CODES,
    seeds: () => {
      const fault = { key: 0x0a, asc: 0x0d, ascq: 1, segment: 3, residual: 9n, pointer: { byte: 16 } };
      const said = { source: { status: 2, sense: SENSE }, destination: { status: 8, sense: new Uint8Array(0) } };
      return [fixedCopySense({ ...fault, ...said }), descriptorCopySense({ ...fault, ...said })];
    },
    run: (input) => {
      const sense = decodeCopySense(input);
      must((sense.segment ?? 0) <= 0xffff, "segments are counted in two bytes");
      return sense;
    },
  },
  {
    name: "xcopy-designators",
    codes: DATA_CODES,
    seeds: () => [hex("00 83 00 18 01 03 00 08 5001122334455667 02 01 00 08 47414e5452592020")],
    run: (input) => {
      const found = decodeDesignators(input);
      for (const one of found) must(/^[ -~]+$/.test(designatorText(one)), "names are printable");
      return found;
    },
    proportion: 100,
  },
];
