// What steps the segments of a copy become: every kind, both modes of tape, disks of 512 and 4096 bytes.
import test from "ava";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import * as x from "../../lib/copy-plans.js";

const KIB64 = 65_536n;
const extent = (device: string, lba: bigint, bytes: bigint, skip = 0) =>
  ({ op: "extent", device, lba, skip, bytes }) as const;
const to = <T extends object>(part: T) => ({ ...part, held: false });
const onTape = (device: string, bytes: bigint) => ({ op: "tape", device, bytes }) as const;

test("each kind of segment is one step with what it reads and writes", (t) => {
  const data = Uint8Array.of(1, 2, 3, 4);
  const cases: readonly [Segment, object][] = [
    [
      x.blockStream(x.D512, x.VARIABLE),
      { gather: [extent("d512", 100n, 8192n)], scatter: [to(onTape("variable", 8192n))], tapeBlockBytes: 8192 },
    ],
    [
      x.blockStream(x.D4096, x.FIXED, { transfer: 4 }),
      { gather: [extent("d4096", 100n, KIB64)], scatter: [to(onTape("fixed", KIB64))], tapeBlockBytes: 1024 },
    ],
    [
      x.streamBlock(x.VARIABLE, x.D512),
      { gather: [onTape("variable", 8192n)], scatter: [to(extent("d512", 100n, 8192n))], sourceBlockBytes: 8192 },
    ],
    [
      x.streamBlock(x.FIXED, x.D4096, { transfer: 1 }),
      { gather: [onTape("fixed", KIB64)], scatter: [to(extent("d4096", 100n, KIB64))], sourceBlockBytes: 1024 },
    ],
    [
      x.blockBlock(x.D512, x.D4096),
      { gather: [extent("d512", 100n, 8192n)], scatter: [to(extent("d4096", 100n, 8192n))] },
    ],
    [
      x.blockBlock(x.D512, x.D4096, { destinationCount: true }),
      { gather: [extent("d512", 100n, KIB64)], scatter: [to(extent("d4096", 100n, KIB64))] },
    ],
    [
      x.streamStream(x.VARIABLE, x.FIXED),
      {
        gather: [onTape("variable", 8192n)],
        scatter: [to(onTape("fixed", 8192n))],
        sourceBlockBytes: 8192,
        tapeBlockBytes: 1024,
      },
    ],
    [
      x.inlineStream(x.VARIABLE, { inlineOffset: 16 }),
      {
        gather: [{ op: "inline", data: new Uint8Array(16) }],
        scatter: [to(onTape("variable", 16n))],
        tapeBlockBytes: 16,
      },
    ],
    [
      x.embedded(x.VARIABLE, data),
      { gather: [{ op: "inline", data }], scatter: [to(onTape("variable", 4n))], tapeBlockBytes: 4 },
    ],
    [
      x.discard(x.VARIABLE),
      { gather: [onTape("variable", 8192n)], scatter: [to({ op: "discard", bytes: 8192n })], sourceBlockBytes: 8192 },
    ],
    [
      x.offsetStream(x.D512, x.VARIABLE),
      { gather: [extent("d512", 5n, 2000n, 10)], scatter: [to(onTape("variable", 2000n))], tapeBlockBytes: 1000 },
    ],
    [
      x.streamOffset(x.VARIABLE, x.D4096),
      { gather: [onTape("variable", 2000n)], scatter: [to(extent("d4096", 5n, 2000n, 10))], sourceBlockBytes: 1000 },
    ],
    [
      x.offsetOffset(x.D512, x.D4096),
      { gather: [extent("d512", 5n, 2000n, 10)], scatter: [to(extent("d4096", 7n, 2000n, 20))] },
    ],
    [
      x.blockImage(x.D512, x.OTHER512, { sourceLba: x.BLOCKS - 8n }),
      { gather: [extent("d512", x.BLOCKS - 8n, 4096n)], scatter: [to(extent("other", 0n, 4096n))] },
    ],
    [
      x.blockImage(x.D512, x.D4096, { blocks: 8 }),
      { gather: [extent("d512", 0n, 4096n)], scatter: [to(extent("d4096", 0n, 4096n))] },
    ],
  ];
  for (const [segment, expected] of cases) {
    const { kind, segments, ...step } = x.onlyData(x.plan([segment]));
    t.deepEqual(step as object, { sourceBlockBytes: 0, tapeBlockBytes: 0, ...expected }, segment.kind);
    t.is(kind, "data");
    t.is(segments.length, 1);
  }
});

test("the INFORMATION field counts blocks of a disk, and bytes everywhere else", (t) => {
  const units = (...segments: Segment[]) => x.onlyData(x.plan(segments)).segments.map(({ unitBytes }) => unitBytes);
  t.deepEqual(units(x.blockBlock(x.D512, x.D4096)), [4096]);
  t.deepEqual(units(x.streamBlock(x.VARIABLE, x.D512)), [512]);
  t.deepEqual(units(x.blockStream(x.D512, x.FIXED)), [1]);
  t.deepEqual(units(x.offsetOffset(x.D512, x.D4096)), [1]);
  t.deepEqual(units(x.discard(x.FIXED)), [1]);
});

test("segments that are commands are steps of their own, in order", (t) => {
  const transportId = { protocol: "sas", address: "5000c500a1b2c3d4" } as const;
  const keys = { key: 1n, actionKey: 2n };
  const { steps, asked } = x.plan([
    { kind: "verify", source: x.D512, testUnitReady: true },
    { kind: "verify", source: x.VARIABLE, testUnitReady: false },
    { kind: "filemarks", destination: x.VARIABLE, immediate: true, count: 2 },
    { kind: "space", destination: x.VARIABLE, code: 1, count: 0xffffff },
    { kind: "locate", destination: x.FIXED, objectId: 17 },
    { kind: "tape-image", source: x.VARIABLE, destination: x.FIXED, filemarks: 2 },
    { kind: "register-key", destination: x.D512, ...keys },
    { kind: "source-nexus", destination: x.D4096, ...keys, unregister: true, aptpl: false, port: 3, transportId },
    { kind: "filemarks", destination: x.NULL_TAPE, immediate: false, count: 1 },
  ]);
  t.deepEqual(steps, [
    { kind: "test-ready", segment: 0, device: "d512" },
    { kind: "filemarks", segment: 2, device: "variable", count: 2, immediate: true },
    { kind: "space", segment: 3, device: "variable", code: 1, count: 0xffffff },
    { kind: "locate", segment: 4, device: "fixed", object: 17 },
    { kind: "tape-image", segment: 5, source: "variable", destination: "fixed", filemarks: 2 },
    { kind: "register", segment: 6, device: "d512", ...keys },
    {
      ...{ kind: "move-registration", segment: 7, device: "d4096", ...keys },
      ...{ unregister: true, aptpl: false, port: 3, transportId },
    },
  ]);
  t.deepEqual(asked, [
    ...["0 source 0 look", "3 source 1 look", "3 destination 2 write", "3 destination 3 position"],
    ...["4 destination 4 position", "3 source 5 read", "4 destination 5 write", "0 destination 6 reserve"],
    ...["1 destination 7 reserve", "49153 destination 8 write"],
  ]);
});

test("devices are looked up when their segment's turn comes, after the steps before it were given out", (t) => {
  const wrong = x.blockBlock(x.D512, x.NOWHERE);
  const { steps, asked, refusal } = x.plan([x.blockBlock(x.D512, x.OTHER512), wrong, x.blockBlock(0, 1)]);
  t.deepEqual(asked, ["0 source 0 read", "2 destination 0 write", "0 source 1 read"]);
  t.is(steps.length, 1);
  t.is(refusal?.fault.segment, 1);
});

test("a hundred segments from disk to disk are one step, and each has its end in it", (t) => {
  const segments = Array.from({ length: 100 }, (_, index) =>
    x.blockBlock(x.D512, x.OTHER512, {
      blocks: 128,
      sourceLba: BigInt(index * 1000),
      destinationLba: BigInt(index * 128),
    }),
  );
  const step = x.onlyData(x.plan(segments));
  t.is(step.gather.length, 100);
  t.deepEqual(step.scatter, [to(extent("other", 0n, 100n * KIB64))]);
  t.deepEqual(step.segments[99], { segment: 99, end: 100n * KIB64, later: 0n, unitBytes: 512 });
  t.deepEqual(step.segments[0], { segment: 0, end: KIB64, later: 0n, unitBytes: 512 });
});

test("data from memory joins data of a disk or a tape", (t) => {
  const label = x.inlineStream(x.VARIABLE, { transfer: 8192, cat: true });
  const fromDisk = x.onlyData(x.plan([label, x.blockStream(x.D512, x.VARIABLE, { cat: true }), label]));
  t.deepEqual(
    fromDisk.gather.map(({ op }) => op),
    ["inline", "extent"],
  );
  const fromTape = [label, x.streamStream(x.FIXED, x.VARIABLE, { destinationTransfer: 8192, cat: true })];
  t.deepEqual(
    x.onlyData(x.plan(fromTape)).gather.map(({ op }) => op),
    ["inline", "tape"],
  );
});

const STEPS_APART: readonly (readonly [string, Segment, Segment])[] = [
  ["two source tapes", x.streamBlock(x.VARIABLE, x.D512), x.streamBlock(x.FIXED, x.OTHER512)],
  [
    "two block lengths of a source tape",
    x.streamBlock(x.VARIABLE, x.D512),
    x.streamBlock(x.VARIABLE, x.OTHER512, { transfer: 4096 }),
  ],
  ["two destination tapes", x.blockStream(x.D512, x.VARIABLE), x.blockStream(x.D512, x.FIXED)],
  [
    "two block lengths on a tape",
    x.blockStream(x.D512, x.VARIABLE),
    x.blockStream(x.D512, x.VARIABLE, { transfer: 512 }),
  ],
  ["a tape and a disk to read", x.streamBlock(x.VARIABLE, x.D512), x.blockBlock(x.OTHER512, x.D4096)],
  ["a tape and a disk to write", x.blockStream(x.D512, x.VARIABLE), x.blockBlock(x.D512, x.OTHER512)],
  ["a tape and nothing to write", x.streamStream(x.VARIABLE, x.FIXED), x.discard(x.VARIABLE)],
  ["a tape that is written and read", x.inlineStream(x.VARIABLE), x.discard(x.VARIABLE)],
  ["blocks that were written before", x.blockBlock(x.D512, x.OTHER512), x.blockBlock(x.OTHER512, x.D4096)],
  ["blocks that are written twice", x.blockBlock(x.D512, x.OTHER512), x.blockBlock(x.D4096, x.OTHER512)],
  [
    "a block that is written in part twice",
    x.offsetOffset(x.D512, x.OTHER512, { byteCount: 100, destinationOffset: 0 }),
    x.offsetOffset(x.D512, x.OTHER512, { byteCount: 100, destinationOffset: 200 }),
  ],
  [
    "the end of data that goes on, where something is written already",
    x.blockBlock(x.D512, x.OTHER512, { blocks: 1, destinationLba: 8n }),
    x.offsetOffset(x.D512, x.OTHER512, { byteCount: 700, destinationLba: 7n, destinationOffset: 20 }),
  ],
];

for (const [name, first, second] of STEPS_APART)
  test(`a step ends before what does not go together: ${name}`, (t) => {
    const { steps, refusal } = x.plan([first, second]);
    t.is(refusal, undefined);
    t.deepEqual(
      steps.map((step) => step.kind === "data" && step.segments.map(({ segment }) => segment)),
      [[0], [1]],
    );
  });

test("what goes on within a block is written as one, and may not run into what is written", (t) => {
  const piece = (bytes: number, lba: bigint, destinationOffset: number) =>
    x.offsetOffset(x.D512, x.OTHER512, { byteCount: bytes, destinationLba: lba, destinationOffset });
  const step = x.onlyData(x.plan([piece(700, 1n, 0), piece(700, 2n, 188), piece(48, 3n, 376)]));
  t.deepEqual(step.scatter, [to(extent("other", 1n, 1448n))]);
  const ahead = x.blockBlock(x.D512, x.OTHER512, { blocks: 1, destinationLba: 3n });
  const { steps } = x.plan([ahead, piece(700, 1n, 0), piece(700, 2n, 188)]);
  t.deepEqual(
    steps.map((one) => one.kind === "data" && one.segments.map(({ segment }) => segment)),
    [[0, 1], [2]],
  );
});

test("what the null device is written is discarded, in whatever unit", (t) => {
  const scatter = (segment: Segment) => x.onlyData(x.plan([segment])).scatter;
  t.deepEqual(scatter(x.blockStream(x.D512, x.NULL_TAPE, { transfer: 0 })), [to({ op: "discard", bytes: 8192n })]);
  t.deepEqual(scatter(x.blockBlock(x.D512, x.NULL_DISK)), [to({ op: "discard", bytes: 8192n })]);
  t.deepEqual(scatter(x.streamBlock(x.FIXED, x.NULL_4096)), [to({ op: "discard", bytes: KIB64 })]);
});

test("segments without data move nothing, but what was left before them is written", (t) => {
  const empty = [
    x.blockStream(x.D512, x.VARIABLE, { blocks: 0, transfer: 0, lba: x.BLOCKS + 5n }),
    x.streamBlock(x.VARIABLE, x.D512, { blocks: 0, transfer: 0 }),
    x.streamStream(x.VARIABLE, x.FIXED, { byteCount: 0, sourceTransfer: 0 }),
    x.inlineStream(x.VARIABLE, { byteCount: 0, transfer: 0 }),
    x.offsetOffset(x.D512, x.OTHER512, { byteCount: 0 }),
    x.streamBlock(x.VARIABLE, x.NULL_DISK, { blocks: 0 }),
  ];
  t.deepEqual(x.plan(empty), { steps: [], refusal: undefined, asked: x.plan(empty).asked, heldLeftOut: false });
  const left = x.blockStream(x.D512, x.VARIABLE, { cat: true, transfer: 16_384 });
  const rest = x.blockStream(x.D512, x.VARIABLE, { blocks: 0, transfer: 4096 });
  const step = x.onlyData(x.plan([left, rest]));
  t.deepEqual(step.scatter, [to(onTape("variable", 8192n))]);
  t.is(step.tapeBlockBytes, 4096);
});

test("ids of LID4 begin at 1, and its steps are the same", (t) => {
  const lid1 = x.plan([x.blockBlock(x.D512, x.OTHER512)]);
  const lid4 = x.plan([x.blockBlock(x.D512 + 1, x.OTHER512 + 1)], {}, new Uint8Array(0), "LID4");
  t.deepEqual(lid4.steps, lid1.steps);
});
