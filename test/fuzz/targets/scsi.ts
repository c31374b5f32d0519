// What devices answer. A device may be broken, old, or somebody's program: its data is looked at with the same
// distrust as a message.
import fc from "fast-check";
import { decodeCapacity10, decodeCapacity16 } from "../../../src/wire/capacity.js";
import { decodeElementStatus } from "../../../src/wire/element-status.js";
import {
  decodeBlockLimits,
  decodeIdentification,
  decodeInquiry,
  decodeSerialNumber,
  decodeSupportedPages,
  decodeTapeCapabilities,
  logicalUnitName,
} from "../../../src/wire/inquiry.js";
import { decodeLogPage, decodeTapeAlerts } from "../../../src/wire/log.js";
import { decodeLuns } from "../../../src/wire/luns.js";
import {
  decodeCompression,
  decodeElementAddresses,
  decodeModeSense6,
  decodeWormMedium,
  decodeWriteCache,
  encodeModeSelect6,
} from "../../../src/wire/mode.js";
import { decodeSense, senseInWords, senseSentence } from "../../../src/wire/sense.js";
import {
  decodeBlockLengthLimits,
  decodeExtendedPosition,
  decodeLongPosition,
  decodeShortPosition,
} from "../../../src/wire/tape.js";
import { vector } from "../../lib/vectors.js";
import { must, type Target } from "../target.js";

const CODES = ["SCSI_DATA_TRUNCATED", "SCSI_DATA_INVALID"] as const;
const PRINTABLE = /^[ -~]*$/;

const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};

/** @param seeds names of vectors, or bytes */
function device(name: string, seeds: readonly (string | Uint8Array)[], run: (input: Uint8Array) => unknown): Target {
  const made = seeds.map((seed) => (typeof seed === "string" ? vector(`scsi/${seed}`) : seed));
  return { name: `device-${name}`, codes: CODES, seeds: () => made, run, proportion: 200 };
}

/** Fixed and descriptor format by construction (SPC-4 4.5.2, 4.5.3): information comes back as it was put in. */
const builtSense = fc.property(fc.nat(15), fc.bigInt(0n, 2n ** 64n - 1n), fc.boolean(), (key, information, fixed) => {
  const bytes = fixed
    ? Buffer.concat([Buffer.of(0xf0, 0, key), u64(information).subarray(4), Buffer.of(10), Buffer.alloc(10)])
    : Buffer.concat([Buffer.of(0x72, key, 0x11, 0, 0, 0, 0, 12, 0, 10, 0x80, 0), u64(information)]);
  const sense = decodeSense(bytes);
  must(sense.key === key, "the sense key comes back");
  must(sense.information === (fixed ? BigInt.asUintN(32, information) : information), "INFORMATION comes back");
}) as unknown as fc.IProperty<[unknown]>;

const sense: Target = {
  ...device(
    "sense",
    [
      Buffer.from("f00003000004d20a00000000110000000000", "hex"),
      Buffer.from("700002000000000a00000000040180001234", "hex"),
      Buffer.from(
        "7003110000000022000a80000000000000001234010a0000000000000000000002068000c00102000302000704020080",
        "hex",
      ),
      Buffer.from("7205240000000008020600 00cf000500".replaceAll(" ", ""), "hex"),
      Buffer.from("7306290000000000", "hex"),
    ],
    (input) => {
      // The sentence is for every log and report, so it comes whatever the bytes are, on one line.
      for (const source of ["disk", "tape", "changer"] as const)
        must(!/\p{Cc}/u.test(senseInWords(input, source)), "a sentence without control characters");
      const value = decodeSense(input);
      must(value.key >= 0 && value.key <= 15, "sense keys have four bits");
      must(senseSentence(value).length < 500, "a sentence, not a book");
      return value;
    },
  ),
  roundTrip: builtSense,
};

const capacity16 = Buffer.concat([u64(2n ** 40n), Buffer.of(0, 0, 16, 0, 0x0d, 3, 0xc0, 0), Buffer.alloc(16)]);

const elements = Buffer.concat([
  Buffer.of(0, 1, 0, 2, 0, 0, 0, 112),
  Buffer.of(2, 0x80, 0, 52, 0, 0, 0, 104),
  ...[1, 2].map((address) =>
    Buffer.concat([
      Buffer.of(0, address, 9, 0, 0, 0, 0, 0, 0, 0x80, 0, 7),
      Buffer.from("A00001L6".padEnd(36)),
      Buffer.alloc(4),
    ]),
  ),
]);

const luns = Buffer.concat([Buffer.of(0, 0, 0, 24, 0, 0, 0, 0), u64(0n), u64(5n << 48n), u64((0x4000n | 300n) << 48n)]);
const inventory = (...numbers: number[]): Buffer => Buffer.from(numbers);

export const scsiTargets: readonly Target[] = [
  sense,
  device("inquiry", ["inquiry-tape"], (input) => {
    const value = decodeInquiry(input);
    must(PRINTABLE.test(value.vendor + value.product + value.revision), "names are printable");
    return value;
  }),
  device("vpd-pages", [inventory(1, 0, 0, 4, 0, 0x80, 0x83, 0xb0)], decodeSupportedPages),
  device("vpd-serial", [Buffer.concat([inventory(0, 0x80, 0, 8), Buffer.from(" SER 01 ")])], (input) => {
    const serial = decodeSerialNumber(input);
    must(PRINTABLE.test(serial), "a serial number is printable");
    return serial;
  }),
  device(
    "vpd-identification",
    [
      Buffer.concat([
        inventory(0, 0x83, 0, 28, 1, 3, 0, 8),
        u64(2n ** 63n),
        inventory(2, 1, 0, 12),
        Buffer.from("GANTRY  disk"),
      ]),
    ],
    (input) => {
      const designators = decodeIdentification(input);
      for (const { value } of designators) must(!/\p{Cc}/u.test(value), "names have no control characters");
      return [designators, logicalUnitName(designators)];
    },
  ),
  device("vpd-limits", [Buffer.concat([inventory(0, 0xb0, 0, 0x3c), Buffer.alloc(0x3c, 0x81)])], (input) => [
    decodeBlockLimits(input),
    decodeTapeCapabilities(input),
  ]),
  device("capacity-10", [inventory(0, 0, 0x10, 0, 0, 0, 2, 0)], (input) => {
    const value = decodeCapacity10(input);
    must(value.blocks >= 1n && value.blocks < 2n ** 32n && value.blockBytes > 0, "a disk has blocks of some size");
    return value;
  }),
  device("capacity-16", [capacity16], (input) => {
    const value = decodeCapacity16(input);
    must(value.blocks >= 1n && value.blocks < 2n ** 64n && value.blockBytes > 0, "a disk has blocks of some size");
    return value;
  }),
  device(
    "mode-sense",
    [
      inventory(
        0x23,
        0,
        0x10,
        8,
        0x5a,
        0,
        0,
        0,
        0,
        0,
        2,
        0,
        0x0f,
        14,
        0xc0,
        0x80,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0x10,
        6,
        0,
        0,
        0,
        0,
        0,
        0,
      ),
    ],
    (input) => {
      const value = decodeModeSense6(input);
      const [blockDescriptor] = value.blockDescriptors;
      const { mediumType, deviceSpecific, pages } = value;
      const [head] = blockDescriptor === undefined ? [{}] : [{ blockDescriptor }];
      const list = encodeModeSelect6({ mediumType, deviceSpecific, ...head, pages: [...pages.values()] });
      must(list[0] === 0, "MODE DATA LENGTH is reserved in a parameter list");
      return value;
    },
  ),
  device("mode-page", [Buffer.alloc(18, 0x1d)], (input) => [
    decodeCompression(input),
    decodeWormMedium(input),
    decodeWriteCache(input),
    decodeElementAddresses(input),
  ]),
  device("log-page", [inventory(0x2e, 0, 0, 10, 0, 3, 0x60, 1, 1, 0, 20, 0x60, 1, 1)], (input) => [
    decodeLogPage(input),
    decodeTapeAlerts(input),
  ]),
  device("luns", [luns], (input) => {
    const found = decodeLuns(input);
    for (const { lun } of found) must(lun === undefined || (lun >= 0 && lun < 16384), "LUNs have 14 bits");
    return found;
  }),
  device("elements", [elements], decodeElementStatus),
  device(
    "position-short",
    [inventory(0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 1, 0)],
    decodeShortPosition,
  ),
  device(
    "position-long",
    [Buffer.concat([Buffer.alloc(8), u64(2n ** 40n), u64(3n), Buffer.alloc(8)])],
    decodeLongPosition,
  ),
  device("position-extended", [Buffer.concat([Buffer.alloc(8), u64(7n), u64(9n), u64(512n)])], decodeExtendedPosition),
  device("block-limits", [inventory(9, 0x80, 0, 0, 0, 1)], (input) => {
    const value = decodeBlockLengthLimits(input);
    must(
      value.maxBlockBytes === 0 || value.minBlockBytes <= value.maxBlockBytes,
      "the smallest block is not the largest",
    );
    return value;
  }),
];
