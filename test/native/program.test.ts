import test from "ava";
import { Op, ProgramBuilder, SEGMENT_BYTES, TO_FILEMARK } from "../../src/native/program.js";
import { isGantryError } from "../../src/sys/errors.js";

/** The fields of a packed segment, read byte by byte as csrc/copy/engine.h has them. */
function unpack(packed: Uint8Array, index: number) {
  const view = new DataView(packed.buffer, packed.byteOffset + index * SEGMENT_BYTES, SEGMENT_BYTES);
  return {
    addr: view.getBigUint64(0, true),
    bytes: view.getBigUint64(8, true),
    tag: view.getUint32(16, true),
    op: view.getUint8(20),
    lu: view.getUint8(21),
    skip: view.getUint16(22, true),
  };
}

const none = { addr: 0n, bytes: 0n, tag: 0, op: 0, lu: 0, skip: 0 };

const packs = test.macro(
  (t, build: (builder: ProgramBuilder) => unknown, side: "gather" | "scatter", expected: Partial<typeof none>) => {
    const builder = new ProgramBuilder();
    build(builder);
    const program = builder.take();
    const [mine, other] = side === "gather" ? [program.gather, program.scatter] : [program.scatter, program.gather];
    t.is(mine.byteLength, SEGMENT_BYTES);
    t.is(other.byteLength, 0);
    t.deepEqual(unpack(mine, 0), { ...none, ...expected });
  },
);

const far = 0xfedc_ba98_7654_3210n;
test(
  "an extent to gather has all its fields, to the highest LBA, tag and skip",
  packs,
  (b) => b.extent("gather", 255, far, 1n, 0xffff_ffff, 65_535),
  "gather",
  { op: Op.EXTENT, lu: 255, addr: far, bytes: 1n, tag: 0xffff_ffff, skip: 65_535 },
);
test("an extent to scatter", packs, (b) => b.extent("scatter", 1, 7n, 512n, 3), "scatter", {
  op: Op.EXTENT,
  lu: 1,
  addr: 7n,
  bytes: 512n,
  tag: 3,
});
test("zeros", packs, (b) => b.zeros(1n << 40n, 2), "gather", { op: Op.ZEROS, bytes: 1n << 40n, tag: 2 });
test("tape data to the filemark", packs, (b) => b.tape("gather", 1, TO_FILEMARK), "gather", {
  op: Op.TAPE,
  lu: 1,
  bytes: 0xffff_ffff_ffff_ffffn,
});
test("into tape blocks", packs, (b) => b.tape("scatter", 2, 10n, 5), "scatter", {
  op: Op.TAPE,
  lu: 2,
  bytes: 10n,
  tag: 5,
});
test("discard", packs, (b) => b.discard(9n, 4), "scatter", { op: Op.DISCARD, bytes: 9n, tag: 4 });
test("hold, with the cookie", packs, (b) => b.hold(100n, far, 6), "scatter", {
  op: Op.HOLD,
  addr: far,
  bytes: 100n,
  tag: 6,
});
test("compare", packs, (b) => b.compare(3, 8n, 1024n, 1, 16), "scatter", {
  op: Op.COMPARE,
  lu: 3,
  addr: 8n,
  bytes: 1024n,
  tag: 1,
  skip: 16,
});
test("filemarks", packs, (b) => b.filemark(1, 2), "scatter", { op: Op.FILEMARK, lu: 1, addr: 2n });
test("flush", packs, (b) => b.flush(1), "scatter", { op: Op.FLUSH, lu: 1 });
test("locate on the destination", packs, (b) => b.locate("scatter", 1, 99n), "scatter", {
  op: Op.LOCATE,
  lu: 1,
  addr: 99n,
});
test(
  "space backwards over filemarks is a two's complement count",
  packs,
  (b) => b.space("gather", 1, 1, -1n),
  "gather",
  { op: Op.SPACE, lu: 1, addr: 0xffff_ffff_ffff_ffffn, skip: 1 },
);

test("inline bytes are copied, and each segment knows where its own start", (t) => {
  const builder = new ProgramBuilder();
  const first = Uint8Array.of(1, 2, 3);
  builder.inline(first, 7).inline(new Uint8Array(10_000).fill(9));
  first.fill(0);
  t.is(builder.inlineSize, 10_003);
  const { gather, inline } = builder.take();
  t.deepEqual([...inline.subarray(0, 4)], [1, 2, 3, 9]);
  t.is(inline.byteLength, 10_003);
  t.deepEqual(unpack(gather, 0), { ...none, op: Op.INLINE, bytes: 3n, tag: 7 });
  t.deepEqual(unpack(gather, 1), { ...none, op: Op.INLINE, addr: 3n, bytes: 10_000n });
});

test("take starts anew and gives away bytes that later building does not touch", (t) => {
  const builder = new ProgramBuilder();
  builder.inline(Uint8Array.of(1)).tape("scatter", 1, 1n);
  const first = builder.take();
  t.is(builder.segments, 0);
  builder.inline(Uint8Array.of(2)).zeros(5n);
  t.is(builder.segments, 2);
  const second = builder.take();
  t.deepEqual([...first.inline], [1]);
  t.is(unpack(first.gather, 0).bytes, 1n);
  t.deepEqual([...second.inline], [2]);
  t.is(unpack(second.gather, 0).addr, 0n);
  t.deepEqual(builder.take(), { gather: new Uint8Array(), scatter: new Uint8Array(), inline: new Uint8Array() });
});

test("a million extents are packed whole and in order", (t) => {
  const builder = new ProgramBuilder();
  const count = 1_000_000;
  for (let i = 0; i < count; i++) builder.extent("gather", 0, BigInt(i) * 8n, 4096n, i & 0xffff);
  t.is(builder.segments, count);
  const { gather } = builder.take();
  t.is(gather.byteLength, count * SEGMENT_BYTES);
  for (const i of [0, 1, 255, 256, 65_536, 999_999])
    t.deepEqual(unpack(gather, i), { ...none, op: Op.EXTENT, addr: BigInt(i) * 8n, bytes: 4096n, tag: i & 0xffff });
});

const refuses = test.macro((t, build: (builder: ProgramBuilder) => unknown) => {
  const builder = new ProgramBuilder();
  const error = t.throws(() => build(builder));
  t.true(isGantryError(error) && error.code === "NATIVE_FAILED");
  t.is(builder.segments, 0);
});
test("a unit past 255 is refused", refuses, (b) => b.extent("gather", 256, 0n, 1n));
test("a unit that is no integer is refused", refuses, (b) => b.extent("gather", 0.5, 0n, 1n));
test(
  "an extent that keeps and is held has flags above its skip",
  packs,
  (b) => b.extent("scatter", 1, 7n, 512n, 3, 4095, { keep: true, held: true }),
  "scatter",
  { op: Op.EXTENT, lu: 1, addr: 7n, bytes: 512n, tag: 3, skip: 0xcfff },
);
test("tape blocks as gathered", packs, (b) => b.tape("scatter", 1, TO_FILEMARK, 0, { asGathered: true }), "scatter", {
  op: Op.TAPE,
  lu: 1,
  bytes: 0xffff_ffff_ffff_ffffn,
  skip: 0x2000,
});
test("tape data that are held", packs, (b) => b.tape("scatter", 1, 9n, 0, { held: true }), "scatter", {
  op: Op.TAPE,
  lu: 1,
  bytes: 9n,
  skip: 0x4000,
});
test("bytes that are held and not kept", packs, (b) => b.discard(9n, 0, { held: true }), "scatter", {
  op: Op.DISCARD,
  bytes: 9n,
  skip: 0x4000,
});
test("a skip to scatter that reaches into the flags is refused", refuses, (b) =>
  b.extent("scatter", 0, 0n, 1n, 0, 4096),
);
test("a skip past 16 bits is refused", refuses, (b) => b.extent("gather", 0, 0n, 1n, 0, 65_536));
test("a tag past 32 bits is refused", refuses, (b) => b.zeros(1n, 2 ** 32));
test("a negative size is refused", refuses, (b) => b.zeros(-1n));
test("a size past 64 bits is refused", refuses, (b) => b.zeros(1n << 64n));
test("a negative LBA is refused", refuses, (b) => b.extent("gather", 0, -1n, 1n));
test("a negative count of filemarks is refused", refuses, (b) => b.filemark(0, -1));
