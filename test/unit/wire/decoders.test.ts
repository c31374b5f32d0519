import test from "ava";
import fc from "fast-check";
import { isGantryError } from "../../../src/sys/errors.js";
import { decodeCapacity10, decodeCapacity16 } from "../../../src/wire/capacity.js";
import { decodeElementStatus } from "../../../src/wire/element-status.js";
import { fromHex, hexForPeople, parseHexText, toHex } from "../../../src/wire/hex.js";
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
  diskWriteProtected,
  encodeModeSelect6,
  encodeTapeParameter,
  MODE_PAGE,
  tapeParameter,
} from "../../../src/wire/mode.js";
import { deviceTypeName } from "../../../src/wire/names.js";
import {
  decodeBlockLengthLimits,
  decodeExtendedPosition,
  decodeLongPosition,
  decodeShortPosition,
} from "../../../src/wire/tape.js";
import { vector } from "../../lib/vectors.js";

const scsi = (name: string) => vector(`scsi/${name}`);
const TRUNCATED = { code: "SCSI_DATA_TRUNCATED" } as const;
const INVALID = { code: "SCSI_DATA_INVALID" } as const;

test("standard INQUIRY data", (t) => {
  t.deepEqual(decodeInquiry(scsi("inquiry-tape")), {
    qualifier: 0,
    deviceType: 1,
    removable: true,
    version: 6,
    vendor: "GANTRY",
    product: "EMULATED TAPE",
    revision: "0100",
    targetPortGroups: 0,
    thirdPartyCopy: false,
    protection: false,
    commandQueuing: true,
  });
  t.is(deviceTypeName(1), "tape drive");
  t.throws(() => decodeInquiry(scsi("inquiry-tape").subarray(0, 35)), TRUNCATED);
});

test("what is no printable ASCII in an INQUIRY string becomes a question mark", (t) => {
  const data = scsi("inquiry-tape");
  data.set([0x1b, 0x80], 8);
  t.is(decodeInquiry(data).vendor, "??NTRY");
});

test("VPD pages: supported, serial number, identification", (t) => {
  t.deepEqual(decodeSupportedPages(scsi("vpd-supported")), [0x00, 0x80, 0x83, 0xb0]);
  t.is(decodeSerialNumber(scsi("vpd-serial")), "GAN0042");
  const designators = decodeIdentification(scsi("vpd-identification"));
  t.deepEqual(designators, [
    { type: "t10-vendor", association: "logical-unit", value: "GANTRY  disk-01" },
    { type: "naa", association: "logical-unit", value: "5000000123456789" },
    { type: "relative-port", association: "port", value: "00000001" },
    { type: "scsi-name", association: "target", value: "iqn.2026.a:b" },
  ]);
  t.is(logicalUnitName(designators), "naa.5000000123456789");
  t.is(logicalUnitName(designators.slice(2)), undefined, "a port's or a target's name is not the logical unit's");
});

test("VPD page B0h of SBC-3, of SBC-2, and of a tape drive", (t) => {
  const page = scsi("vpd-block-limits");
  t.deepEqual(decodeBlockLimits(page), {
    writeSameNonZero: true,
    maxCompareAndWriteBlocks: 1,
    optimalGranularityBlocks: 8,
    maxTransferBlocks: 0x4000,
    optimalTransferBlocks: 0x400,
    maxUnmapBlocks: 0x1000,
    maxUnmapDescriptors: 0x40,
    unmapGranularityBlocks: 8,
    unmapAlignmentBlocks: 3,
    maxWriteSameBlocks: 0x10000n,
  });
  const short = page.slice(0, 16);
  short[3] = 12;
  t.like(decodeBlockLimits(short), { maxTransferBlocks: 0x4000, maxUnmapBlocks: 0, maxWriteSameBlocks: 0n });
  t.deepEqual(decodeTapeCapabilities(fromHex("01b0000201 00".replace(" ", ""))), { worm: true });
});

test("a VPD page that is another one, or shorter than it says, is refused", (t) => {
  t.throws(() => decodeSerialNumber(scsi("vpd-supported")), { ...INVALID, message: /page 0h instead/ });
  t.throws(() => decodeBlockLimits(scsi("vpd-block-limits").subarray(0, 63)), TRUNCATED);
  const identification = scsi("vpd-identification");
  identification[7] = 0xff;
  t.throws(() => decodeIdentification(identification), TRUNCATED);
});

test("READ CAPACITY (10)", (t) => {
  t.deepEqual(decodeCapacity10(fromHex("0000ffff00000200")), { blocks: 65536n, blockBytes: 512 });
  t.throws(() => decodeCapacity10(fromHex("ffffffff00000200")), { ...INVALID, message: /READ CAPACITY \(16\)/ });
  t.throws(() => decodeCapacity10(fromHex("0000ffff00000000")), INVALID);
  t.throws(() => decodeCapacity10(fromHex("0000ffff000002")), TRUNCATED);
});

test("READ CAPACITY (16)", (t) => {
  const data = fromHex(`00000001ffffffff00001000 0503c007${"00".repeat(16)}`.replace(" ", ""));
  t.deepEqual(decodeCapacity16(data), {
    blocks: 0x200000000n,
    blockBytes: 4096,
    protectionType: 3,
    blocksPerPhysical: 8,
    lowestAligned: 7,
    thin: true,
    unmappedReadsZero: true,
  });
  t.like(decodeCapacity16(data.subarray(0, 12)), { blocks: 0x200000000n, protectionType: 0, thin: false });
  t.throws(() => decodeCapacity16(data.subarray(0, 11)), TRUNCATED);
  t.throws(() => decodeCapacity16(fromHex(`${"ff".repeat(8)}00001000`)), INVALID);
});

test("READ POSITION, short form", (t) => {
  const data = fromHex("80010000000000050000000300000002 00080000".replace(" ", ""));
  t.deepEqual(decodeShortPosition(data), {
    bop: true,
    eop: false,
    bpew: false,
    partition: 1,
    object: 5n,
    lastObject: 3n,
    bufferedObjects: 2,
    bufferedBytes: 0x80000n,
    overflow: false,
  });
  data[0] = 0x77;
  t.deepEqual(decodeShortPosition(data), { bop: false, eop: true, bpew: true, partition: 1, overflow: true });
  t.throws(() => decodeShortPosition(data.subarray(0, 19)), TRUNCATED);
});

test("READ POSITION, long form", (t) => {
  const data = fromHex(`41000000000000020000000100000004 0000000000000007${"00".repeat(8)}`.replace(" ", ""));
  t.deepEqual(decodeLongPosition(data), {
    bop: false,
    eop: true,
    bpew: true,
    partition: 2,
    object: 0x100000004n,
    file: 7n,
  });
  data[0] = 0x0c;
  t.like(decodeLongPosition(data), { object: undefined, file: undefined });
  t.throws(() => decodeLongPosition(data.subarray(0, 31)), TRUNCATED);
});

test("READ POSITION, extended form", (t) => {
  const data = fromHex("0003001c00000009000000010000000a00000001000000010000000000000400");
  t.like(decodeExtendedPosition(data), {
    partition: 3,
    object: 0x10000000an,
    lastObject: 0x100000001n,
    bufferedObjects: 9,
    bufferedBytes: 1024n,
  });
});

test("READ BLOCK LIMITS", (t) => {
  t.deepEqual(decodeBlockLengthLimits(fromHex("028000000004")), {
    granularityBytes: 4,
    maxBlockBytes: 8388608,
    minBlockBytes: 4,
  });
  t.throws(() => decodeBlockLengthLimits(fromHex("000000010002")), INVALID);
  t.throws(() => decodeBlockLengthLimits(fromHex("0000000100")), TRUNCATED);
});

test("MODE SENSE (6) of a tape drive: header, block descriptor, pages", (t) => {
  const mode = decodeModeSense6(scsi("mode-sense-tape"));
  t.deepEqual(mode.blockDescriptors, [{ density: 0x5e, blocks: 0, blockBytes: 4096 }]);
  t.deepEqual(tapeParameter(mode.deviceSpecific), { writeProtected: false, bufferedMode: 1, speed: 0 });
  t.deepEqual([...mode.pages.keys()], [0x0f00, 0x1000]);
  const compression = mode.pages.get(MODE_PAGE.DATA_COMPRESSION << 8) ?? new Uint8Array(0);
  t.deepEqual(decodeCompression(compression), { enabled: true, capable: true, decompression: true, algorithm: 1 });
  t.deepEqual(tapeParameter(0xa2), { writeProtected: true, bufferedMode: 2, speed: 2 });
});

test("MODE SENSE (6) that is cut off or contradicts itself is refused; what follows its length is not looked at", (t) => {
  const data = scsi("mode-sense-tape");
  t.throws(() => decodeModeSense6(data.subarray(0, 40)), TRUNCATED);
  t.throws(() => decodeModeSense6(data.subarray(0, 3)), TRUNCATED);
  t.notThrows(() => decodeModeSense6(Uint8Array.from([...data, 0xff, 0xff])));
  data[3] = 7;
  t.throws(() => decodeModeSense6(data), INVALID);
});

test("a subpage has its own place among the mode pages", (t) => {
  const { pages } = decodeModeSense6(fromHex("0b000000 50010004aabbccdd".replace(" ", "")));
  t.is(toHex(pages.get(0x1001) ?? new Uint8Array(0)), "50010004aabbccdd");
});

test("MODE SELECT (6): WP and PS are not sent back, MODE DATA LENGTH is 0", (t) => {
  const list = encodeModeSelect6({
    deviceSpecific: encodeTapeParameter(1),
    blockDescriptor: { density: 0x5e, blocks: 0, blockBytes: 0x040000 },
    pages: [fromHex("8f0e")],
  });
  t.is(toHex(list), "000010085e000000000400000f0e");
  t.is(toHex(encodeModeSelect6({})), "00000000");
  t.throws(() => encodeModeSelect6({ blockDescriptor: { density: 0, blocks: 0, blockBytes: 2 ** 24 } }), {
    code: "SCSI_FIELD_RANGE",
  });
});

test("single mode pages: write cache, WORM, element addresses, a disk's write protection", (t) => {
  t.true(decodeWriteCache(fromHex("081204")));
  t.false(decodeWriteCache(fromHex("081201")));
  t.true(decodeWormMedium(fromHex("1d1e01")));
  t.deepEqual(decodeElementAddresses(fromHex("9d120001000110000028 0200000401000002 0000".replaceAll(" ", ""))), {
    transport: { first: 1, count: 1 },
    storage: { first: 0x1000, count: 0x28 },
    importExport: { first: 0x200, count: 4 },
    drive: { first: 0x100, count: 2 },
  });
  t.true(diskWriteProtected(0x90));
  t.throws(() => decodeWriteCache(fromHex("0812")), TRUNCATED);
});

test("log pages and TapeAlert", (t) => {
  t.deepEqual(decodeTapeAlerts(scsi("log-tape-alert")), [
    { flag: 3, name: "hard error" },
    { flag: 20, name: "cleaning required" },
  ]);
  const page = decodeLogPage(fromHex("6e0500060001 4002abcd".replace(" ", "")));
  t.like(page, { page: 0x2e, subpage: 5 });
  t.is(toHex(page.parameters.get(1) ?? new Uint8Array(0)), "abcd");
  t.throws(() => decodeTapeAlerts(fromHex("00000000")), { ...INVALID, message: /page 0h instead/ });
  t.throws(() => decodeLogPage(scsi("log-tape-alert").subarray(0, 18)), TRUNCATED);
});

test("REPORT LUNS: peripheral and flat addresses as numbers, others as they are", (t) => {
  const luns = decodeLuns(
    fromHex("0000002000000000 0001000000000000 4102000000000000 0102000000000000 c101000000000000".replaceAll(" ", "")),
  );
  t.deepEqual(
    luns.map(({ lun }) => lun),
    [1, 0x102, undefined, undefined],
  );
  t.is(luns[3]?.hex, "c101000000000000");
  t.throws(() => decodeLuns(fromHex("00000007000000000001")), INVALID);
  t.throws(() => decodeLuns(fromHex("00000010000000000001000000000000")), TRUNCATED);
});

test("READ ELEMENT STATUS: where the cartridges are", (t) => {
  const elements = decodeElementStatus(scsi("element-status"));
  const common = { placedByOperator: false, exportEnabled: false, importEnabled: false, disabled: false };
  t.deepEqual(elements, [
    { type: "transport", address: 1, full: false, access: true, ...common },
    { type: "storage", address: 0x1000, full: true, access: true, ...common, source: 0x100, volume: "GAN001L8" },
    {
      type: "storage",
      address: 0x1001,
      full: false,
      access: true,
      ...common,
      exception: "medium magazine not accessible (3Bh/11h)",
    },
    { type: "drive", address: 0x100, full: false, access: true, ...common, deviceId: "SN-00001" },
  ]);
});

test("READ ELEMENT STATUS that is cut off or contradicts itself is refused", (t) => {
  const data = scsi("element-status");
  t.throws(() => decodeElementStatus(data.subarray(0, data.length - 1)), TRUNCATED);
  const type = Uint8Array.from(data);
  type[8] = 9;
  t.throws(() => decodeElementStatus(type), { ...INVALID, message: /element type 9/ });
  for (const length of [0, 11]) {
    const size = Uint8Array.from(data);
    size[11] = length;
    t.throws(() => decodeElementStatus(size), { ...INVALID, message: new RegExp(`descriptors of ${length} bytes`) });
  }
  const tag = Uint8Array.from(data);
  tag[11] = 26;
  t.throws(() => decodeElementStatus(tag), TRUNCATED, "a volume tag that does not fit its descriptor");
});

const DECODERS: readonly [string, (data: Uint8Array) => unknown, Uint8Array][] = [
  ["INQUIRY", decodeInquiry, scsi("inquiry-tape")],
  ["VPD 00h", decodeSupportedPages, scsi("vpd-supported")],
  ["VPD 80h", decodeSerialNumber, scsi("vpd-serial")],
  ["VPD 83h", decodeIdentification, scsi("vpd-identification")],
  ["VPD B0h", decodeBlockLimits, scsi("vpd-block-limits")],
  ["READ CAPACITY (10)", decodeCapacity10, new Uint8Array(8)],
  ["READ CAPACITY (16)", decodeCapacity16, new Uint8Array(32)],
  ["READ POSITION short", decodeShortPosition, new Uint8Array(20)],
  ["READ POSITION long", decodeLongPosition, new Uint8Array(32)],
  ["READ POSITION extended", decodeExtendedPosition, new Uint8Array(32)],
  ["READ BLOCK LIMITS", decodeBlockLengthLimits, new Uint8Array(6)],
  ["MODE SENSE (6)", decodeModeSense6, scsi("mode-sense-tape")],
  ["LOG SENSE", decodeTapeAlerts, scsi("log-tape-alert")],
  ["REPORT LUNS", decodeLuns, fromHex("00000008000000000001000000000000")],
  ["READ ELEMENT STATUS", decodeElementStatus, scsi("element-status")],
];
for (const [name, decode, good] of DECODERS) {
  test(`of any ${name} data, cut anywhere and with any bytes changed, only our own errors come out`, (t) => {
    const change = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    fc.assert(
      fc.property(change, fc.nat(good.length), fc.uint8Array({ maxLength: 16 }), (changes, cut, more) => {
        const data = Uint8Array.from([...good.subarray(0, cut), ...more]);
        for (const [at, byte] of changes) if (at < data.length) data[at] = byte;
        try {
          decode(data);
        } catch (error) {
          if (!isGantryError(error) || !error.code.startsWith("SCSI_DATA_")) throw error;
        }
      }),
      { numRuns: 500 },
    );
    t.pass();
  });
}

test("hexadecimal: vector files, people, and what is none", (t) => {
  t.deepEqual(parseHexText("# head\n01 02 # two\n\n0a"), Uint8Array.of(1, 2, 10));
  t.is(hexForPeople(Uint8Array.of(1, 2, 3), 2), "01 02 … (3 bytes)");
  t.is(hexForPeople(Uint8Array.of(1, 2)), "01 02");
  t.throws(() => fromHex("0"), { code: "HEX_INVALID" });
  t.throws(() => fromHex("0g"), { code: "HEX_INVALID" });
});
