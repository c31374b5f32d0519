import test from "ava";
import { TrustedClock } from "../../../src/admit/trusted-clock.js";
import { HOUR_MS, START_MS, scene } from "./helpers.js";

const clockOf = (change: Partial<ConstructorParameters<typeof TrustedClock>[1]>, exists = false) => {
  const s = scene();
  const policy = { mode: "synchronised", builtMs: START_MS - HOUR_MS, ...change } as const;
  return { ...s, time: new TrustedClock(s.clock, policy, s.store, () => exists) };
};

test("a clock is trusted when it is synchronised, or assumed right, or not before the remembered time", async (t) => {
  t.is(clockOf({}, true).time.fault(), undefined);
  t.is(clockOf({ mode: "assume" }).time.fault(), undefined);
  const { time, store, clock } = clockOf({});
  t.regex(time.fault() ?? "", /remembers no earlier time/);
  await clockOf({ mode: "assume" }).time.remember();
  const before = new TrustedClock(clock, { mode: "assume", builtMs: 0 }, store, () => false);
  await before.remember();
  t.is(time.fault(), undefined);
});

test("a clock before the remembered time or before the build is not trusted", async (t) => {
  const { store, clock } = clockOf({});
  await new TrustedClock(clock, { mode: "assume", builtMs: 0 }, store, () => false).remember();
  clock.set(START_MS - 1);
  const again = new TrustedClock(clock, { mode: "synchronised", builtMs: 0 }, store, () => false);
  t.regex(again.fault() ?? "", /remembers 2027-01-15 08:00:00/);
  t.regex(
    new TrustedClock(clock, { mode: "assume", builtMs: START_MS }, store).fault() ?? "",
    /before this software was built/,
  );
});

test("a clock that is not trusted is not remembered", async (t) => {
  const { time, store } = clockOf({});
  await time.remember();
  t.is(store.writes, 0);
  t.is(time.lastKnownMs(), undefined);
});

test("a jump back while running ends the trust until somebody says that the clock is right", (t) => {
  const { time, clock } = clockOf({ mode: "assume", toleranceMs: 5000 });
  t.is(time.fault(), undefined);
  clock.set(START_MS - 5000);
  t.is(time.fault(), undefined);
  t.is(time.nowMs(), START_MS, "and a small step back does not stretch a key's life");
  clock.set(START_MS - 5001);
  t.regex(time.fault() ?? "", /went back by 5 s/);
  clock.set(START_MS + HOUR_MS);
  t.truthy(time.fault(), "coming forward again does not mend it");
  time.accept();
  t.is(time.fault(), undefined);
});

test("many small steps back count together", (t) => {
  const { time, clock } = clockOf({ mode: "assume", toleranceMs: 5000 });
  t.is(time.fault(), undefined);
  for (let step = 0; step < 6; step++) {
    clock.advance(10_000);
    clock.set(clock.nowMs() - 1000);
    t.is(time.nowMs(), START_MS + (step + 1) * 10_000);
  }
  t.truthy(time.fault());
});

test("a clock that is set back before it was ever trusted is only a clock being set", (t) => {
  let synchronised = false;
  const s = scene();
  const time = new TrustedClock(s.clock, { mode: "synchronised", builtMs: 0 }, s.store, () => synchronised);
  t.truthy(time.fault());
  s.clock.set(START_MS - HOUR_MS);
  synchronised = true;
  t.is(time.fault(), undefined);
  t.is(time.nowMs(), START_MS - HOUR_MS);
});
