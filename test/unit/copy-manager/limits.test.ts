// One set of limits, told in two ways (SPC-4 6.22 and 7.8.17) and kept by the decoders.
import test from "ava";
import {
  COPY_LIMITS,
  copyLimits,
  operatingParameters,
  operatingParametersData,
  supportsCommand,
  thirdPartyPage,
  tokenLimits,
} from "../../../src/copy-manager/limits.js";
import { COPY_COMMANDS, type CopyCommandKind } from "../../../src/wire/xcopy/commands.js";
import { type CopyList, decodeCopyList, encodeCopyList } from "../../../src/wire/xcopy/copy-list.js";
import { decodeOperatingParameters } from "../../../src/wire/xcopy/operating-parameters.js";
import { ROD_TYPE } from "../../../src/wire/xcopy/rod-token.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import { decodeThirdPartyPage, type ThirdPartyDescriptor } from "../../../src/wire/xcopy/third-party-page.js";
import { encodeWriteUsingToken } from "../../../src/wire/xcopy/token-lists.js";
import { disk, hex } from "../../lib/xcopy.js";

const TYPES = ["disk", "tape"] as const;

function descriptor<K extends ThirdPartyDescriptor["kind"]>(page: Uint8Array, kind: K) {
  const found = decodeThirdPartyPage(page).find((one) => one.kind === kind);
  return found as Extract<ThirdPartyDescriptor, { kind: K }> | undefined;
}

test("VPD page 8Fh and RECEIVE COPY OPERATING PARAMETERS say the same, field by field", (t) => {
  const told = decodeOperatingParameters(operatingParametersData());
  t.deepEqual(told, operatingParameters());
  for (const type of TYPES) {
    const page = thirdPartyPage(type);
    const { maxCscds, maxSegments, maxListBytes, maxInlineBytes } = told;
    t.deepEqual(descriptor(page, "parameter-data"), {
      ...{ kind: "parameter-data", maxCscds, maxSegments, maxListBytes, maxInlineBytes },
    });
    const { totalCopies, maxCopies, maxSegmentBytes, segmentGranularity, inlineGranularity } = told;
    t.deepEqual(descriptor(page, "general-copy"), {
      ...{ kind: "general-copy", totalCopies, maxIdentifiedCopies: maxCopies, maxSegmentBytes },
      ...{ segmentGranularity, inlineGranularity },
    });
    t.is(descriptor(page, "stream-copy")?.maxTransferBytes, told.maxStreamTransferBytes);
    const { heldBytes, heldGranularity } = told;
    t.deepEqual(descriptor(page, "held-data"), { kind: "held-data", heldBytes, heldGranularity });
    t.deepEqual(descriptor(page, "descriptors")?.codes, told.descriptors);
    t.deepEqual(descriptor(page, "cscd-ids")?.ids, [0xc000, 0xc001, 0xffff]);
  }
});

test("what is told is what the decoders keep", (t) => {
  const told = decodeOperatingParameters(operatingParametersData());
  const { descriptors, withoutListId, ...numbers } = copyLimits();
  const { maxCscds, maxSegments, maxListBytes, maxInlineBytes } = told;
  t.deepEqual(numbers, { maxCscds, maxSegments, maxListBytes, maxInlineBytes });
  t.is(withoutListId, told.withoutListId);
  t.deepEqual([...descriptors], told.descriptors);
  t.deepEqual(
    told.descriptors,
    [...told.descriptors].sort((a, b) => a - b),
  );
  t.deepEqual([...told.descriptors.slice(-2)], [0x16, 0xe4]);
  for (const rod of [0x17, 0xbe, 0xbf, 0xe0, 0xfe]) t.false(descriptors.has(rod));
  const limits = descriptor(thirdPartyPage("disk"), "block-rod-limits");
  const { maxRanges, maxInactivitySeconds, maxBlocks } = tokenLimits();
  t.like(limits, { maxRanges, maxInactivitySeconds, maxBlocks, defaultInactivitySeconds: 60, optimalBlocks: 0n });
  t.is(descriptor(thirdPartyPage("disk", 4096), "block-rod-limits")?.optimalBlocks, 16_384n);
});

const SEGMENT: Segment = {
  ...{ kind: "block-block", hold: false, cat: false, destinationCount: false, source: 0, destination: 0 },
  ...{ blocks: 1, sourceLba: 0n, destinationLba: 8n },
};
const LIST: CopyList = {
  ...{ form: "LID1", striped: false, listIdUsage: 0, priority: 0, listId: 1, goodSense: false, immediate: false },
  cscds: Array.from({ length: COPY_LIMITS.cscds }, () => disk()),
  segments: Array.from({ length: COPY_LIMITS.segments }, () => SEGMENT),
  inline: new Uint8Array(COPY_LIMITS.inlineBytes),
};

test("a list of as much as is told is taken, and of one more of anything is not", (t) => {
  const refuse = (list: CopyList, asc: number, ascq: number) => {
    const error = t.throws(() => decodeCopyList(encodeCopyList(list), list.form, copyLimits()));
    t.like(error, { fault: { asc, ascq } });
  };
  t.deepEqual(decodeCopyList(encodeCopyList(LIST), "LID1", copyLimits()), LIST);
  refuse({ ...LIST, cscds: [...LIST.cscds, disk()], segments: [] }, 0x26, 0x06);
  refuse({ ...LIST, cscds: [], segments: [...LIST.segments, SEGMENT] }, 0x26, 0x08);
  refuse({ ...LIST, inline: new Uint8Array(COPY_LIMITS.inlineBytes + 1) }, 0x26, 0x0b);
  const ranges = Array.from({ length: tokenLimits().maxRanges }, (_, index) => ({ lba: BigInt(index), blocks: 1 }));
  const token = new Uint8Array(512);
  t.notThrows(() => encodeWriteUsingToken({ deleteToken: false, immediate: false, offset: 0n, token, ranges }));
});

test("a disk has all commands, a tape drive all but those of SBC-3, and the page names just these", (t) => {
  const commands = (type: (typeof TYPES)[number]) => descriptor(thirdPartyPage(type), "commands")?.commands;
  t.deepEqual(commands("disk"), [
    { opcode: 0x83, actions: [0x00, 0x01, 0x10, 0x11, 0x1c] },
    { opcode: 0x84, actions: [0x00, 0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08] },
  ]);
  t.deepEqual(commands("tape"), [
    { opcode: 0x83, actions: [0x00, 0x01, 0x1c] },
    { opcode: 0x84, actions: [0x00, 0x01, 0x03, 0x04, 0x05, 0x06, 0x08] },
  ]);
  for (const type of TYPES)
    for (const [kind, { opcode, action }] of Object.entries(COPY_COMMANDS))
      t.is(
        commands(type)
          ?.find((one) => one.opcode === opcode)
          ?.actions.includes(action),
        supportsCommand(type, kind as CopyCommandKind),
        `${type} ${kind}`,
      );
});

test("only a disk tells of tokens: change vulnerable ones in and out, zeros in, none of them remote", (t) => {
  const page = thirdPartyPage("disk");
  t.deepEqual(descriptor(page, "rod-types")?.types, [
    { type: 0x0080_0001, internal: false, tokenIn: true, tokenOut: true, preference: 0 },
    { type: 0xffff_0001, internal: false, tokenIn: true, tokenOut: false, preference: 0 },
  ]);
  t.deepEqual([...tokenLimits().types], [ROD_TYPE.POINT_IN_TIME_VULNERABLE]);
  t.is(descriptor(page, "rod-features")?.remoteTokens, 0);
  for (const kind of ["block-rod-limits", "rod-features", "rod-types"] as const)
    t.is(descriptor(thirdPartyPage("tape"), kind), undefined);
});

test("the page begins with the device type, and its descriptors are in ascending order", (t) => {
  for (const [type, deviceType] of [
    ["disk", 0],
    ["tape", 1],
  ] as const) {
    const page = thirdPartyPage(type, 512);
    t.deepEqual(page.subarray(0, 2), Uint8Array.of(deviceType, 0x8f));
    const found: number[] = [];
    for (let at = 4; at < page.length; at += 4 + ((page[at + 2] ?? 0) << 8) + (page[at + 3] ?? 0))
      found.push(((page[at] ?? 0) << 8) | (page[at + 1] ?? 0));
    t.deepEqual(
      found,
      [...new Set(found)].sort((a, b) => a - b),
    );
    t.true(found.length >= 7);
  }
  t.deepEqual(thirdPartyPage("tape").subarray(4, 24), hex("0001 0010 0e 83 03 00 01 1c 84 07 00 01 03 04 05 06 08 00"));
});
