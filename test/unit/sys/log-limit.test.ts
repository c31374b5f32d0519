import test from "ava";
import { ManualClock } from "../../../src/sys/clock.js";
import { LogLimit } from "../../../src/sys/log-limit.js";

test("so many lines in a period, and at the next one how many were left out", (t) => {
  const clock = new ManualClock(0);
  const skipped: number[] = [];
  const limit = new LogLimit({ clock, lines: 3, periodMs: 1000, onSkipped: (count) => skipped.push(count) });
  t.deepEqual(
    Array.from({ length: 5 }, () => limit.take()),
    [true, true, true, false, false],
  );
  clock.advance(999);
  t.false(limit.take());
  clock.advance(1);
  t.true(limit.take());
  t.deepEqual(skipped, [3]);
  clock.advance(1000);
  t.true(limit.take());
  t.deepEqual(skipped, [3], "nothing was left out in the last period");
});
