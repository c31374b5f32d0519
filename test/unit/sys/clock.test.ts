import test from "ava";
import { ManualClock, systemClock, systemTimers } from "../../../src/sys/clock.js";

test("the manual clock calls timers in order, each at its own time, and none that was cancelled", (t) => {
  const clock = new ManualClock(1000);
  const calls: [string, number][] = [];
  clock.after(30, () => calls.push(["c", clock.nowMs()]));
  clock.after(10, () => {
    calls.push(["a", clock.nowMs()]);
    clock.after(5, () => calls.push(["b", clock.nowMs()]));
  });
  clock.after(20, () => calls.push(["never", clock.nowMs()]))();
  clock.advance(29);
  t.deepEqual(calls, [
    ["a", 1010],
    ["b", 1015],
  ]);
  clock.advance(1);
  t.deepEqual(calls.at(-1), ["c", 1030]);
  t.is(clock.pending, 0);
});

test("setting the manual wall clock moves neither monotonic time nor timers", (t) => {
  const clock = new ManualClock(1000);
  let called = false;
  clock.after(10, () => {
    called = true;
  });
  clock.set(1_000_000);
  t.is(clock.monotonicMs(), 0);
  t.false(called);
});

test("a system timer of more than 2³¹ ms does not fire at once", async (t) => {
  let called = false;
  const cancel = systemTimers.after(2 ** 40, () => {
    called = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  cancel();
  t.false(called);
});

test("the system's monotonic clock does not go back", (t) => {
  const first = systemClock.monotonicMs();
  t.true(systemClock.monotonicMs() >= first);
});
