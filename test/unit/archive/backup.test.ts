import test from "ava";
import fc from "fast-check";
import { parseContinuation } from "../../../src/copy/archive/continuation.js";
import { crc32c } from "../../../src/copy/archive/crc32c.js";
import { chunkSource } from "../../../src/copy/archive/list-cursor.js";
import { findTrailer, type ManifestRecord, parseManifest } from "../../../src/copy/archive/manifest-read.js";
import { scanHeaders } from "../../../src/copy/archive/scan-headers.js";
import { unpackSegments } from "../../../src/copy/archive/segments.js";
import { leadBytes } from "../../../src/copy/archive/volumes.js";
import { Op } from "../../../src/native/types.js";
import {
  collect,
  contentOf,
  makeArchive,
  makeDisk,
  makeList,
  planOver,
  runPlan,
  type TestArchive,
  type TestMember,
} from "../../lib/archives.js";
import { Executor, FILEMARK, type MemoryTape, tapeBytes } from "../../lib/execute-program.js";

const disk = makeDisk(300, 512);

const MEMBERS: readonly TestMember[] = [
  { name: "d", type: "directory", mode: 0o755 },
  { name: "d/plain", at: [[0, 3, 7]], size: 3333n },
  {
    name: "d/sparse",
    at: [
      [2, 20, 3],
      [5, 90, 1],
      [10, 40, 4],
    ],
    size: BigInt(14 * 512 - 100),
  },
  { name: "d/hole", size: 5000n },
  { name: "empty", size: 0n },
  {
    name: "vol",
    type: "image",
    at: [
      [0, 100, 1],
      [5, 102, 4],
    ],
    size: BigInt(12 * 512),
  },
  { name: "link", type: "symlink", linkName: "d/plain" },
  { name: "hard", type: "hardlink", linkName: "d/plain" },
];

const readOf = (stream: Buffer) => (offset: bigint, bytes: number) =>
  stream.subarray(Number(offset), Number(offset) + bytes);

async function manifestOf(archive: TestArchive): Promise<ManifestRecord[]> {
  const trailer = findTrailer(archive.stream.subarray(-1536));
  const data = archive.stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes));
  const records: ManifestRecord[] = [];
  for await (const record of parseManifest([data])) records.push(record);
  return records;
}

test("an archive is whole tape blocks and ends in two zero blocks and a filemark", async (t) => {
  for (const tapeBlockBytes of [512, 1024, 1536, 65536]) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes });
    const [tape = []] = archive.tapes;
    t.is(tape[tape.length - 1], FILEMARK);
    t.is(archive.stream.length % tapeBlockBytes, 0);
    t.true(archive.stream.subarray(-1024).every((byte) => byte === 0));
    t.is(archive.plan.summary?.archiveBytes, BigInt(archive.stream.length));
  }
});

test("every member stands where the manifest says, with the CRC32C it says", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 1024 });
  const records = await manifestOf(archive);
  const scanned = await collect(scanHeaders(readOf(archive.stream)));
  const listed = records.flatMap((record) => (record.kind === "member" ? [record] : []));
  t.is(listed.length, MEMBERS.length);
  listed.forEach(({ member, map }, i) => {
    const header = scanned[i + 1];
    t.is(header?.name, member.name);
    t.is(header?.header, member.header);
    t.is(header?.data, member.data);
    t.is(header?.bytes, member.bytes);
    t.is(header?.size, member.size);
    t.deepEqual(header?.map ?? [], map);
    const data = archive.stream.subarray(Number(member.data), Number(member.data + member.bytes));
    t.is(crc32c(data), member.crc32c);
  });
  t.deepEqual(listed[2]?.map, [1024n, 2048n, 5120n, 1948n]);
  t.deepEqual(
    scanned.slice(-2).map((member) => member.name),
    [".gantry/blocks.crc32c", ".gantry/manifest.jsonl"],
  );
});

test("the first member says in plain text what this is and how to restore it", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 1024, options: { comment: "a\nb" } });
  const [first] = await collect(scanHeaders(readOf(archive.stream)));
  t.is(first?.name, ".gantry/README.txt");
  const text = archive.stream.toString("utf8", Number(first?.data), Number(first?.end));
  t.regex(text, /tar -b 2 -xpf \/dev\/nst0/);
  t.regex(text, /^archive {8}a-1$/m);
  t.regex(text, /^comment {8}a b$/m);
});

test("the list of block checksums has one for every tape block in front of it", async (t) => {
  for (const tapeBlockBytes of [512, 4096]) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes });
    const records = await manifestOf(archive);
    const end = records.find((record) => record.kind === "end");
    const blocks = end?.kind === "end" ? end.end.blocks : { offset: 0n, count: 0 };
    t.is(blocks.offset, BigInt(blocks.count * tapeBlockBytes));
    for (let i = 0; i < blocks.count; i++) {
      const stored = archive.stream.readUInt32LE(Number(blocks.offset) + 4 * i);
      t.is(stored, crc32c(archive.stream.subarray(i * tapeBlockBytes, (i + 1) * tapeBlockBytes)));
    }
  }
});

test("the trailer stands in the last 1536 bytes whatever the tape block size, and leads to the manifest", async (t) => {
  for (const tapeBlockBytes of [512, 1024, 2048, 262144]) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes });
    const trailer = findTrailer(archive.stream.subarray(-1536));
    t.is(trailer.tapeBlockBytes, tapeBlockBytes);
    t.deepEqual(archive.plan.summary?.manifest, {
      offset: trailer.manifest,
      bytes: trailer.bytes,
      crc32c: crc32c(archive.stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes))),
    });
  }
});

test("a plan started at any tape block gives the same bytes from there on", async (t) => {
  const backup = { members: MEMBERS, disk, tapeBlockBytes: 512, maxSegments: 9 };
  const whole = await makeArchive(backup);
  for (let from = 0; from <= whole.stream.length; from += 512) {
    const tape: MemoryTape = [];
    const executor = new Executor({ disks: { 0: disk }, tape, tapeBlockBytes: 512 });
    const plan = planOver(backup, whole.chunks, whole.volumes, () => whole);
    plan.startAt(BigInt(from));
    await runPlan(plan, executor, 9);
    t.true(tapeBytes(tape).equals(whole.stream.subarray(from)), `from ${from}`);
    t.is(tape[tape.length - 1], FILEMARK);
  }
});

test("a plan started inside a disk block cuts the extent there", async (t) => {
  const large = makeDisk(20, 4096);
  const backup = { members: [{ name: "f", at: [[0, 3, 4]] as const }], disk: large, tapeBlockBytes: 512 };
  const whole = await makeArchive(backup);
  const plan = planOver(backup, whole.chunks, whole.volumes, () => whole);
  const start = (await collect(scanHeaders(readOf(whole.stream))))[1]?.data ?? 0n;
  plan.startAt(start + 4096n + 512n);
  const piece = await plan.next(64);
  const [extent] = unpackSegments(piece?.gather ?? new Uint8Array());
  t.like(extent, { op: Op.EXTENT, addr: 4n, skip: 512, bytes: BigInt(3 * 4096 - 512), tag: 1 });
});

test("digests of a member that is cut by the end of a cartridge are those of the whole member", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  for (let cut = 1; cut < whole.stream.length / 512; cut++) {
    const parts = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut: [cut] });
    t.deepEqual(parts.digests, whole.digests, `cut ${cut}`);
    t.deepEqual(parts.reported, [2, 3, 6], `cut ${cut}`);
    const until = Math.min(cut * 512, Number(whole.plan.summary?.manifest.offset) - 512);
    t.true(parts.stream.subarray(0, until).equals(whole.stream.subarray(0, until)));
  }
});

test("every further cartridge begins with a lead of constant length that says what it is", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  for (let cut = 1; cut < whole.stream.length / 512; cut++) {
    const parts = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut: [cut] });
    const [first = [], second = []] = parts.tapes;
    t.is(first.length, cut);
    t.deepEqual(parseContinuation(tapeBytes(second).subarray(0, 1024)), {
      archiveId: "a-1",
      from: BigInt(cut * 512),
      tapeBlockBytes: 512,
    });
    t.is(parts.stream.length + leadBytes(512), 512 * (first.length + second.length - 1));
  }
  t.is(parseContinuation(whole.stream.subarray(0, 1024)), undefined);
});

test("a cartridge resumed at any of its tape blocks, its lead too, comes out the same", async (t) => {
  const backup = { members: MEMBERS, disk, tapeBlockBytes: 512, cut: [21] };
  const parts = await makeArchive(backup);
  const second = tapeBytes(parts.tapes[1] ?? []);
  for (let done = 0; done < second.length; done += 512) {
    const tape: MemoryTape = [];
    const plan = planOver(backup, parts.chunks, parts.volumes, () => parts);
    plan.startAt(BigInt(21 * 512 - leadBytes(512) + done), BigInt(21 * 512));
    await runPlan(plan, new Executor({ disks: { 0: disk }, tape, tapeBlockBytes: 512 }), 16);
    t.true(tapeBytes(tape).equals(second.subarray(done)), `after ${done}`);
  }
});

test("the program asks for digests only behind a flush that covers everything digested", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 4096 });
  const tape: MemoryTape = [];
  const executor = new Executor({ disks: { 0: disk }, tape, tapeBlockBytes: 4096 });
  let asked = 0;
  const plan = planOver({ members: MEMBERS, disk, tapeBlockBytes: 4096 }, archive.chunks, archive.volumes, () => {
    asked++;
    t.is(executor.flushes, 1);
    return archive;
  });
  await runPlan(plan, executor, 1000);
  t.true(asked > 0);
});

test("pieces have at most the segments asked for, and add up to the same stream", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const plan = planOver({ members: MEMBERS, disk, tapeBlockBytes: 512 }, whole.chunks, whole.volumes, () => whole);
  for (let piece = await plan.next(8); piece !== null; piece = await plan.next(8)) {
    t.true(unpackSegments(piece.gather).length <= 8);
    t.true(unpackSegments(piece.scatter).length <= 8);
  }
  const small = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, maxSegments: 8 });
  t.true(small.stream.equals(whole.stream));
});

test("how a list is cut into chunks changes nothing", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  for (const [perChunk, lag] of [
    [1, 0],
    [1, 2],
    [2, 1],
    [8, 3],
  ] as const) {
    const chunks = makeList(MEMBERS, 512, perChunk, lag);
    const other = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, chunks });
    t.true(other.stream.equals(whole.stream), `${perChunk} members, extents ${lag} chunks later`);
  }
});

test("a map of thousands of ranges goes over several manifest lines and is read back", async (t) => {
  const at = Array.from({ length: 3000 }, (_, i) => [2 * i, i % 300, 1] as const);
  const members: TestMember[] = [
    { name: "holes", at, size: BigInt(6000 * 512) },
    { name: "after", size: 0n },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096 });
  const records = await manifestOf(archive);
  const ranges = records.flatMap((r) =>
    r.kind === "map" || (r.kind === "member" && r.member.name === "holes") ? r.map : [],
  );
  t.deepEqual(
    ranges,
    at.flatMap(([offset]) => [BigInt(offset * 512), 512n]),
  );
  t.deepEqual(
    records.map((record) => record.kind),
    ["head", "member", "map", "map", "member", "end", "trailer"],
  );
});

test("random lists are read back from their headers with every byte in its place", async (t) => {
  const member = fc.record({
    extents: fc.array(
      fc.record({
        gap: fc.integer({ min: 0, max: 3 }),
        lba: fc.integer({ min: 0, max: 290 }),
        blocks: fc.integer({ min: 1, max: 9 }),
      }),
      { maxLength: 6 },
    ),
    tail: fc.integer({ min: -511, max: 2000 }),
    name: fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(512, 2048),
      async (specs, tapeBlockBytes) => {
        const members = specs.map(({ extents, tail, name }, index): TestMember => {
          let end = 0;
          const at = extents.map(({ gap, lba, blocks }) => {
            const start = end + gap;
            end = start + blocks;
            return [start, lba, blocks] as const;
          });
          return { name: `m${index}/${name.replace(/[/\0]/g, "_")}x`, at, size: BigInt(Math.max(0, end * 512 + tail)) };
        });
        const archive = await makeArchive({ members, disk, tapeBlockBytes });
        const scanned = await collect(scanHeaders(readOf(archive.stream)));
        for (const [index, wanted] of members.entries()) {
          const found = scanned[index + 1];
          const content = Buffer.alloc(Number(wanted.size));
          let at = Number(found?.data);
          const map = found?.map ?? [0n, found?.bytes ?? 0n];
          for (let i = 0; i < map.length; i += 2) {
            archive.stream.copy(content, Number(map[i]), at, at + Number(map[i + 1]));
            at += Number(map[i + 1]);
          }
          if (found?.name !== wanted.name || !content.equals(contentOf(wanted, disk))) return false;
        }
        return true;
      },
    ),
    { numRuns: 60 },
  );
  t.pass();
});

test("a list that announces other numbers than it has is refused", async (t) => {
  const list = {
    listId: "l",
    volume: { id: "v", generation: "g", sequence: 1n },
    blockBytes: 512,
    members: 2,
    extents: 1n,
    bytes: 0n,
  };
  await t.throwsAsync(
    makeArchive({ members: [{ name: "f", at: [[0, 0, 1]] }], disk, tapeBlockBytes: 512, options: { list } }),
    {
      code: "ARCHIVE_LIST_INVALID",
      message: /announces 2 members with 1 extents but has 1 with 1/,
    },
  );
  const chunks = makeList([{ name: "f", at: [[0, 0, 1]] }], 512);
  const short = chunks.map((chunk) => ({
    ...chunk,
    extents: { fileOffset: new BigUint64Array(), lba: new BigUint64Array(), blocks: new Uint32Array() },
  }));
  t.is(chunkSource(short).chunks, 1);
  await t.throwsAsync(makeArchive({ members: [], chunks: short, disk, tapeBlockBytes: 512 }), {
    code: "ARCHIVE_LIST_INVALID",
  });
});

const REFUSED: [string, TestMember, RegExp][] = [
  ["an absolute name", { name: "/etc/passwd" }, /begins with "\/"/],
  ["a name that climbs", { name: "a/../b" }, /".." part/],
  ["a name with a NUL", { name: "a\0b" }, /NUL/],
  ["an empty name", { name: "" }, /empty/],
  ["half a surrogate pair", { name: "\ud800" }, /UTF-8/],
  ["a name in the archive's own folder", { name: ".gantry/x" }, /own folder/],
  ["a name in the archive's own folder in disguise", { name: "./.gantry/x" }, /own folder/],
  ["a name of 4096 bytes", { name: "n".repeat(4096) }, /4096 bytes long/],
  ["a file that looks like a directory", { name: "f/" }, /no directory/],
  ["a directory with extents", { name: "d", type: "directory", at: [[0, 0, 1]] }, /must have no extents/],
  ["a hard link out of the tree", { name: "h", type: "hardlink", linkName: "../x" }, /".." part/],
  ["a symbolic link to nothing", { name: "s", type: "symlink", linkName: "" }, /empty/],
  ["a negative size", { name: "f", size: -1n }, /out of range/],
  [
    "extents that overlap",
    {
      name: "f",
      at: [
        [0, 0, 2],
        [1, 5, 1],
      ],
    },
    /before the end of the one before/,
  ],
  ["an extent without blocks", { name: "f", at: [[0, 0, 0]] }, /has no blocks/],
];

for (const [title, member, message] of REFUSED) {
  test(`refused: ${title}`, async (t) => {
    await t.throwsAsync(makeArchive({ members: [member], disk, tapeBlockBytes: 512 }), {
      code: "ARCHIVE_LIST_INVALID",
      message,
    });
  });
}

for (const tapeBlockBytes of [0, 511, 1000, 8388609, Number.NaN]) {
  test(`refused: a tape block of ${tapeBlockBytes} bytes`, async (t) => {
    await t.throwsAsync(makeArchive({ members: [], disk, tapeBlockBytes }), { code: "ARCHIVE_OPTION_INVALID" });
  });
}
