// What was written is told: everything, joined, in order, and again when it could not be sent.
import test from "ava";
import fc from "fast-check";
import { type VolumeChange, VolumeWatch } from "../../../src/admit/volume.js";
import { mergeExtents } from "../../../src/admit/volume-extents.js";
import type { WrittenExtent } from "../../../src/plane.js";
import { ManualClock } from "../../../src/sys/clock.js";

const extent = (lba: number, blocks: number): WrittenExtent => ({ lba: BigInt(lba), blocks: BigInt(blocks) });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("merging loses nothing, is ascending and apart, and stays within its bound", (t) => {
  const some = fc.array(fc.tuple(fc.nat(300), fc.nat(20)), { maxLength: 60 });
  fc.assert(
    fc.property(some, fc.integer({ min: 1, max: 10 }), (pairs, most) => {
      const merged = mergeExtents(
        pairs.map(([lba, blocks]) => extent(lba, blocks)),
        most,
      );
      const holds = (lba: number): boolean =>
        merged.some((one) => one.lba <= BigInt(lba) && BigInt(lba) < one.lba + one.blocks);
      for (const [lba, blocks] of pairs) for (let at = lba; at < lba + blocks; at++) if (!holds(at)) return false;
      const apart = merged.every((one, index) => {
        const next = merged[index + 1];
        return next === undefined || one.lba + one.blocks < next.lba;
      });
      return apart && merged.length <= most;
    }),
  );
  t.deepEqual(mergeExtents([extent(8, 8), extent(0, 8), extent(20, 1)], 10), [extent(0, 16), extent(20, 1)]);
  t.deepEqual(mergeExtents([extent(0, 1), extent(10, 1), extent(12, 1)], 2), [extent(0, 1), extent(10, 3)]);
});

function watch() {
  const clock = new ManualClock();
  const written: WrittenExtent[] = [];
  const sent: VolumeChange[] = [];
  const told: string[] = [];
  const way: { publish: () => Promise<void>; watched: Map<string, number> } = {
    publish: () => Promise.resolve(),
    watched: new Map([["disk0", 4]]),
  };
  const made = new VolumeWatch({
    plane: { takeWrites: (unit) => (unit === 4 ? written.splice(0) : []) },
    timers: clock,
    watched: () => way.watched,
    publish: (change) => {
      sent.push(change);
      return way.publish();
    },
    onWritten: () => undefined,
    tell: (device) => told.push(device),
  });
  return { clock, written, sent, told, way, made };
}

test("changes are told in order with rising numbers, and none while nothing is written", async (t) => {
  const { clock, written, sent, told, made } = watch();
  made.changed();
  clock.advance(1000);
  t.deepEqual(sent, []);
  written.push(extent(0, 8), extent(8, 8));
  clock.advance(50);
  await turn();
  t.deepEqual(sent, [{ device: "disk0", sequence: 1, extents: [extent(0, 16)] }]);
  written.push(extent(100, 1));
  clock.advance(50);
  await turn();
  t.deepEqual(sent[1], { device: "disk0", sequence: 2, extents: [extent(100, 1)] });
  t.deepEqual(told, ["disk0", "disk0"]);
});

test("what is written often is told together, whoever wrote it", async (t) => {
  const { clock, written, sent, made } = watch();
  made.changed();
  for (let lba = 0; lba < 32; lba += 8) made.wrote("disk0", [extent(lba, 8)], true);
  written.push(extent(32, 8));
  t.deepEqual(sent, []);
  clock.advance(50);
  await turn();
  t.deepEqual(sent, [{ device: "disk0", sequence: 1, extents: [extent(0, 40)] }]);
  made.wrote("other", [extent(0, 1)], true);
  clock.advance(50);
  await turn();
  t.deepEqual(sent[1], { device: "other", sequence: 1, extents: [extent(0, 1)] });
});

test("while a message is under way changes are joined; one that failed is sent again with them", async (t) => {
  const { clock, written, sent, way, made } = watch();
  made.changed();
  let fail = (): void => {};
  way.publish = () => new Promise((_resolve, reject) => (fail = () => reject(new Error("away"))));
  written.push(extent(0, 1));
  clock.advance(50);
  written.push(extent(50, 1));
  clock.advance(50);
  written.push(extent(60, 1));
  clock.advance(50);
  t.is(sent.length, 1);
  way.publish = () => Promise.resolve();
  fail();
  await turn();
  clock.advance(1100);
  await turn();
  t.deepEqual(sent[1]?.extents, [extent(0, 1), extent(50, 1), extent(60, 1)]);
});

test("when nobody may write any more the last writes are told, and the looking ends", async (t) => {
  const { clock, written, sent, way, made } = watch();
  made.changed();
  written.push(extent(7, 1));
  way.watched = new Map();
  clock.advance(50);
  await turn();
  t.is(sent.length, 1);
  clock.advance(200);
  await turn();
  t.is(clock.pending, 0);
  way.watched = new Map([["disk0", 4]]);
  made.changed();
  written.push(extent(8, 1));
  clock.advance(50);
  await turn();
  t.is(sent[1]?.sequence, 2, "numbers go on");
});

test("what a job wrote is told though no server may write, and the looking ends", async (t) => {
  const { clock, sent, way, made } = watch();
  way.watched = new Map();
  made.wrote("disk9", [extent(5, 5), extent(10, 1)]);
  t.deepEqual(sent, [{ device: "disk9", sequence: 1, extents: [extent(5, 6)] }]);
  await turn();
  clock.advance(200);
  t.is(clock.pending, 0);
});

test("what a job wrote while nobody could be told is told with what comes", async (t) => {
  const { clock, written, sent, way, made } = watch();
  made.changed();
  way.publish = () => Promise.reject(new Error("away"));
  made.wrote("disk0", [extent(5, 1)]);
  await turn();
  written.push(extent(50, 1));
  way.publish = () => Promise.resolve();
  clock.advance(1100);
  await turn();
  t.deepEqual(sent[1]?.extents, [extent(5, 1), extent(50, 1)]);
});
