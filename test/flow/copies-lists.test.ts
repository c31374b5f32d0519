// Parameter lists of third-party copies that are wrong, over the wire: each refusal with its place, and nothing copied.
import test from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyForm, type CopyList, encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { blocks, inline, type ListScene, startLists, UNIT } from "../lib/copy-lists.js";
import { listOf, words } from "../lib/copy-plant.js";

/** Where CSCD descriptors and, behind two of them, segments begin. */
const AT = { LID1: { cscds: 16, segments: 80 }, LID4: { cscds: 48, segments: 112 } } as const;
const FORMS = ["LID1", "LID4"] as const;

interface Wrong {
  readonly what: string;
  readonly list?: Partial<CopyList>;
  readonly segments?: (form: CopyForm) => readonly Segment[];
  readonly change?: (bytes: Buffer, at: { readonly cscds: number; readonly segments: number }) => void;
  /** By the form, where they differ. */
  readonly answer: string | Readonly<Record<CopyForm, string>>;
}

const inSegments = (answer: string, at: number): Readonly<Record<CopyForm, string>> => ({
  LID1: `${answer} list ${AT.LID1.segments + at}`,
  LID4: `${answer} list ${AT.LID4.segments + at}`,
});
const inCscds = (answer: string, at: number, bit = ""): Readonly<Record<CopyForm, string>> => ({
  LID1: `${answer} list ${AT.LID1.cscds + at}${bit}`,
  LID4: `${answer} list ${AT.LID4.cscds + at}${bit}`,
});

const tape = (form: CopyForm) => (form === "LID4" ? 2 : 1);
const nexus = (form: CopyForm): Segment => ({
  ...{
    kind: "source-nexus",
    destination: tape(form),
    key: 1n,
    actionKey: 2n,
    unregister: false,
    aptpl: false,
    port: 1,
  },
  transportId: { protocol: "iscsi", name: "iqn.2024-01.org.example:c", isid: "400001370001" },
});
const embedded = (form: CopyForm): Segment => ({
  ...{ kind: "embedded-stream", cat: false, destination: tape(form), transfer: 512, data: new Uint8Array(8) },
});

/** Of both forms: SPC-4 5.17.7.3, 6.4.2 to 6.4.6, 6.5. */
const WRONG: readonly Wrong[] = [
  { what: "LIST ID USAGE 01b", list: { listIdUsage: 1 }, answer: "5/26/0 list 1 bit 4" },
  {
    what: "an identifier where there is none",
    list: { listIdUsage: 3, listId: 5 },
    answer: { LID1: "5/26/0 list 0", LID4: "5/26/0 list 20" },
  },
  {
    what: "half a CSCD descriptor",
    change: (bytes, { cscds }) => bytes.writeUInt16BE(48, cscds === 16 ? 2 : 42),
    answer: { LID1: "5/26/0 list 2", LID4: "5/26/0 list 42" },
  },
  {
    what: "more CSCD descriptors than there may be",
    change: (bytes, { cscds }) => bytes.writeUInt16BE(65 * 32, cscds === 16 ? 2 : 42),
    answer: { LID1: "5/26/6 list 2", LID4: "5/26/6 list 42" },
  },
  {
    what: "more bytes of descriptors than there may be",
    change: (bytes, { cscds }) => bytes.writeUInt16BE(30_752, cscds === 16 ? 10 : 44),
    answer: "5/1a/0",
  },
  {
    what: "more behind the header than comes",
    change: (bytes, { cscds }) => bytes.writeUInt16BE(4, cscds === 16 ? 14 : 46),
    answer: "5/1a/0",
  },
  {
    what: "a CSCD descriptor of a port",
    change: (bytes, { cscds }) => bytes.writeUInt8(0xe0, cscds),
    answer: inCscds("5/26/7", 0),
  },
  {
    what: "a CSCD descriptor of a ROD",
    change: (bytes, { cscds }) => bytes.writeUInt8(0xfe, cscds + 32),
    answer: inCscds("5/26/7", 32),
  },
  {
    what: "an extension",
    change: (bytes, { cscds }) => bytes.writeUInt8(0xff, cscds + 32),
    answer: inCscds("5/26/7", 32),
  },
  {
    what: "a device type that is none of a copy",
    change: (bytes, { cscds }) => bytes.writeUInt8(0x08, cscds + 1),
    answer: inCscds("5/26/0", 1, " bit 4"),
  },
  {
    what: "a designator of no bytes",
    change: (bytes, { cscds }) => bytes.writeUInt8(0, cscds + 32 + 7),
    answer: inCscds("5/26/0", 39),
  },
  {
    what: "a designator that has no room",
    change: (bytes, { cscds }) => bytes.writeUInt8(21, cscds + 7),
    answer: inCscds("5/26/0", 7),
  },
  {
    what: "FIXED without a length",
    change: (bytes, { cscds }) => {
      bytes.writeUInt8(0x01, cscds + 1);
      bytes.writeUInt32BE(0x0100_0000, cscds + 28);
    },
    answer: inCscds("5/26/0", 28, " bit 0"),
  },
  {
    what: "a length without FIXED",
    change: (bytes, { cscds }) => bytes.writeUInt8(0x01, cscds + 1),
    answer: inCscds("5/26/0", 28, " bit 7"),
  },
  {
    what: "an unknown segment",
    change: (bytes, { segments }) => bytes.writeUInt8(0x17, segments),
    answer: inSegments("5/26/9", 0),
  },
  {
    what: "an unknown segment behind one that is known",
    segments: (form) => [blocks(form), blocks(form)],
    change: (bytes, { segments }) => bytes.writeUInt8(0xc0, segments + 28),
    answer: inSegments("5/26/9", 28),
  },
  {
    what: "a segment of another length than its kind has",
    change: (bytes, { segments }) => bytes.writeUInt16BE(0x14, segments + 2),
    answer: inSegments("5/26/0", 2),
  },
  {
    what: "a segment that is longer than the list of them",
    change: (bytes, { segments }) => bytes.writeUInt16BE(0x1c, segments + 2),
    answer: inSegments("5/26/0", 2),
  },
  {
    what: "a list of segments that ends within the head of one",
    segments: (form) => [blocks(form), blocks(form)],
    change: (bytes, { segments }) => bytes.writeUInt16BE(31, segments === 80 ? 10 : 44),
    answer: "5/1a/0",
  },
  {
    what: "data to be held without an identifier",
    list: { listIdUsage: 3, listId: 0 },
    segments: (form) => [blocks(form), blocks(form, { hold: true })],
    answer: inSegments("5/26/0", 28),
  },
  {
    what: "an offset of inline data that is no multiple of 4",
    segments: (form) => [inline(form)],
    change: (bytes, { segments }) => bytes.writeUInt32BE(2, segments + 12),
    answer: inSegments("5/26/0", 12),
  },
  {
    what: "more embedded data than there is",
    segments: (form) => [embedded(form)],
    change: (bytes, { segments }) => bytes.writeUInt16BE(9, segments + 12),
    answer: inSegments("5/26/0", 12),
  },
  {
    what: "embedded data whose length is no multiple of 4",
    segments: (form) => [embedded(form)],
    change: (bytes, { segments }) => bytes.writeUInt16BE(0x12, segments + 2),
    answer: inSegments("5/26/0", 2),
  },
  {
    what: "a TransportID of another length",
    segments: (form) => [nexus(form)],
    change: (bytes, { segments }) => bytes.writeUInt32BE(20, segments + 28),
    answer: inSegments("5/26/0", 28),
  },
  {
    what: "a TransportID that is none",
    segments: (form) => [nexus(form)],
    change: (bytes, { segments }) => bytes.writeUInt8(0x0f, segments + 32),
    answer: inSegments("5/26/0", 32),
  },
];

/** Of LID4 alone. */
const WRONG_LID4: readonly Wrong[] = [
  { what: "PARAMETER LIST FORMAT", change: (bytes) => bytes.writeUInt8(2, 0), answer: "5/26/0 list 0" },
  {
    what: "HEADER CSCD DESCRIPTOR LIST LENGTH",
    change: (bytes) => bytes.writeUInt16BE(0x40, 2),
    answer: "5/26/0 list 2",
  },
  { what: "HEADER CSCD DESCRIPTOR TYPE CODE", change: (bytes) => bytes.writeUInt8(0xfe, 16), answer: "5/26/0 list 16" },
  { what: "IMMED and G_SENSE", list: { immediate: true, goodSense: true }, answer: "5/24/0" },
  { what: "IMMED without an identifier", list: { immediate: true, listIdUsage: 3, listId: 0 }, answer: "5/24/0" },
];

function bytesOf({ cscds }: ListScene, form: CopyForm, { list, segments, change }: Wrong): Buffer {
  const some = segments?.(form) ?? [blocks(form)];
  const bytes = Buffer.from(encodeCopyList(listOf(cscds, some, { form, ...list })));
  change?.(bytes, AT[form]);
  return bytes;
}

test("every refusal of a list, in both forms, with its place; and nothing of it is copied", async (t) => {
  const scene = await startLists(t);
  const before = scene.plant.media();
  for (const form of FORMS) {
    const kind = form === "LID1" ? "copy-lid1" : "copy-lid4";
    for (const wrong of [...WRONG, ...(form === "LID4" ? WRONG_LID4 : [])]) {
      const { answer } = wrong;
      const expected = typeof answer === "string" ? answer : answer[form];
      t.is(await scene.send(kind, bytesOf(scene, form, wrong)), expected, `${form}: ${wrong.what}`);
    }
    // The same lists with nothing wrong.
    t.is(await scene.send(kind, bytesOf(scene, form, { what: "right", segments: () => [], answer: "good" })), "good");
  }
  t.is(scene.plant.media(), before);
});

test("PARAMETER LIST LENGTH: what is cut anywhere is refused, what is too long is passed over, and none is no error", async (t) => {
  const scene = await startLists(t);
  const { plant, host } = scene;
  const before = plant.media();
  for (const form of FORMS) {
    const kind = form === "LID1" ? "copy-lid1" : "copy-lid4";
    const list = bytesOf(scene, form, { what: "right", answer: "good" });
    for (const length of [1, AT[form].cscds - 1, AT[form].cscds, AT[form].segments, list.length - 1])
      t.is(await scene.send(kind, list.subarray(0, length)), "5/1a/0", `${form}: ${length} bytes of ${list.length}`);
    t.is(await scene.send(kind, list, list.length + 8), "5/1a/0", "longer than what comes");
    const cdb = encodeCopyCommand({ kind, listId: 0, length: 0 });
    t.is(words(await host.send(UNIT, cdb)), "good", "no list is no copy (SPC-4 6.4.1)");
    t.is(plant.media(), before);
  }
  // SPC-4 6.4.1: bytes behind the list belong to nothing. The command says fewer than came, too.
  for (const form of FORMS) {
    const kind = form === "LID1" ? "copy-lid1" : "copy-lid4";
    const segments = () => [blocks(form, { blocks: 8, destinationLba: form === "LID1" ? 0n : 8n })];
    const list = bytesOf(scene, form, { what: "right", segments, answer: "good" });
    const longer = Buffer.concat([list, Buffer.alloc(100, 0xff)]);
    t.is(await scene.send(kind, longer), "good");
    t.is(await scene.send(kind, longer, list.length), "good");
  }
  const [from, to] = [plant.disk("disk0"), plant.disk("disk1")];
  t.true(to.subarray(0, 8192).equals(Buffer.concat([from.subarray(0, 4096), from.subarray(0, 4096)])));
});
