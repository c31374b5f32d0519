import test from "ava";
import fc from "fast-check";
import { crc32c } from "../../../src/copy/archive/crc32c.js";
import { holdRange } from "../../../src/copy/archive/hold-range.js";
import { chunkSource } from "../../../src/copy/archive/list-cursor.js";
import { findTrailer } from "../../../src/copy/archive/manifest-read.js";
import { type RestoreOptions, RestorePlan } from "../../../src/copy/archive/restore-plan.js";
import { unpackSegments } from "../../../src/copy/archive/segments.js";
import type { VolumeBatch } from "../../../src/copy/archive/tape-reader.js";
import { VerifyPlan } from "../../../src/copy/archive/verify-plan.js";
import { archiveOffsetOf, tapeObjectOf } from "../../../src/copy/archive/volumes.js";
import { Op } from "../../../src/native/types.js";
import {
  contentOf,
  makeArchive,
  makeDisk,
  makeList,
  type TestArchive,
  type TestExtent,
  type TestMember,
} from "../../lib/archives.js";
import { Executor, type MemoryDisk } from "../../lib/execute-program.js";

const BLOCK = 512;
const disk = makeDisk(300, BLOCK);

const MEMBERS: readonly TestMember[] = [
  { name: "d", type: "directory", mode: 0o755 },
  { name: "plain", at: [[0, 3, 7]], size: 3333n },
  {
    name: "sparse",
    at: [
      [2, 20, 3],
      [5, 90, 1],
      [10, 40, 4],
    ],
    size: BigInt(14 * 512 - 100),
  },
  { name: "hole", size: 5000n },
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
  { name: "last", at: [[0, 200, 8]] },
];

/** The same files somewhere else on the disk, in as many pieces as blocks. */
const ELSEWHERE: readonly TestMember[] = [
  { name: "last", at: [[0, 10, 8]] },
  { name: "vol", type: "image", at: [[0, 100, 12]], size: BigInt(12 * 512) },
  {
    name: "sparse",
    at: [
      [2, 50, 2],
      [4, 60, 2],
      [10, 70, 9],
    ],
    size: BigInt(14 * 512 - 100),
  },
  {
    name: "plain",
    at: [
      [0, 30, 3],
      [3, 80, 4],
    ],
    size: 3333n,
  },
  { name: "hole", at: [], size: 5000n },
  { name: "d", type: "directory" },
];

interface Restored {
  readonly disk: MemoryDisk;
  readonly plan: RestorePlan;
  readonly pieces: VolumeBatch[];
  readonly reported: number[];
}

const manifestOf = (archive: TestArchive) => {
  const trailer = findTrailer(archive.stream.subarray(-1536));
  const data = archive.stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes));
  // In pieces that do not respect lines.
  return () => Array.from({ length: Math.ceil(data.length / 100) }, (_, i) => data.subarray(i * 100, i * 100 + 100));
};

function options(archive: TestArchive, tapeBlockBytes: number, blockBytes: number): RestoreOptions {
  return { volumes: archive.volumes, tapeBlockBytes, tapeLu: 0, diskLu: 1, diskBlockBytes: blockBytes };
}

async function restore(
  archive: TestArchive,
  list: readonly TestMember[],
  tapeBlockBytes: number,
  blockBytes = BLOCK,
  extra: Partial<RestoreOptions> = {},
  startAt = 1,
): Promise<Restored> {
  const target: MemoryDisk = { blockBytes, data: Buffer.alloc(300 * 512, 0xee) };
  const plan = await RestorePlan.make(chunkSource(makeList(list, blockBytes, 2)), manifestOf(archive), {
    ...options(archive, tapeBlockBytes, blockBytes),
    ...extra,
  });
  plan.startAt(startAt);
  const pieces: VolumeBatch[] = [];
  const digests = new Map<number, { bytes: bigint; crc32c: number }>();
  const reported: number[] = [];
  let executor: Executor | undefined;
  let volume = -1;
  // Always one piece ahead, as a runner is that ends a run when it sees the next cartridge's number.
  for (let ahead = await plan.next(16); ahead !== null; ) {
    const piece: VolumeBatch = ahead;
    ahead = await plan.next(16);
    if (executor === undefined || piece.volume !== volume) {
      const open: number = executor?.open ?? 0;
      executor = new Executor({ disks: { 1: target }, tape: archive.tapes[piece.volume] ?? [], tapeBlockBytes });
      for (const [tag, digest] of digests) executor.digests.set(tag, digest);
      executor.open = open;
      volume = piece.volume;
    }
    pieces.push(piece);
    executor.run(piece);
    for (const { data } of executor.held.splice(0)) plan.held(data);
    for (const [tag, digest] of executor.digests) digests.set(tag, digest);
    reported.push(...executor.reported.splice(0));
  }
  for (const tag of reported) {
    const digest = digests.get(tag);
    const verdict = plan.digests.take(tag, digest?.bytes ?? 0n, { crc32c: digest?.crc32c ?? 0 });
    if (verdict?.ok !== true) throw new Error(`member ${tag}: ${verdict?.fault}`);
  }
  if (plan.digests.open > 0) throw new Error(`no digest of ${plan.digests.openNames(5)}`);
  return { disk: target, plan, pieces, reported };
}

/** What lies where the list says that the file's data ranges and the holes covered by extents are. */
function assertRestored(list: readonly TestMember[], restored: Restored): string[] {
  const wrong: string[] = [];
  const { blockBytes, data } = restored.disk;
  for (const wanted of list) {
    const source = MEMBERS.find(({ name }) => name === wanted.name);
    if (source === undefined || (wanted.at ?? []).length === 0) continue;
    const content = contentOf(source, disk);
    for (const [start, lba, blocks] of wanted.at ?? []) {
      const from = start * blockBytes;
      const size = Math.max(0, Math.min(content.length - from, blocks * blockBytes));
      const padded = Math.ceil(size / blockBytes) * blockBytes;
      const expected = Buffer.concat([content.subarray(from, from + size), Buffer.alloc(padded - size)]);
      const rest = blocks * blockBytes - padded;
      const found = data.subarray(lba * blockBytes, (lba + blocks) * blockBytes);
      if (!found.subarray(0, padded).equals(expected)) wrong.push(`${wanted.name} at ${start}`);
      if (!found.subarray(padded).equals(Buffer.alloc(rest, 0xee)))
        wrong.push(`${wanted.name}: written behind its end`);
    }
  }
  return wrong;
}

test("files are restored to other places, in tape order whatever the order of the list", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 1024 });
  const restored = await restore(archive, ELSEWHERE, 1024);
  t.deepEqual(assertRestored(ELSEWHERE, restored), []);
  t.deepEqual(restored.reported, [2, 3, 6, 7]);
  t.is(restored.plan.members, 5);
  t.is(restored.plan.bytes, 3333n + BigInt(8 * 512 - 100) + BigInt(5 * 512) + BigInt(8 * 512));
});

test("holes that extents cover are written with zeros, in front of, between and behind the data", async (t) => {
  const wanted: TestMember[] = [
    { name: "sparse", at: [[0, 50, 14]], size: BigInt(14 * 512 - 100) },
    {
      name: "hole",
      at: [
        [0, 100, 9],
        [9, 120, 5],
      ],
      size: 5000n,
    },
    { name: "last", at: [[0, 200, 8]] },
  ];
  for (const [tapeBlockBytes, cut] of [
    [512, []],
    [512, [20]],
    [512, [30]],
    [4096, []],
    [4096, [3]],
  ] as const) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes, cut });
    const restored = await restore(archive, wanted, tapeBlockBytes);
    t.deepEqual(assertRestored(wanted, restored), []);
    t.deepEqual(restored.reported, [3, 7]);
  }
});

test("a list of nothing but holes moves no tape and writes its zeros in a run of the first cartridge", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const wanted: TestMember[] = [{ name: "hole", at: [[0, 100, 10]], size: 5000n }];
  const restored = await restore(archive, wanted, 512);
  t.deepEqual(assertRestored(wanted, restored), []);
  t.deepEqual(
    restored.pieces.map(({ volume }) => volume),
    [0],
  );
});

test("names whose hashes collide are told apart", async (t) => {
  const members: TestMember[] = [
    { name: "41e7637e", at: [[0, 3, 2]] },
    { name: "32e7b56f", at: [[0, 60, 2]] },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 512 });
  const restored = await restore(
    archive,
    [
      { name: "32e7b56f", at: [[0, 9, 2]] },
      { name: "41e7637e", at: [[0, 19, 2]] },
    ],
    512,
  );
  t.true(restored.disk.data.subarray(9 * 512, 11 * 512).equals(disk.data.subarray(60 * 512, 62 * 512)));
  t.true(restored.disk.data.subarray(19 * 512, 21 * 512).equals(disk.data.subarray(3 * 512, 5 * 512)));
});

test("nothing but the extents of the list is written", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 1024 });
  const restored = await restore(archive, [{ name: "plain", at: [[0, 30, 7]], size: 3333n }], 1024);
  t.true(restored.disk.data.subarray(0, 30 * 512).every((byte) => byte === 0xee));
  t.true(restored.disk.data.subarray(37 * 512).every((byte) => byte === 0xee));
});

test("an archive cut anywhere over two cartridges is restored, digests and all", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  for (let cut = 1; cut < whole.stream.length / 512; cut++) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut: [cut] });
    const restored = await restore(archive, ELSEWHERE, 512);
    t.deepEqual(assertRestored(ELSEWHERE, restored), [], `cut ${cut}`);
    t.deepEqual(restored.reported, [2, 3, 6, 7], `cut ${cut}`);
  }
});

test("a disk block whose halves lie on two cartridges is put together", async (t) => {
  const wanted: TestMember[] = [
    { name: "plain", at: [[0, 3, 1]], size: 3333n },
    {
      name: "vol",
      type: "image",
      at: [
        [0, 5, 1],
        [1, 9, 1],
      ],
      size: BigInt(12 * 512),
    },
    { name: "last", at: [[0, 11, 1]] as TestExtent[], size: 4096n },
  ];
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  let holds = 0;
  for (let cut = 1; cut < whole.stream.length / 512; cut++) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut: [cut] });
    const restored = await restore(archive, wanted, 512, 4096);
    t.deepEqual(assertRestored(wanted, restored), [], `cut ${cut}`);
    holds += restored.pieces
      .flatMap((piece) => unpackSegments(piece.scatter))
      .filter(({ op }) => op === Op.HOLD).length;
  }
  t.true(holds > 5);
});

test("short gaps on tape are read over, long ones are located over", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const wanted = ELSEWHERE.filter(({ name }) => name === "plain" || name === "last");
  const locates = async (locateBytes: bigint) => {
    const restored = await restore(archive, wanted, 512, BLOCK, { locateBytes });
    t.deepEqual(assertRestored(wanted, restored), []);
    return restored.pieces.flatMap((piece) => unpackSegments(piece.gather)).filter(({ op }) => op === Op.LOCATE).length;
  };
  t.is(await locates(1n << 20n), 1);
  t.is(await locates(512n), 2);
});

test("a restore can go on from a member", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const restored = await restore(archive, ELSEWHERE, 512, BLOCK, {}, 6);
  t.deepEqual(restored.reported, [6, 7]);
});

test("of two members of one name the last is restored", async (t) => {
  const members: TestMember[] = [
    { name: "f", at: [[0, 3, 2]] },
    { name: "f", at: [[0, 60, 2]] },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 512 });
  const restored = await restore(archive, [{ name: "f", at: [[0, 9, 2]] }], 512);
  t.true(restored.disk.data.subarray(9 * 512, 11 * 512).equals(disk.data.subarray(60 * 512, 62 * 512)));
});

const REFUSED: [string, TestMember[], RegExp][] = [
  ["a member that is not there", [{ name: "nowhere", at: [[0, 0, 1]] }], /"nowhere" is not in the archive/],
  [
    "another size",
    [{ name: "plain", at: [[0, 3, 7]], size: 3334n }],
    /has 3333 bytes in the archive and 3334 in the list/,
  ],
  ["data without a place in front", [{ name: "plain", at: [[1, 3, 6]], size: 3333n }], /file offset 0 that no extent/],
  [
    "data without a place in the middle",
    [
      {
        name: "last",
        at: [
          [0, 3, 3],
          [4, 9, 4],
        ],
      },
    ],
    /file offset 1536 that no extent/,
  ],
  ["data without a place behind", [{ name: "last", at: [[0, 3, 7]], size: 4096n }], /file offset 3584 that no extent/],
  [
    "extents out of order",
    [
      {
        name: "last",
        at: [
          [4, 3, 4],
          [0, 9, 4],
        ],
        size: 4096n,
      },
    ],
    /file offset 0 that no extent|not in order/,
  ],
  ["a directory restored as a file", [{ name: "d/", at: [] }], /is a directory in the archive and a file in the list/],
  [
    "a name that is there twice",
    [
      { name: "last", at: [[0, 3, 8]] },
      { name: "last", at: [[0, 3, 8]] },
    ],
    /is in the list twice/,
  ],
];

for (const [title, list, message] of REFUSED) {
  test(`refused before anything moves: ${title}`, async (t) => {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
    const error = await t.throwsAsync(restore(archive, list, 512), { code: "ARCHIVE_RESTORE_REFUSED", message });
    t.truthy(error);
  });
}

test("a refusal counts all problems and names the first", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const list = Array.from({ length: 30 }, (_, i): TestMember => ({ name: `no${i}` }));
  await t.throwsAsync(restore(archive, list, 512), {
    message: /"no0" is not in the archive. \(and 29 more problems\)/,
  });
});

test("random files come back to random places over random cartridges", async (t) => {
  const spec = fc.record({
    blocks: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    tail: fc.integer({ min: 0, max: 511 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(spec, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
      fc.integer(),
      async (specs, cut, seed) => {
        let [from, to] = [0, 299];
        const members = specs.map(({ blocks, tail }, i): TestMember => {
          const at = blocks.flatMap((stored, start) => (stored ? [[start, from++, 1] as const] : []));
          return { name: `f${i}`, at, size: BigInt(blocks.length * 512 - tail) };
        });
        const wanted = members.map(
          (member): TestMember => ({ ...member, at: (member.at ?? []).map(([start]) => [start, to--, 1] as const) }),
        );
        if (seed % 2 === 0) wanted.reverse();
        const archive = await makeArchive({ members, disk, tapeBlockBytes: 512, cut });
        const { disk: target } = await restore(archive, wanted, 512);
        return wanted.every((member) => {
          const source = members.find(({ name }) => name === member.name);
          return (member.at ?? []).every(([start, lba], i) => {
            const [, sourceLba] = source?.at?.[i] ?? [0, 0];
            const size = Math.min(512, Number(member.size) - start * 512);
            const block = target.data.subarray(lba * 512, lba * 512 + 512);
            return (
              block.subarray(0, size).equals(disk.data.subarray(sourceLba * 512, sourceLba * 512 + size)) &&
              block.subarray(size).every((byte) => byte === 0)
            );
          });
        });
      },
    ),
    { numRuns: 60 },
  );
  t.pass();
});

test("a verify reads every block and finds every digest and block checksum right", async (t) => {
  for (const cut of [[], [9], [3, 40]]) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut });
    const { verdicts, held, blocksRead } = await verify(archive);
    t.deepEqual(
      verdicts.map(({ name, ok }) => [name, ok]),
      [
        ["plain", true],
        ["sparse", true],
        ["vol.img", true],
        ["last", true],
      ],
    );
    t.is(blocksRead, archive.tapes.flat().length - archive.tapes.filter((tape) => tape.includes("filemark")).length);
    const crcs = Buffer.concat(held);
    t.true(crcs.length > 4);
    for (let i = 0; i < crcs.length / 4; i++)
      t.is(crcs.readUInt32LE(4 * i), crc32c(archive.stream.subarray(i * 512, i * 512 + 512)));
  }
});

test("a verify finds one changed bit of a member", async (t) => {
  const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  const found = archive.stream.indexOf(disk.data.subarray(200 * 512, 200 * 512 + 64));
  const block = archive.tapes[0]?.[Math.floor(found / 512)];
  if (Buffer.isBuffer(block)) block[100] = (block[100] ?? 0) ^ 1;
  const { verdicts } = await verify(archive);
  t.deepEqual(
    verdicts.filter(({ ok }) => !ok).map(({ name, fault }) => [name, fault]),
    [["last", "The CRC32C of the data is not that of the manifest."]],
  );
});

async function verify(archive: TestArchive) {
  const plan = new VerifyPlan(manifestOf(archive), {
    volumes: archive.volumes,
    tapeBlockBytes: 512,
    tapeLu: 0,
    holdBlockCrcs: true,
  });
  const digests = new Map<number, { bytes: bigint; crc32c: number }>();
  const held: Buffer[] = [];
  const reported: number[] = [];
  let [volume, blocksRead] = [-1, 0];
  let executor: Executor | undefined;
  for (let piece = await plan.next(16); piece !== null; piece = await plan.next(16)) {
    if (executor === undefined || piece.volume !== volume) {
      blocksRead += executor?.object ?? 0;
      const open: number = executor?.open ?? 0;
      executor = new Executor({ disks: {}, tape: archive.tapes[piece.volume] ?? [], tapeBlockBytes: 512 });
      for (const [tag, digest] of digests) executor.digests.set(tag, digest);
      executor.open = open;
      volume = piece.volume;
    }
    executor.run(piece);
    for (const [tag, digest] of executor.digests) digests.set(tag, digest);
    held.push(...executor.held.splice(0).map(({ data }) => data));
    reported.push(...executor.reported.splice(0));
  }
  blocksRead += executor?.object ?? 0;
  const verdicts = reported.map((tag) => {
    const digest = digests.get(tag) ?? { bytes: 0n, crc32c: 0 };
    return plan.digests.take(tag, digest.bytes, digest) ?? { name: "?", ok: false, fault: "not expected" };
  });
  return { verdicts, held, blocksRead };
}

test("the manifest comes back through HOLD pieces from wherever it lies", async (t) => {
  const whole = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
  for (let cut = whole.stream.length / 512 - 12; cut < whole.stream.length / 512; cut++) {
    const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512, cut: [cut] });
    const trailer = findTrailer(archive.stream.subarray(-1536));
    const parts: Buffer[] = [];
    for (const piece of holdRange(trailer.manifest, trailer.bytes, {
      volumes: archive.volumes,
      tapeBlockBytes: 512,
      tapeLu: 0,
    })) {
      const executor = new Executor({ disks: {}, tape: archive.tapes[piece.volume] ?? [], tapeBlockBytes: 512 });
      executor.run(piece);
      parts.push(...executor.held.map(({ data }) => data));
    }
    const at = Number(trailer.manifest);
    t.true(Buffer.concat(parts).equals(archive.stream.subarray(at, at + Number(trailer.bytes))), `cut ${cut}`);
  }
});

test("tape objects and archive offsets lead to each other, leads left out", (t) => {
  const volumes = [
    { cartridge: "A", firstObject: 5n, from: 0n },
    { cartridge: "B", firstObject: 2n, from: 40960n },
  ];
  t.deepEqual(tapeObjectOf(0n, volumes, 4096), { volume: 0, object: 5n, skip: 0 });
  t.deepEqual(tapeObjectOf(40959n, volumes, 4096), { volume: 0, object: 14n, skip: 4095 });
  // 16 KiB of lead are four tape blocks of 4096 bytes.
  t.deepEqual(tapeObjectOf(40960n, volumes, 4096), { volume: 1, object: 6n, skip: 0 });
  const [first, second] = volumes;
  t.is(first && archiveOffsetOf(14n, first, true, 4096), 36864n);
  t.is(second && archiveOffsetOf(6n, second, false, 4096), 40960n);
  t.is(second && archiveOffsetOf(5n, second, false, 4096), undefined);
});
