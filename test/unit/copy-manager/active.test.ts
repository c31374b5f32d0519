// A copy that runs: how far it is, while it is looked at and between its steps, who stops it, and whether it may go on.
import test from "ava";
import { gateMask, maskOf } from "../../../src/admit/opcodes.js";
import { ActiveCopy } from "../../../src/copy-manager/active.js";
import { Operation } from "../../../src/copy-manager/operation.js";
import type { SeenPath } from "../../../src/copy-manager/resolver.js";
import type { StepSegment } from "../../../src/copy-manager/steps.js";
import type { Copy, CopyStats } from "../../../src/native/types.js";

const STAGE = { bytes: 0n, commands: 0n, retries: 0n, busyNs: 0n, waitNs: 0n };
const ALL = 0xffff;

function setUp() {
  const operation = new Operation(
    {
      ...{ nexus: "n", lun: 0, device: "d0", kind: "copy-lid1", listId: 1, usage: 0 },
      ...{ background: false, segments: 9 },
    },
    { nowMs: () => 0, roomToHold: () => 0, ended: () => undefined },
  );
  const paths = new Map<number, SeenPath>();
  const active = new ActiveCopy(operation, { nexus: 1, lun: 0, paths: () => paths, streams: true }, 7n);
  let cancelled = 0;
  /** A run of the engine that is so far by now. */
  const run = (streamOffset: bigint, commands: bigint): void => {
    const stats: CopyStats = {
      ...{ gather: { ...STAGE, commands }, scatter: STAGE, tapeWaits: 0n, tapeWaitNs: 0n },
      ...{ throttleNs: 0n, streamOffset, mediumErrors: 0n, elapsedNs: 0n },
    };
    const copy: Partial<Copy> = {
      stats: () => stats,
      cancel: () => {
        cancelled++;
      },
    };
    active.control.attach(copy as Copy);
  };
  const path = (lun: number, device: string, verdict: Partial<SeenPath["verdict"]> = {}) =>
    paths.set(lun, {
      ...{ device, unit: lun },
      verdict: { gate: ALL, reservation: ALL, visible: true, writeProtected: false, ...verdict },
    });
  return { operation, active, run, path, paths, cancelled: () => cancelled };
}

const part = (segment: number, end: bigint, later = 0n): StepSegment => ({ segment, end, later, unitBytes: 512 });
const far = ({ segmentsDone, bytes, commands }: Operation): [number, bigint, number] => [segmentsDone, bytes, commands];

test("what the engine has done by now is told, and its commands once", (t) => {
  const { active, operation, run } = setUp();
  active.stepBegins([part(0, 100n), part(2, 300n)]);
  run(99n, 4n);
  active.refresh();
  t.deepEqual(far(operation), [0, 99n, 4]);
  active.refresh();
  t.deepEqual(far(operation), [0, 99n, 4]);
  run(300n, 10n);
  active.refresh();
  t.deepEqual(far(operation), [3, 300n, 10]);
});

test("steps add up; a segment in several of them counts with its last part, one in none with those behind it", (t) => {
  const { active, operation, run } = setUp();
  active.stepBegins([part(0, 100n, 50n)]);
  active.stepEnded(100n, [part(0, 100n, 50n)], true);
  t.deepEqual(far(operation).slice(0, 2), [0, 100n]);
  const second = [part(0, 50n), part(4, 60n)];
  active.stepBegins(second);
  run(50n, 3n);
  active.refresh();
  t.deepEqual(far(operation).slice(0, 2), [1, 150n]);
  active.control.detach();
  active.stepEnded(60n, second, true);
  t.deepEqual(far(operation).slice(0, 2), [5, 160n]);
  // One that fails has done those that are whole.
  const third = [part(5, 10n), part(6, 20n)];
  active.stepEnded(19n, third, false);
  t.deepEqual(far(operation).slice(0, 2), [6, 179n]);
  active.stepEnded(0n, [part(6, 20n)], false);
  t.deepEqual(far(operation).slice(0, 2), [6, 179n]);
});

test("what is carried behind the last segment is not on a destination", (t) => {
  const { active, operation, run } = setUp();
  active.stepBegins([part(0, 100n)]);
  run(700n, 1n);
  active.refresh();
  t.is(operation.bytes, 100n);
});

test("a step of several runs never falls back", (t) => {
  const { active, operation, run } = setUp();
  active.stepEnded(1000n, [], true);
  run(500n, 9n);
  active.refresh();
  active.control.detach();
  active.runEnded(600n);
  t.is(operation.bytes, 1600n);
  run(10n, 1n);
  active.refresh();
  t.is(operation.bytes, 1610n);
  active.control.detach();
  active.stepEnded(800n, [], true);
  t.is(operation.bytes, 1800n);
});

test("an operation that has ended changes no more", (t) => {
  const { active, operation, run } = setUp();
  operation.end({ state: "done" });
  run(500n, 9n);
  active.refresh();
  t.deepEqual(far(operation), [0, 0n, 0]);
});

test("the first reason to stop counts; the run is cancelled, and one that begins later, too", (t) => {
  const { active, run, cancelled } = setUp();
  t.is(active.stopped, undefined);
  run(0n, 0n);
  active.stop("reset");
  active.stop("aborted");
  t.is(active.stopped?.why, "reset");
  t.like(active.stopped?.refusal.fault, { key: 0x0a, asc: 0x0d, ascq: 0 });
  t.true(active.control.cancelled);
  t.is(cancelled(), 2);
  run(0n, 0n);
  t.is(cancelled(), 3);
});

test("what a copy uses it goes on with only as long as its asker may", (t) => {
  const { active, operation, path } = setUp();
  path(0, "d0");
  path(1, "d1");
  active.used("d0", "read");
  active.used("d1", "write");
  operation.progress({ segments: 3 });
  active.judge();
  t.is(active.stopped, undefined);
  // That the source may not be written any more is nothing to it.
  path(0, "d0", { gate: gateMask("disk", new Set(["read"])), writeProtected: true });
  active.judge();
  t.is(active.stopped, undefined);
  path(1, "d1", { reservation: ALL & ~maskOf("write") });
  active.judge();
  t.is(active.stopped?.why, "not-allowed");
  t.like(active.stopped?.refusal.fault, { key: 0x0a, asc: 0x0d, ascq: 1, segment: 3, destination: { status: 0x18 } });
});

test("a device that is not seen any more stops a copy, each device by itself", (t) => {
  const { active, path, paths } = setUp();
  path(0, "d0");
  path(1, "other");
  active.used("d0", "read");
  active.used("d0", "look");
  paths.delete(1);
  active.judge();
  t.is(active.stopped, undefined);
  paths.delete(0);
  active.judge();
  const { source } = active.stopped?.refusal.fault ?? {};
  t.deepEqual([source?.status, source?.sense[12], source?.sense[13]], [2, 0x20, 0x02]);
});
