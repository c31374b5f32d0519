// The longest list of a third-party copy that is right; lists of tokens and commands that are wrong, over the wire.
import test from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import { ROD_TYPE, zeroToken } from "../../src/wire/xcopy/rod-token.js";
import { encodeSegment, type Segment } from "../../src/wire/xcopy/segments.js";
import { encodePopulateToken, encodeWriteUsingToken } from "../../src/wire/xcopy/token-lists.js";
import { blocks, inline, refusal, startLists, UNIT } from "../lib/copy-lists.js";
import { pattern, words } from "../lib/copy-plant.js";

test("the longest list is carried out whole: 64 CSCD descriptors, 1024 segments, 64 KiB of inline data; one more is too many", async (t) => {
  const scene = await startLists(t);
  const { plant, host } = scene;
  const many = Array.from({ length: 62 }, (_, at) => scene.cscds[at % 2] as IdentificationCscd);
  const cscds = [...many, await host.cscd("disk1"), await host.cscd("tape0")];
  const data = pattern(65_536, 4);
  // Blocks in an order of their own, each by another descriptor; the last segment takes the inline data to a tape.
  const places = Array.from({ length: 1023 }, (_, at) => (at * 577) % 1023);
  const segments: Segment[] = places.map((place, at) =>
    blocks("LID1", {
      ...{ source: (2 * at) % 60, destination: at % 3 === 0 ? 62 : ((2 * at) % 60) + 1 },
      ...{ sourceLba: BigInt(at), destinationLba: BigInt(2000 + place) },
    }),
  );
  const toTape = { kind: "inline-stream", cat: false, destination: 63, transfer: 65_536, inlineOffset: 0 } as const;
  segments.push({ ...toTape, byteCount: 65_536 });
  const before = plant.disk("disk1");
  t.is(words(await host.copy(UNIT, cscds, segments, { inline: data })), "good");
  const [from, to] = [plant.disk("disk0"), plant.disk("disk1")];
  for (const [at, place] of places.entries())
    t.true(to.subarray((2000 + place) * 512, (2001 + place) * 512).equals(from.subarray(at * 512, (at + 1) * 512)));
  t.true(to.subarray(0, 2000 * 512).equals(before.subarray(0, 2000 * 512)));
  t.true(to.subarray(3023 * 512).equals(before.subarray(3023 * 512)));
  t.is(words(await host.send("tape0", Uint8Array.of(1, 0, 0, 0, 0, 0))), "good");
  const read = await host.send("tape0", Uint8Array.of(8, 0, 1, 0, 0, 0), { in: 65_536 });
  t.true(Buffer.from(read.data).equals(data));
  const after = plant.media();
  const [cscd] = cscds;
  if (cscd === undefined) return t.fail();
  t.is(words(await host.copy(UNIT, [...cscds, cscd], [])), "5/26/6");
  // 1025 that are short: the bytes of the descriptors are fewer than there may be.
  const verify: Segment = { kind: "verify", source: 0, testUnitReady: false };
  const tooMany = Array.from({ length: 1025 }, () => verify);
  const place = 16 + 64 * 32 + 1024 * encodeSegment(verify).length;
  t.is(refusal(await host.copy(UNIT, cscds, tooMany)), `5/26/8 list ${place}`);
  t.is(words(await host.copy(UNIT, cscds, tooMany.slice(1))), "good");
  t.is(refusal(await host.copy(UNIT, cscds, [], { inline: new Uint8Array(65_537) })), "5/26/b list 12");
  // By bytes: 64 CSCD descriptors leave this much for one segment.
  const room = 30_720 - 64 * 32 - 16;
  const embedded = (bytes: number): Segment => ({
    ...{ kind: "embedded-stream", cat: false, destination: 63, transfer: bytes, data: new Uint8Array(bytes) },
  });
  t.is(refusal(await host.copy(UNIT, cscds, [embedded(room + 4)])), "5/1a/0");
  t.is(plant.media(), after);
  t.is(refusal(await host.copy(UNIT, cscds, [embedded(room)])), "good");
});

test("inline data that a segment wants and the list has not: the copy ends there, and what came before is done", async (t) => {
  const scene = await startLists(t);
  const { plant, host } = scene;
  const cscds = [...scene.cscds, await host.cscd("tape0")];
  const wanting = { ...inline("LID1"), destination: 2, byteCount: 513 } as Segment;
  const answer = await host.copy(UNIT, cscds, [blocks("LID1"), wanting], { inline: new Uint8Array(512) });
  t.is(words(answer), "a/26/b");
  // SD: the place is one of the segment.
  t.deepEqual([(answer.sense[15] ?? 0) & 0x20, answer.sense[17], answer.sense[11]], [0x20, 16, 1]);
  t.true(plant.disk("disk1").subarray(0, 512).equals(plant.disk("disk0").subarray(0, 512)));
});

test("POPULATE TOKEN and WRITE USING TOKEN: every refusal of their lists, with its place", async (t) => {
  const scene = await startLists(t);
  const before = scene.plant.media();
  const ranges = [
    { lba: 0n, blocks: 8 },
    { lba: 8n, blocks: 8 },
  ];
  const populates = (change: (bytes: Buffer) => void, more: object = {}): Buffer => {
    const bytes = Buffer.from(encodePopulateToken({ immediate: false, inactivitySeconds: 0, ranges, ...more }));
    change(bytes);
    return bytes;
  };
  const writes = (change: (bytes: Buffer) => void, more: object = {}): Buffer => {
    const list = { immediate: false, deleteToken: false, offset: 0n, token: zeroToken(), ranges, ...more };
    const bytes = Buffer.from(encodeWriteUsingToken(list));
    change(bytes);
    return bytes;
  };
  const same = (): void => undefined;
  const noRange = (bytes: Buffer): void => {
    bytes.writeUInt16BE(534, 0);
    bytes.writeUInt16BE(0, 534);
  };
  const crossing = [
    { lba: 0n, blocks: 8 },
    { lba: 100n, blocks: 8 },
    { lba: 7n, blocks: 2 },
  ];
  const many = Array.from({ length: 1025 }, (_, at) => ({ lba: BigInt(at), blocks: 1 }));
  const behind = [
    { lba: 0n, blocks: 8 },
    { lba: 16_383n, blocks: 2 },
  ];
  for (const [what, list, expected] of [
    ["no range", populates((bytes) => bytes.writeUInt16BE(0x1d, 0)), "5/26/0 list 0"],
    ["a timeout that is too long", populates(same, { inactivitySeconds: 3601 }), "5/26/0 list 4"],
    ["a type that is not made here", populates(same, { type: ROD_TYPE.POINT_IN_TIME }), "5/26/0 list 8"],
    ["a type that is none of a time", populates(same, { type: ROD_TYPE.ZERO }), "5/26/0 list 8"],
    ["no bytes of ranges", populates((bytes) => bytes.writeUInt16BE(15, 14)), "5/26/0 list 14"],
    ["ranges that did not come", populates(same).subarray(0, 31), "5/1a/0"],
    ["half a header", populates(same).subarray(0, 15), "5/1a/0"],
    ["too many ranges", populates(same, { ranges: many }), "5/26/8 list 14"],
    ["a block that is in two ranges", populates(same, { ranges: crossing }), "5/26/0 list 48"],
    ["a range that ends behind the disk", populates(same, { ranges: behind }), "5/21/0 list 32"],
  ] as const)
    t.is(await scene.send("populate-token", list), expected, what);
  for (const [what, list, expected] of [
    ["no range", writes((bytes) => bytes.writeUInt16BE(0x225, 0)), "5/26/0 list 0"],
    ["none, as both lengths say", writes(noRange), "5/26/0 list 0"],
    ["two lengths that do not agree", writes((bytes) => bytes.writeUInt16BE(16, 534)), "5/26/0 list 0"],
    ["a token of another length", writes((bytes) => bytes.writeUInt16BE(0x1f0, 22)), "5/23/a list 22"],
    ["a token of another type", writes((bytes) => bytes.writeUInt32BE(0x0001_0000, 16)), "5/23/1 list 16"],
    [
      "a token that nobody made",
      writes((bytes) => bytes.writeUInt32BE(ROD_TYPE.POINT_IN_TIME_VULNERABLE, 16)),
      "5/23/4 list 16",
    ],
    ["half a header", writes(same).subarray(0, 535), "5/1a/0"],
    ["ranges that did not come", writes(same).subarray(0, 551), "5/1a/0"],
    ["too many ranges", writes(same, { ranges: many }), "5/26/8 list 534"],
    ["a block that is in two ranges", writes(same, { ranges: crossing }), "5/26/0 list 568"],
    ["a range that ends behind the disk", writes(same, { ranges: behind }), "5/21/0 list 552"],
  ] as const)
    t.is(await scene.send("write-using-token", list), expected, what);
  t.is(scene.plant.media(), before);
  // A range that is cut is none, the whole ones before it are carried out (SBC-3 5.14).
  t.is(await scene.send("write-using-token", writes(same).subarray(0, 560)), "good");
  const written = scene.plant.disk(UNIT);
  t.true(written.subarray(0, 4096).every((byte) => byte === 0));
  t.false(written.subarray(4096, 8192).every((byte) => byte === 0));
});

test("commands that ask for what is not there point into the CDB", async (t) => {
  const { host } = await startLists(t);
  for (const kind of [
    "status-lid1",
    "status-lid4",
    "data-lid1",
    "data-lid4",
    "failure-details",
    "token-information",
    "abort",
  ] as const) {
    const length = kind === "abort" ? 0 : 512;
    const cdb = encodeCopyCommand({ kind, listId: 9, length });
    t.is(refusal(await host.send(UNIT, cdb, kind === "abort" ? {} : { in: 512 })), "5/24/0 cdb 2", kind);
  }
  for (const kind of ["populate-token", "write-using-token"] as const) {
    const cdb = encodeCopyCommand({ kind, listId: 9, length: 64 });
    t.is(words(await host.send("tape0", cdb, { out: new Uint8Array(64) })), "5/24/0", `${kind} of a tape`);
  }
});
