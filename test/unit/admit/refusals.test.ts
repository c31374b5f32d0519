// Refusals: counted exactly, told seldom, bounded.
import test from "ava";
import { REFUSALS_MAX, RefusalBook, type RefusalReport } from "../../../src/admit/refusals.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { silentLogger } from "../../../src/sys/log.js";

function book() {
  const clock = new ManualClock();
  const reports: RefusalReport[] = [];
  const made = new RefusalBook({
    clock,
    timers: clock,
    log: silentLogger(),
    onReport: (report) => reports.push(report),
  });
  const note = (initiator: string, count = 1n, why = "read-only") =>
    made.note({ initiator, device: "disk0", why, command: "WRITE(10) (2Ah)", count });
  return { clock, reports, made, note };
}

test("the first of a kind is told at once, more of it after ten seconds with their count, nothing twice", (t) => {
  const { clock, reports, made, note } = book();
  note("a", 3n);
  t.deepEqual(
    reports.map(({ count }) => count),
    [3n],
  );
  for (let turn = 0; turn < 100; turn++) note("a");
  t.is(reports.length, 1);
  note("b");
  t.is(reports.length, 2, "another kind");
  clock.advance(10_000);
  t.deepEqual(
    reports.slice(2).map(({ initiator, count }) => [initiator, count]),
    [["a", 100n]],
  );
  clock.advance(60_000);
  t.is(reports.length, 3);
  t.like(made.list()[1], { initiator: "a", count: 103n });
  t.is(made.total, 104n);
  t.is(clock.pending, 0, "nothing wakes up when there is nothing to tell");
});

test("many kinds at once are told over time, and all of them in the end", (t) => {
  const { clock, reports, note } = book();
  for (let who = 0; who < 50; who++) note(`i${who}`);
  t.is(reports.length, 20);
  clock.advance(60_000);
  t.is(reports.length, 40);
  clock.advance(120_000);
  t.deepEqual(new Set(reports.map(({ initiator }) => initiator)).size, 50);
  t.is(reports.length, 50);
});

test("what is remembered is bounded; those that were not seen for longest go", (t) => {
  const { made, note } = book();
  note("old");
  for (let who = 0; who < REFUSALS_MAX - 1; who++) note(`i${who}`);
  note("old");
  note("one more");
  t.is(made.list().length, REFUSALS_MAX);
  t.true(made.list().some(({ initiator }) => initiator === "old"));
  t.false(made.list().some(({ initiator }) => initiator === "i0"));
});
