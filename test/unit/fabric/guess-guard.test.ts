import test from "ava";
import { addressOf, GuessGuard } from "../../../src/fabric/iscsi/guess-guard.js";
import { ManualClock } from "../../../src/sys/clock.js";

test("who never failed does not wait", (t) => {
  const guard = new GuessGuard(new ManualClock());
  t.deepEqual([guard.admit("a", "1.1.1.1:1"), guard.admit("a", "1.1.1.1:2")], [0, 0]);
});

test("every failure doubles the wait, for the name and for the address", (t) => {
  const clock = new ManualClock();
  const guard = new GuessGuard(clock);
  const waits: (number | undefined)[] = [];
  for (let count = 0; count < 5; count++) {
    const wait = guard.admit("a", "1.1.1.1:1");
    waits.push(wait);
    clock.advance(wait ?? 0);
    guard.failed("a", "1.1.1.1:1");
  }
  t.deepEqual(waits, [0, 250, 500, 1000, 2000]);
  t.true((guard.admit("a", "2.2.2.2:1") ?? 0) > 0, "the same name from elsewhere");
  t.true((guard.admit("b", "1.1.1.1:1") ?? 0) > 0, "another name from the same address");
  t.is(guard.admit("b", "2.2.2.2:1"), 0);
  t.deepEqual(guard.counts, { failures: 5, delayed: 6, turnedAway: 0 });
});

test("guesses in parallel stand in one row, and are turned away when it is long", (t) => {
  const guard = new GuessGuard(new ManualClock());
  guard.failed("a", "1.1.1.1:1");
  const waits = Array.from({ length: 60 }, () => guard.admit("a", "1.1.1.1:1"));
  t.deepEqual(waits.slice(0, 3), [250, 500, 750]);
  t.is(waits[39], 10_000);
  t.is(waits[40], undefined);
  t.is(guard.counts.turnedAway, 20);
});

test("guessing under a server's name from elsewhere does not keep the server out", (t) => {
  const clock = new ManualClock();
  const guard = new GuessGuard(clock);
  guard.passed("server", "10.0.0.1:1");
  for (let count = 0; count < 100; count++) {
    guard.admit("server", `6.6.6.${count}:1`);
    guard.failed("server", `6.6.6.${count}:1`);
  }
  t.is(guard.admit("server", "10.0.0.1:2"), 0);
  t.is(guard.admit("server", "7.7.7.7:1"), undefined, "from an address that proved nothing the row is long");
  guard.failed("server", "10.0.0.1:1");
  t.not(guard.admit("server", "10.0.0.1:1"), 0, "one wrong proof and it is like everybody else");
});

test("failures are forgotten after ten minutes", (t) => {
  const clock = new ManualClock();
  const guard = new GuessGuard(clock);
  for (let count = 0; count < 10; count++) guard.failed("a", "1.1.1.1:1");
  t.is(guard.admit("a", "1.1.1.1:1"), 10_000);
  clock.advance(600_000);
  t.is(guard.admit("a", "1.1.1.1:1"), 0);
});

test("however many names are guessed, memory is bounded, and the address waits", (t) => {
  const guard = new GuessGuard(new ManualClock());
  for (let count = 0; count < 20_000; count++) guard.failed(`name-${count}`, "1.1.1.1:1");
  t.is(guard.size, 4096);
  t.is(guard.admit("fresh", "1.1.1.1:1"), 10_000);
});

test("an IPv6 host has one address, whatever its last 64 bits", (t) => {
  t.is(addressOf("127.0.0.1:51234"), "127.0.0.1");
  t.is(addressOf("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2");
  t.is(addressOf("[2001:db8::6]:1"), "2001:db8:0:0");
  t.is(addressOf("[::1]:1"), "0:0:0:0");
});
