// The words of third-party copies: every segment and device can be said, words and descriptors say the same, and what is
// not understood is pointed at.
import { readFileSync } from "node:fs";
import test from "ava";
import fc from "fast-check";
import { GantryError } from "../../../src/sys/errors.js";
import { type CopyList, decodeCopyList, encodeCopyList } from "../../../src/wire/xcopy/copy-list.js";
import { SEGMENT_CODES, segmentCode } from "../../../src/wire/xcopy/segments.js";
import { parseDevice } from "../../../tools/xcopy/device-words.js";
import { GRAMMAR, grammarText } from "../../../tools/xcopy/grammar.js";
import { type ListOptions, linesOf, makePlan, type NamedDevice, planOf, planText } from "../../../tools/xcopy/plan.js";
import { pointed } from "../../../tools/xcopy/words.js";
import { copyLists, LIMITS, rod } from "../../lib/xcopy.js";

const NO_FILES = {
  readFile: (path: string): Uint8Array => {
    if (path === "there") return Uint8Array.of(1, 2, 3);
    throw new Error("no such file");
  },
};
const OPTIONS: ListOptions = {
  form: "LID1",
  listId: 1,
  listIdUsage: 0,
  priority: 1,
  striped: false,
  goodSense: false,
  immediate: false,
  inline: new Uint8Array(0),
};
const device = (text: string): NamedDevice => {
  const spec = parseDevice(text);
  if (spec.is === "asked") throw new Error("not to be asked");
  return spec;
};
const DEVICES = [
  "d0=naa.600112233445566778899aabbccddee0,block=512",
  "d1=naa.600112233445566778899aabbccddee1",
  "t0=naa.5001122334455660,tape,pad",
  "t1=eui.0011223344556677,fixed=512",
  "r0=rod,return,lifetime=60",
].map(device);
const listOf = (...lines: string[]): CopyList => makePlan(DEVICES, lines, OPTIONS, NO_FILES).list;

test("the examples of the grammar are segments of the codes that they stand beside, and no code is left out", (t) => {
  const seen = new Set<number>();
  for (const { words, example, codes } of GRAMMAR) {
    const expected = codes.split(" ").map((code) => Number.parseInt(code, 16));
    for (const line of [example, ...(words.includes("[hold]") ? [`${example.replace(/ hold$/, "")} hold`] : [])]) {
      const code = segmentCode(listOf(line).segments[0] as CopyList["segments"][number]);
      t.true(expected.includes(code), `${line}: ${code.toString(16)}`);
      seen.add(code);
    }
    t.true(example.startsWith(words.split(" ")[0] ?? ""), words);
  }
  // The only example with hold already has it.
  for (const code of listOf("discard t0/64KiB+1MiB").segments.map(segmentCode)) seen.add(code);
  t.deepEqual(
    [...seen].sort((a, b) => a - b),
    SEGMENT_CODES,
  );
});

test("words of any list make the same list again", (t) => {
  fc.assert(
    fc.property(copyLists, (list) => {
      const bytes = encodeCopyList(list);
      const plan = planOf(bytes, list.form);
      const lines = linesOf(planText(plan));
      const devices = lines.filter((line) => line.startsWith("device ")).map((line) => device(line.slice(7)));
      const segments = lines.filter((line) => !line.startsWith("device "));
      const again = makePlan(devices, segments, { ...plan.list }, NO_FILES);
      t.deepEqual(again.bytes, bytes, planText(plan));
      t.deepEqual(decodeCopyList(again.bytes, list.form, LIMITS), plan.list);
    }),
    { numRuns: 500 },
  );
});

test("a device has the number that its form of the list gives it", (t) => {
  const segment = (form: "LID1" | "LID4") =>
    makePlan(DEVICES, ["image d0@0 -> d1@5"], { ...OPTIONS, form }, NO_FILES).list.segments[0];
  t.like(segment("LID1"), { source: 0, destination: 1 });
  t.like(segment("LID4"), { source: 1, destination: 2 });
  t.like(listOf("verify this").segments[0], { source: 0xffff });
  t.like(listOf("verify nulltape").segments[0], { source: 0xc001 });
  t.like(listOf("verify cscd:0x7ff").segments[0], { source: 0x7ff });
  const same = makePlan([device("s=this"), ...DEVICES], ["verify s", "verify d0"], OPTIONS, NO_FILES);
  t.deepEqual(
    same.list.segments.map((one) => "source" in one && one.source),
    [0xffff, 0],
  );
});

test("sizes have units, and count blocks of a tape whose blocks are fixed", (t) => {
  t.like(listOf("blocks d0@0x10+0x80 -> t0/64KiB").segments[0], { transfer: 65_536, lba: 16n, blocks: 128 });
  t.like(listOf("blocks d0@0+128 -> t1/64KiB").segments[0], { transfer: 128 });
  t.like(listOf("tape t0/512+1GiB -> t1/1MiB").segments[0], { byteCount: 2 ** 30, destinationTransfer: 2048 });
  t.like(listOf("space t0 blocks -3").segments[0], { code: 0, count: 0xff_fffd });
  t.like(listOf("space t0 eod").segments[0], { code: 3, count: 0 });
});

test("inline data stands at multiples of four behind what is given, and parts of it can be named", (t) => {
  const lines = ['inline "hello" -> t0/512', "inline @there -> t0/512", "inline data@0+2 -> t0/512"];
  const { list } = makePlan(DEVICES, lines, { ...OPTIONS, inline: Uint8Array.of(9, 9) }, NO_FILES);
  t.deepEqual(list.inline, Uint8Array.of(9, 9, 0, 0, ...Buffer.from("hello"), 0, 0, 0, 1, 2, 3));
  t.deepEqual(
    list.segments.map((one) => one.kind === "inline-stream" && [one.inlineOffset, one.byteCount]),
    [
      [4, 5],
      [12, 3],
      [0, 2],
    ],
  );
  t.like(listOf('embed "a \\"b\\"\\n\\\\" -> t0/512').segments[0], { data: Uint8Array.from(Buffer.from('a "b"\n\\')) });
});

test("a device is what its words say", (t) => {
  const cscd = (text: string): unknown => {
    const spec = parseDevice(text);
    return spec.is === "this" ? spec.is : spec.cscd;
  };
  t.like(cscd("a=naa.5001122334455660,fixed=64KiB,pad,port=3"), {
    deviceType: 1,
    fixed: true,
    blockBytes: 65_536,
    pad: true,
    initiatorPort: 3,
  });
  t.like(cscd('a="t10.VENDOR  a,b"'), {
    designator: { type: 1, codeSet: 2, association: 0, value: Uint8Array.from(Buffer.from("VENDOR  a,b")) },
  });
  t.like(cscd("a = designator:3.2.8.6162 , null , type=14"), { nul: true, deviceType: 14 });
  t.is(cscd("a=this"), "this");
  t.deepEqual(cscd("a=rod,token=256,delete,producer=0xf800"), {
    ...rod({ producer: 0xf800, rodType: 0, deleteToken: true, tokenOffset: 256 }),
    blockBytes: 0,
  });
  t.like(parseDevice("a=lun:5,pad"), { is: "asked", asked: { lun: 5 }, typeTold: false });
  t.like(parseDevice("a=lun:5,tape"), { is: "asked", typeTold: true });
  t.like(parseDevice("a=/dev/sg3"), { is: "asked", asked: { unit: "/dev/sg3" } });
  t.like(parseDevice("a=iscsi://127.0.0.1:3260/iqn.2024-01.org.example:t/1,block=4KiB"), {
    asked: { unit: "iscsi://127.0.0.1:3260/iqn.2024-01.org.example:t/1" },
    cscd: { blockBytes: 4096 },
  });
});

/** A line, the word that is at fault, and something of what is said about it. */
const WRONG: readonly (readonly [string, string, RegExp])[] = [
  ["copy d0@0+1 -> d1@0", "copy", /begins no segment; there are blocks, tape/],
  ["", " ", /begins no segment/],
  ["blocks d9@0+1 -> d1@0", "d9", /no device "d9"; there are d0, d1, t0/],
  ["blocks d0@0 -> d1@0", "d0@0", /how much is missing: write d0@0\+N/],
  ["blocks d0@0+70000 -> d1@0", "70000", /65535 is the most of one segment; `image` takes/],
  ["blocks d0@0+1 -> d1@0+1", "1", /said on the other side/],
  ["blocks d0@0:7+1 -> d1@0", "d0@0:7+1", /only `bytes` has an offset/],
  ["blocks d0@x+1 -> d1@0", "x+1", /"x\+1" stands where an LBA has to be/],
  ["blocks d0@0+1 d1@0", "d1@0", /"d1@0" stands where "->" and a destination has to be/],
  ["blocks d0@0+1 -> t0", "t0", /a place on a disk has to be here: t0@LBA/],
  ["blocks t0/1+1 -> d1@0", "t0/1+1", /a place on a disk has to be here/],
  ["blocks d0@0+1 -> d1@0 dog", "dog", /"dog" is not known here; cat, dc, hold may be/],
  ["blocks d0@0+128 -> t0/64KB", "64KB", /"64KB" stands where the bytes of a transfer \(such as 512/],
  ["blocks d0@0+128 -> t1/1000", "1000", /fixed blocks of 512 bytes/],
  ["blocks d0@0+128 -> t0/16MiB", "16MiB", /the bytes of a transfer is 16777215 at most/],
  ["blocks t0@0+128 -> d1@0", "t0@0+128", /"t0" is a tape: write t0\/SIZE/],
  ["tape d0/512 -> d1@0+1", "d0/512", /"d0" is a disk: write d0@LBA/],
  ["bytes d0@0+5 -> t0/512", "d0@0+5", /write d0@0:0/],
  ["inline text -> t0/512", "text", /stands where "text", hex:DIGITS, @FILE or data@/],
  ["inline @gone -> t0/512", "@gone", /cannot be read \(no such file\)/],
  ["inline hex:0 -> t0/512", " ", /even number of hexadecimal digits/],
  ["embed data@0+4 -> t0/512", "data@0+4", /"text", hex:DIGITS or @FILE/],
  ["filemarks t0", " ", /a number of filemarks is missing/],
  ["filemarks t0/512 1", "t0/512", /name of a device alone has to be here: t0/],
  ["space t0 records 1", "records", /goes over blocks, filemarks/],
  ["space t0 blocks -8388609", "8388609", /8388608 at most/],
  ["locate t0 4294967296", "4294967296", /4294967295 at most/],
  ["register d0 action=1", "action=1", /stands where "key=" and a number/],
  ["move d0 to host key=1 action=1", "host", /iscsi:NAME/],
  ["rod this@0+8,9 -> r0", " ", /"\+" and a number of blocks is missing/],
  ["verify d0 d1", "d1", /"d1" is not known here; untested may be/],
  ["locate t0 4 5", "5", /"5" is not expected here/],
];

for (const [line, word, message] of WRONG) {
  test(`"${line}" is not understood, and "${word}" is pointed at`, (t) => {
    const error = t.throws(() => listOf(line), { instanceOf: GantryError, code: "XCOPY_SYNTAX", message });
    const marks = pointed(error)?.split("\n")[1] ?? "";
    if (word === " ") return;
    const from = marks.indexOf("^") - 2;
    t.is(line.slice(from, from + marks.trim().length), word);
  });
}

const WRONG_DEVICES: readonly (readonly [string, RegExp])[] = [
  ["this=naa.5001122334455660", /name that every list has/],
  ["d0", /"=" and what the device is is missing/],
  ["d0=disk7", /"disk7" is no device/],
  ["d0=naa.500112233445566", /is no device/],
  ["d0=iqn.2024-01.org.example:much-too-long-for-it", /20 bytes at most/],
  ["d0=naa.5001122334455660,colour", /no option "colour"; there are disk, tape/],
  ["d0=naa.5001122334455660,constructor", /no option "constructor"/],
  ["d0=naa.5001122334455660,fixed", /"=" and the bytes of a block is missing/],
  ["d0=this,tape", /has no options/],
  ["d0=naa.5001122334455660,lifetime=5", /no option "lifetime"/],
  ["d0=lun:99999", /16383 at most/],
];

for (const [text, message] of WRONG_DEVICES) {
  test(`the device "${text}" is not understood`, (t) => {
    t.throws(() => device(text), { instanceOf: GantryError, code: "XCOPY_SYNTAX", message });
  });
}

test("a list that contradicts itself is refused before it is sent", (t) => {
  t.throws(
    () =>
      makePlan(DEVICES.slice(0, 4), ["discard t0/512+512 hold"], { ...OPTIONS, listId: 0, listIdUsage: 3 }, NO_FILES),
    {
      code: "COPY_REFUSED",
      message: /held without a list identifier/,
    },
  );
  t.throws(() => makePlan([...DEVICES, device("d0=naa.5001122334455660")], [], OPTIONS, NO_FILES), {
    code: "XCOPY_SYNTAX",
    message: /"d0" is given twice/,
  });
});

test("lines of a file are read without comments, and a # in quotes is none", (t) => {
  t.deepEqual(linesOf('# all\r\n\nverify d0 # is it there\n inline "a # b" -> t0/512 \ninline @a#b -> t0/512'), [
    "verify d0",
    'inline "a # b" -> t0/512',
    "inline @a#b -> t0/512",
  ]);
});

test("XCOPY.md has the grammar that the help has, and the clause and codes of each segment", (t) => {
  const document = readFileSync("XCOPY.md", "utf8");
  t.true(document.includes(`\`\`\`text\n${grammarText()}\n\`\`\``));
  for (const { example, clause, codes } of GRAMMAR)
    t.true(document.includes(`| \`${example}\` | ${clause} | ${codes} |`));
});
