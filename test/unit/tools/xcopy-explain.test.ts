// Bytes of any kind, known for what they are and explained; and the names of fields that sense data point at.
import test from "ava";
import fc from "fast-check";
import { Fields } from "../../../src/wire/bytes.js";
import { encodeCopyCommand } from "../../../src/wire/xcopy/commands.js";
import { encodeCopyList } from "../../../src/wire/xcopy/copy-list.js";
import { encodeStatusLid1, encodeStatusLid4, encodeTokenInformation } from "../../../src/wire/xcopy/copy-results.js";
import { fixedCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import { type Layout, readLayout } from "../../../src/wire/xcopy/layout.js";
import { encodeOperatingParameters } from "../../../src/wire/xcopy/operating-parameters.js";
import { encodeRodToken, zeroToken } from "../../../src/wire/xcopy/rod-token.js";
import { LAYOUTS } from "../../../src/wire/xcopy/segment-layouts.js";
import { encodeSegment, type Segment } from "../../../src/wire/xcopy/segments.js";
import { encodeThirdPartyPage } from "../../../src/wire/xcopy/third-party-page.js";
import { encodePopulateToken, encodeWriteUsingToken } from "../../../src/wire/xcopy/token-lists.js";
import { explain } from "../../../tools/xcopy/explain.js";
import { listPlace, segmentField } from "../../../tools/xcopy/field-names.js";
import { planOf } from "../../../tools/xcopy/plan.js";
import {
  copyLists,
  operatingParameters,
  rodTokens,
  segments,
  statusesLid1,
  statusesLid4,
  thirdPartyDescriptors,
  tokenInformation,
} from "../../lib/xcopy.js";
import { runXcopy } from "../../lib/xcopy-unit.js";

test("bytes are known for what they are, whatever they hold", (t) => {
  const seen = (bytes: Uint8Array): string => explain(bytes).kind;
  const encoders: readonly (readonly [string, fc.Arbitrary<Uint8Array>])[] = [
    [
      "vpd-8f",
      fc.array(thirdPartyDescriptors, { minLength: 1, maxLength: 4 }).map((list) => encodeThirdPartyPage(0, list)),
    ],
    ["parameters", operatingParameters.map(encodeOperatingParameters)],
    ["status-lid1", statusesLid1.map(encodeStatusLid1)],
    ["status-lid4", statusesLid4.map((status) => encodeStatusLid4({ ...status, status: 0x12 }))],
    ["token", rodTokens.map(encodeRodToken)],
    ["lid4", copyLists.map((list) => encodeCopyList({ ...list, form: "LID4" }))],
  ];
  for (const [kind, arbitrary] of encoders)
    fc.assert(
      fc.property(arbitrary, (bytes) => t.is(seen(bytes), kind)),
      { numRuns: 60 },
    );
  const information = tokenInformation.filter(({ tokens }) => tokens.length > 0).map(encodeTokenInformation);
  fc.assert(
    fc.property(information, (bytes) => t.is(seen(bytes), "token-information")),
    { numRuns: 30 },
  );
  const lid1 = copyLists.map((list) =>
    encodeCopyList({ ...list, form: "LID1", goodSense: false, immediate: false, listId: 5 }),
  );
  fc.assert(
    fc.property(lid1, (bytes) => t.is(seen(bytes), "lid1")),
    { numRuns: 60 },
  );
});

test("explain takes hexadecimal text, files of it, and files of bytes; --list explains sense data", async (t) => {
  const list = "0100 0040 00000000 0000001c 00000000";
  const devices = `e4000000 01030008 5001122334455660 ${"00".repeat(16)} e4000000 01030008 5001122334455661 ${"00".repeat(16)}`;
  const text = `${list} ${devices} 02000018 0000 0001 0000 0010 0000000000000000 0000000000000020`;
  const files = { list: `# a comment\n${text}\n`, bytes: Uint8Array.from(Buffer.from(text.replace(/ /g, ""), "hex")) };
  for (const what of [text, "list", "bytes"]) {
    const ran = await runXcopy(["explain", what], () => ({}), { files });
    t.is(ran.code, 0, ran.err);
    t.regex(ran.out, /^device d1=naa\.5001122334455661$/m);
    t.regex(ran.out, /^blocks d0@0\+16 -> d1@32$/m);
  }
  const sense = fixedCopySense({ key: 0x0a, asc: 0x08, ascq: 0x04, segment: 0, pointer: { byte: 6, inSegment: true } });
  const ran = await runXcopy(["explain", Buffer.from(sense).toString("hex"), "--list", "list", "--json"], () => ({}), {
    files,
  });
  t.like(JSON.parse(ran.out), {
    kind: "sense",
    value: { segment: { words: "blocks d0@0+16 -> d1@32" }, field: { name: "DESTINATION CSCD DESCRIPTOR ID" } },
  });
  const cdb = encodeCopyCommand({ kind: "status-lid4", listId: 7, length: 32 });
  t.regex(
    (await runXcopy(["explain", Buffer.from(cdb).toString("hex")], () => ({}))).out,
    /RECEIVE COPY STATUS\(LID4\), list id 7/,
  );
  t.is((await runXcopy(["explain", "00ff"], () => ({}))).code, 2);
  t.is((await runXcopy(["explain", "nowhere"], () => ({}))).code, 2);
  t.is((await runXcopy(["explain", "00ff", "--as", "toString"], () => ({}))).code, 2);
  const zeros = await runXcopy(["explain", "t"], () => ({}), { files: { t: zeroToken() } });
  t.regex(zeros.out, /block device zeros \(FFFF0001h\)/);
  for (const bytes of [
    encodePopulateToken({ immediate: true, inactivitySeconds: 5, ranges: [{ lba: 1n, blocks: 2 }] }),
    encodeWriteUsingToken({
      immediate: true,
      deleteToken: false,
      offset: 9n,
      token: zeroToken(),
      ranges: [{ lba: 1n, blocks: 2 }],
    }),
  ])
    t.regex((await runXcopy(["explain", "t"], () => ({}), { files: { t: bytes } })).out, /^lba +blocks\n1 +2$/m);
});

test("every field of every segment has a name where the codec has it, bit for bit", (t) => {
  fc.assert(
    fc.property(segments, (segment: Segment) => {
      const row = LAYOUTS[segment.kind as keyof typeof LAYOUTS] as { layout: Layout; length: number } | undefined;
      const length = row === undefined ? encodeSegment(segment).length : 4 + row.length;
      for (let byte = 4; row !== undefined && byte < length; byte++) {
        for (let bit = 0; bit < 8; bit++) {
          const bytes = new Uint8Array(length);
          bytes[byte] = 1 << bit;
          const isField = Object.values(readLayout(row.layout, new Fields(bytes, "test"))).some(Boolean);
          t.is(segmentField(segment, byte, bit) !== undefined, isField, `${segment.kind} ${byte}.${bit}`);
        }
      }
      t.is(segmentField(segment, 2), "DESCRIPTOR LENGTH");
      if ("destination" in segment) t.is(segmentField(segment, 6), "DESTINATION CSCD DESCRIPTOR ID");
      if ("source" in segment) t.is(segmentField(segment, 4), "SOURCE CSCD DESCRIPTOR ID");
    }),
    { numRuns: 200 },
  );
});

test("a place in a list is within the descriptor that it is in", (t) => {
  fc.assert(
    fc.property(copyLists, fc.nat(5000), (list, place) => {
      const bytes = encodeCopyList(list);
      const plan = planOf(bytes, list.form);
      const { where, byte, segment } = listPlace(plan, place % bytes.length);
      const at = (place % bytes.length) - byte;
      if (segment !== undefined) {
        const own = encodeSegment(list.segments[segment] as Segment);
        t.deepEqual(bytes.slice(at, at + own.length), own);
        t.true(byte < own.length);
      } else if (where.startsWith("the descriptor of "))
        t.true(byte < 32 && (bytes[at] === 0xe4 || bytes[at] === 0xfe));
      else if (where === "the inline data") t.is(at, bytes.length - list.inline.length);
      else t.is(at, 0);
    }),
    { numRuns: 300 },
  );
});
