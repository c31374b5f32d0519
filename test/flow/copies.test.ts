// Third-party copies by servers: data, each way, on emulated disks and tapes, and what is told of them.
import test from "ava";
import { inquiry, read6, writeFilemarks } from "../../src/wire/cdb.js";
import { decodeSupportedPages } from "../../src/wire/inquiry.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeDataLid1, decodeFailureDetails, decodeStatusLid1 } from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { decodeOperatingParameters } from "../../src/wire/xcopy/operating-parameters.js";
import { decodeThirdPartyPage } from "../../src/wire/xcopy/third-party-page.js";
import { type CopyHost, type Name, pattern, startCopyPlant, words } from "../lib/copy-plant.js";

const REWIND = Uint8Array.of(1, 0, 0, 0, 0, 0);
const receive = (
  kind: "status-lid1" | "data-lid1" | "failure-details" | "operating-parameters",
  listId = 1,
  length = 4096,
) => encodeCopyCommand({ kind, listId, length });

const blockToBlock = (blocks: number, sourceLba: bigint, destinationLba: bigint, more: object = {}) =>
  ({
    kind: "block-block",
    hold: false,
    cat: false,
    destinationCount: false,
    source: 0,
    destination: 1,
    blocks,
    sourceLba,
    destinationLba,
    ...more,
  }) as const;

test("blocks go from disk to disk, and no byte of them over the network", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("disk1")];
  t.is(words(await host.copy("disk0", cscds, [blockToBlock(2048, 100n, 5n)])), "good");
  t.deepEqual(plant.disk("disk1").subarray(5 * 512, 2053 * 512), plant.disk("disk0").subarray(100 * 512, 2148 * 512));
  t.deepEqual(plant.disk("disk1").subarray(0, 5 * 512), pattern(8 << 20, 2).subarray(0, 5 * 512));
  const status = decodeStatusLid1((await host.send("disk0", receive("status-lid1"), { in: 4096 })).data);
  t.like(status, { status: 1, segments: 1, units: 0, count: 2048 * 512, heldDiscarded: false });
});

test("differing block sizes, several segments, and a device that is told by 'this unit'", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("big0")];
  const answer = await host.copy("disk0", cscds, [
    blockToBlock(16, 0n, 0n),
    blockToBlock(2, 800n, 10n, { destinationCount: true }),
    blockToBlock(8, 64n, 3n, { source: 0xffff }),
  ]);
  t.is(words(answer), "good");
  const [from, to] = [plant.disk("disk0"), plant.disk("big0")];
  t.deepEqual(to.subarray(0, 8192), from.subarray(0, 8192));
  t.deepEqual(to.subarray(40_960, 40_960 + 8192), from.subarray(800 * 512, 800 * 512 + 8192));
  t.deepEqual(to.subarray(3 * 4096, 4 * 4096), from.subarray(64 * 512, 72 * 512));
});

for (const fixed of [false, true]) {
  test(`disk → tape → disk, ${fixed ? "fixed" : "variable"} blocks, with a filemark, by EXTENDED COPY alone`, async (t) => {
    const plant = await startCopyPlant(t);
    const host = await plant.host("a");
    const tape = await host.cscd("tape0", fixed ? { fixed: true, blockBytes: 4096 } : {});
    const transfer = fixed ? 4 : 16_384;
    const blocks = { hold: false, cat: false, transfer, blocks: 4096, lba: 1000n };
    const out = await host.copy(
      "disk0",
      [await host.cscd("disk0"), tape],
      [
        { kind: "block-stream", ...blocks, source: 0, destination: 1 },
        { kind: "filemarks", destination: 1, immediate: false, count: 2 },
      ],
    );
    t.is(words(out), "good");
    t.is(words(await host.send("tape0", REWIND)), "good");
    const first = await host.send("tape0", read6(fixed ? 4096 : 16_384), { in: 65_536 });
    t.is(words(first), "good", "the block is as long as it was said");
    t.deepEqual(Buffer.from(first.data), plant.disk("disk0").subarray(1000 * 512, 1000 * 512 + first.data.length));
    const back = await host.copy(
      "tape0",
      [tape, await host.cscd("disk1")],
      [
        { kind: "locate", destination: 0, objectId: 0 },
        { kind: "stream-block", ...blocks, lba: 7n, source: 0, destination: 1 },
        { kind: "space", destination: 0, code: 1, count: 1 },
      ],
    );
    t.is(words(back), "good");
    t.deepEqual(
      plant.disk("disk1").subarray(7 * 512, 4103 * 512),
      plant.disk("disk0").subarray(1000 * 512, 5096 * 512),
    );
  });
}

test("tape to tape, as an image: blocks of every length, filemarks", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("tape0"), await host.cscd("tape1")];
  for (const length of [1, 700, 65_536, 10_240]) await writeBlock(host, "tape0", pattern(length, length));
  await host.send("tape0", writeFilemarks(1));
  await writeBlock(host, "tape0", pattern(33, 5));
  await host.send("tape0", writeFilemarks(2));
  await host.send("tape0", REWIND);
  const image = { kind: "tape-image", source: 0, destination: 1, filemarks: 2 } as const;
  t.is(words(await host.copy("tape0", cscds, [image])), "good");
  await host.send("tape1", REWIND);
  for (const length of [1, 700, 65_536, 10_240]) {
    const block = await host.send("tape1", read6(100_000), { in: 100_000 });
    t.deepEqual(Buffer.from(block.data.subarray(0, length)), pattern(length, length));
  }
  t.is(words(await host.send("tape1", read6(100), { in: 100 })), "0/0/1", "a filemark");
});

test("inline and embedded data, and what is held for the application client", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const inline = pattern(1000, 9);
  const cscds = [await host.cscd("disk0"), await host.cscd("tape0", { pad: true })];
  const answer = await host.copy(
    "disk0",
    cscds,
    [
      { kind: "inline-stream", cat: true, destination: 1, transfer: 1024, inlineOffset: 0, byteCount: 1000 },
      { kind: "embedded-stream", cat: false, destination: 1, transfer: 1024, data: pattern(24, 3) },
      { kind: "block-stream", hold: true, cat: false, source: 0, destination: 1, transfer: 1024, blocks: 4, lba: 0n },
    ],
    { inline },
  );
  t.is(words(answer), "good");
  await host.send("tape0", REWIND);
  const { data } = await host.send("tape0", read6(1024), { in: 1024 });
  t.deepEqual(Buffer.from(data), Buffer.concat([inline, pattern(24, 3)]));
  const held = decodeDataLid1((await host.send("disk0", receive("data-lid1"), { in: 4096 })).data);
  t.deepEqual(Buffer.from(held), plant.disk("disk0").subarray(0, 2048));
});

test("a device that fails is forwarded: segment, residual, its own sense", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("disk1")];
  plant.devices.emulated("disk0")?.inject({ first: 3000n, last: 3000n, count: 1000, status: 2, key: 3, asc: 0x11 });
  const answer = await host.copy("disk0", cscds, [blockToBlock(8, 0n, 0n), blockToBlock(4096, 16n, 0n)]);
  t.is(words(answer), "a/d/1");
  const sense = decodeCopySense(answer.sense);
  t.is(sense.segment, 1);
  t.is(sense.source?.status, 2);
  t.deepEqual([sense.source?.sense[2], sense.source?.sense[12]], [3, 0x11]);
  const details = decodeFailureDetails((await host.send("disk0", receive("failure-details"), { in: 4096 })).data);
  t.is(details?.status, 2);
});

test("what a copy manager can do is told in VPD page 8Fh, in the 3PC bit and by RECEIVE COPY OPERATING PARAMETERS", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  for (const name of ["disk0", "tape0"] as const) {
    t.is(((await host.send(name, inquiry(96), { in: 96 })).data[5] ?? 0) & 0x08, 8);
    t.true(decodeSupportedPages((await host.send(name, inquiry(252, 0), { in: 252 })).data).includes(0x8f));
    const page = decodeThirdPartyPage((await host.send(name, inquiry(4096, 0x8f), { in: 4096 })).data);
    const limits = decodeOperatingParameters(
      (await host.send(name, receive("operating-parameters", 0), { in: 4096 })).data,
    );
    t.like(
      page.find(({ kind }) => kind === "parameter-data"),
      { maxCscds: limits.maxCscds, maxSegments: limits.maxSegments, maxInlineBytes: 65_536 },
    );
  }
});

async function writeBlock(host: CopyHost, name: Name, data: Buffer): Promise<void> {
  const cdb = Uint8Array.of(0x0a, 0, data.length >> 16, (data.length >> 8) & 0xff, data.length & 0xff, 0);
  const answer = await host.send(name, cdb, { out: data });
  if (words(answer) !== "good") throw new Error(words(answer));
}

test("a label of 80 bytes is a tape block of 80 bytes", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const label = {
    kind: "inline-stream",
    cat: false,
    destination: 0,
    transfer: 80,
    inlineOffset: 0,
    byteCount: 160,
  } as const;
  const inline = Buffer.from("VOL1GANTRY".padEnd(80) + "HDR1".padEnd(80));
  t.is(words(await host.copy("tape0", [await host.cscd("tape0")], [label], { inline })), "good");
  await host.send("tape0", REWIND);
  for (const at of [0, 80]) {
    const { data } = await host.send("tape0", read6(80), { in: 80 });
    t.deepEqual(Buffer.from(data), inline.subarray(at, at + 80));
  }
});

test("who sees no tape has a copy manager that moves blocks only", async (t) => {
  const plant = await startCopyPlant(t);
  const [host, blind] = [await plant.host("a"), await plant.host("b", { disk0: ["read", "write"] })];
  const segment = { kind: "stream-discard", hold: false, cat: false, source: 0, transfer: 512, byteCount: 0 } as const;
  t.is(words(await host.copy("disk0", [await host.cscd("tape0")], [segment])), "good");
  t.is(words(await blind.copy("disk0", [await host.cscd("tape0")], [segment])), "5/26/9");
  for (const [one, has] of [
    [host, true],
    [blind, false],
  ] as const) {
    const page = decodeThirdPartyPage((await one.send("disk0", inquiry(4096, 0x8f), { in: 4096 })).data);
    const told = page.find(({ kind }) => kind === "descriptors");
    t.is(told?.kind === "descriptors" && told.codes.includes(0x06), has);
  }
});
