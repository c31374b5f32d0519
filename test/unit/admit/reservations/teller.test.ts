// What is told of reservations that change faster than anybody reads.
import test from "ava";
import type { ReservationFacts } from "../../../../src/admit/reservations/facts.js";
import { type ReservationEvent, ReservationTeller } from "../../../../src/admit/reservations/teller.js";
import { ManualClock } from "../../../../src/sys/clock.js";

const held = (device: string, holder: string): ReservationFacts => ({
  device,
  kind: "reserve",
  holders: [holder],
  sinceMs: 5,
  registered: [],
  aptpl: false,
  jobs: [],
});

function rig() {
  const clock = new ManualClock();
  const told: ReservationEvent[] = [];
  const teller = new ReservationTeller({ clock, timers: clock, tell: (event) => told.push(event) });
  return { clock, told, teller };
}

test("the first change is told at once, of those of the next second only the last, with their number", (t) => {
  const { clock, told, teller } = rig();
  teller.changed(held("d", "a"), "RESERVE");
  t.like(told[0], { event: "reservation", severity: "info", message: "d: RESERVE; held by a." });
  t.like(told[0]?.details, { device: "d", kind: "reserve", holders: ["a"], sinceMs: 5, why: "RESERVE", changes: 1 });
  for (let n = 0; n < 1000; n++) teller.changed(held("d", `h${n}`), `why ${n}`);
  t.is(told.length, 1);
  clock.advance(999);
  t.is(told.length, 1);
  clock.advance(1);
  t.is(told.length, 2);
  t.like(told[1]?.details, { holders: ["h999"], why: "why 999", changes: 1000 });
  clock.advance(10_000);
  t.is(told.length, 2, "and no more without a change");
  teller.changed(held("d", "b"), "RESERVE");
  t.is(told.length, 3);
});

test("devices do not wait for each other", (t) => {
  const { told, teller } = rig();
  teller.changed(held("d", "a"), "x");
  teller.changed(held("e", "a"), "x");
  t.is(told.length, 2);
});

test("after stop nothing is told", (t) => {
  const { clock, told, teller } = rig();
  teller.changed(held("d", "a"), "x");
  teller.changed(held("d", "b"), "x");
  teller.stop();
  clock.advance(5000);
  t.is(told.length, 1);
});

test("who wants a device from whom, in words and in fields", (t) => {
  const { told, teller } = rig();
  teller.wanted({ device: "d", by: { jobId: "j" }, priority: 9, holder: "a has reserved it", holderPriority: 3 });
  t.like(told[0], {
    event: "preempt.wanted",
    severity: "warning",
    details: { device: "d", jobId: "j", priority: 9, holder: "a has reserved it", holderPriority: 3 },
  });
});
