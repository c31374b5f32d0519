// Which units a copy finds, and what it is told of those that its asker may not use, or that fail.
import test from "ava";
import { gateMask, maskOf } from "../../../src/admit/opcodes.js";
import {
  type Asker,
  deviceSaid,
  failureOf,
  forbidden,
  resolveUnits,
  type SeenPath,
} from "../../../src/copy-manager/resolver.js";
import type { CopyAccess, UnitLookup } from "../../../src/copy-manager/steps.js";
import { deviceFailure } from "../../../src/device/failure.js";
import { GantryError } from "../../../src/sys/errors.js";
import { SENSE_KEY } from "../../../src/wire/names.js";
import { fixedSense } from "../../../src/wire/sense-encode.js";
import type { CopyList } from "../../../src/wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../../../src/wire/xcopy/cscd.js";
import { CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import { THIS_UNIT } from "../../../src/wire/xcopy/segments.js";
import { cscdOf, listOf, NULL_DISK } from "../../lib/copy-ask.js";
import { type Device, Room } from "../../lib/copy-room.js";

const ALL = 0xffff;
const ACCESSES: readonly CopyAccess[] = ["read", "write", "position", "look", "reserve"];
const RESERVED = { status: 0x18, sense: new Uint8Array(0) };

type Verdict = Partial<SeenPath["verdict"]>;
const verdictOf = (more: Verdict): SeenPath["verdict"] => ({
  ...{ gate: ALL, reservation: ALL, visible: true, writeProtected: false, ...more },
});

function setUp(given: Partial<Record<Device, Verdict>>) {
  const room = new Room();
  const looked = new Set<string>();
  const units = room.unitsWith((device) => looked.add(device));
  const paths = new Map<number, SeenPath>();
  const see = (device: Device, more: Verdict = {}): void => {
    const lun = [...paths].find(([, path]) => path.device === device)?.[0] ?? paths.size;
    paths.set(lun, { device, unit: lun, verdict: verdictOf(more) });
  };
  for (const [device, verdict] of Object.entries(given)) see(device as Device, verdict);
  const asker: Asker = { nexus: 1, lun: 0, paths: () => paths, streams: true };
  const used: string[] = [];
  const resolve = (cscds: readonly IdentificationCscd[]): Promise<UnitLookup> => {
    const list: CopyList = { ...listOf(room, []), cscds };
    return resolveUnits(list, asker, units, (device, access) => used.push(`${device} ${access}`));
  };
  return { room, units, paths, see, asker, used, looked, resolve };
}

function refusalOf(call: () => unknown): CopyRefusal["fault"] | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof CopyRefusal) return error.fault;
    throw error;
  }
}

const codes = (fault: CopyRefusal["fault"] | undefined): string =>
  fault === undefined ? "found" : [fault.key, fault.asc, fault.ascq].map((part) => part.toString(16)).join("/");

test("a unit is found by the designator that it gives for itself, the unit that has the command by FFFFh", async (t) => {
  const { room, resolve, used } = setUp({ disk0: {}, big0: {} });
  const lookup = await resolve([cscdOf(room, "big0"), cscdOf(room, "disk0")]);
  t.is(lookup(0, "source", 0, "read")?.device, "big0");
  t.is(lookup(1, "destination", 0, "write")?.device, "disk0");
  t.is(lookup(THIS_UNIT, "source", 0, "read")?.device, "disk0");
  t.is(lookup(NULL_DISK, "destination", 0, "write"), undefined);
  t.deepEqual(used, ["big0 read", "disk0 write", "disk0 read"]);
});

test("what the nexus does not see is not there, and is not even asked for its name", async (t) => {
  const { room, resolve, used, looked } = setUp({ disk0: {}, tape0: { visible: false } });
  const lookup = await resolve([cscdOf(room, "hidden"), cscdOf(room, "tape0"), cscdOf(room, "big0")]);
  for (const id of [0, 1, 2]) {
    const fault = refusalOf(() => lookup(id, "destination", 3, "look"));
    t.is(codes(fault), "a/8/4");
    t.like(fault, { segment: 3, pointer: { byte: 6, inSegment: true } });
  }
  t.is(refusalOf(() => lookup(0, "source", 3, "look"))?.pointer?.byte, 4);
  t.deepEqual([...looked], ["disk0"]);
  t.deepEqual(used, []);
});

test("a name is the same in all of its parts", async (t) => {
  const { room, resolve } = setUp({ disk0: {} });
  const right = cscdOf(room, "disk0");
  const { designator } = right;
  const wrong = [
    { ...designator, codeSet: 2 },
    { ...designator, association: 1 },
    { ...designator, type: 2 },
    { ...designator, value: designator.value.subarray(0, 7) },
    { ...designator, value: Uint8Array.from([...designator.value, 0]) },
  ];
  const lookup = await resolve([right, ...wrong.map((one) => ({ ...right, designator: one }))]);
  t.is(lookup(0, "source", 0, "read")?.device, "disk0");
  for (const index of wrong.keys())
    t.is(codes(refusalOf(() => lookup(index + 1, "source", 0, "read"))), "a/8/4", `${index}`);
});

test("what the asker may not do fails as its own command to the device would", (t) => {
  const path = (verdict: Verdict): SeenPath => ({ device: "disk0", unit: 0, verdict: verdictOf(verdict) });
  const told = (verdict: Verdict, access: CopyAccess): string => {
    const answer = forbidden(path(verdict), access);
    if (answer === undefined) return "may";
    const { status, sense } = answer;
    return status === 2 ? [(sense[2] ?? 0) & 15, sense[12], sense[13]].join("/") : `status ${status}`;
  };
  for (const access of ACCESSES) t.is(told({}, access), "may");
  const reader = { gate: gateMask("disk", new Set(["read"])), writeProtected: true };
  t.deepEqual(
    ACCESSES.map((access) => told(reader, access)),
    ["may", `7/${0x27}/0`, "may", "may", `5/${0x20}/2`],
  );
  const writer = { gate: gateMask("disk", new Set(["write"])) };
  t.deepEqual([told(writer, "read"), told(writer, "write")], [`5/${0x20}/2`, "may"]);
  // Who may not even see the device is not told that it is write protected.
  t.is(told({ ...reader, visible: false }, "write"), `5/${0x20}/2`);
  // A right to write that somebody else's privilege takes away.
  t.is(told({ writeProtected: true }, "write"), `7/${0x27}/0`);
  t.is(told({ writeProtected: true }, "read"), "may");
  const reserved = { reservation: ALL & ~maskOf("write", "position") };
  t.deepEqual(
    ACCESSES.map((access) => told(reserved, access)),
    ["may", "status 24", "status 24", "may", "may"],
  );
});

test("a device that does not let it is told with its own words, for the side that it is on", async (t) => {
  const { room, resolve, used } = setUp({ disk0: {}, big0: { reservation: 0 } });
  const lookup = await resolve([cscdOf(room, "big0")]);
  const source = refusalOf(() => lookup(0, "source", 2, "read"));
  t.is(codes(source), "a/d/1");
  t.deepEqual([source?.source, source?.destination, source?.segment], [RESERVED, undefined, 2]);
  t.deepEqual(refusalOf(() => lookup(0, "destination", 2, "write"))?.destination, RESERVED);
  t.deepEqual(used, []);
});

test("rights are those of the moment when the segment's turn comes", async (t) => {
  const { room, resolve, see, paths } = setUp({ disk0: {}, big0: {} });
  const lookup = await resolve([cscdOf(room, "big0")]);
  t.is(lookup(0, "source", 0, "read")?.device, "big0");
  see("big0", { gate: 0 });
  t.is(codes(refusalOf(() => lookup(0, "source", 1, "read"))), "a/d/1");
  see("big0");
  t.is(lookup(0, "source", 2, "read")?.device, "big0");
  paths.delete(1);
  t.is(codes(refusalOf(() => lookup(0, "source", 3, "read"))), "a/8/4");
});

test("a unit that cannot be opened is told of when its turn comes, at the segment and side that want it", async (t) => {
  const { room, resolve } = setUp({ disk0: {}, big0: {} });
  const cscd = cscdOf(room, "big0");
  room.broken = "big0";
  const unnamed = await resolve([cscd]);
  t.is(codes(refusalOf(() => unnamed(0, "source", 4, "read"))), "a/8/4");
  room.broken = undefined;
  await resolve([cscd]);
  await room.rest();
  room.broken = "big0";
  const lookup = await resolve([cscd]);
  t.is(lookup(THIS_UNIT, "source", 0, "read")?.device, "disk0");
  const fault = refusalOf(() => lookup(0, "destination", 4, "write"));
  t.is(codes(fault), "a/d/2");
  t.is(fault?.segment, 4);
});

test("what a unit says that cannot be opened is forwarded for the side that wants it", async (t) => {
  const { room, resolve } = setUp({ disk0: {}, big0: {} });
  const cscd = cscdOf(room, "big0");
  await resolve([cscd]);
  await room.rest();
  const sense = fixedSense(SENSE_KEY.NOT_READY, 0x04, 0x03);
  room.broken = "big0";
  room.breaks = deviceFailure("big0", { outcome: "delivered", status: 2, sense, cdb: new Uint8Array(6) });
  const lookup = await resolve([cscd]);
  const answer = { status: 2, sense };
  t.like(
    refusalOf(() => lookup(0, "destination", 4, "write")),
    { asc: 0x0d, ascq: 1, segment: 4, destination: answer },
  );
  const fault = refusalOf(() => lookup(0, "source", 5, "read"));
  t.deepEqual([fault?.source, fault?.destination, fault?.segment], [answer, undefined, 5]);
});

test("what a device answers is forwarded; that it did not answer is told otherwise", (t) => {
  const sense = Uint8Array.of(0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);
  const failed = (outcome: "delivered" | "timed-out", status: number, words = new Uint8Array(0)) =>
    deviceFailure("disk0", { outcome, status, sense: words, cdb: new Uint8Array(6) });
  const medium = failureOf(failed("delivered", 2, sense), "destination", 5).fault;
  t.is(codes(medium), "a/d/1");
  t.deepEqual([medium.destination, medium.source, medium.segment], [{ status: 2, sense }, undefined, 5]);
  t.deepEqual(failureOf(failed("delivered", 0x18), "source", 0).fault.source, RESERVED);
  for (const error of [failed("timed-out", 0), new GantryError("DEVICE_PATH_FAILED", "Gone."), new Error("?"), "?"]) {
    const { fault } = failureOf(error, "source", 6);
    t.is(codes(fault), "a/d/2");
    t.deepEqual([fault.segment, fault.source], [6, undefined]);
  }
  const refusal = deviceSaid(RESERVED, "source", 1, "it is reserved", 9n);
  t.is(failureOf(refusal, "destination", 7), refusal);
  t.is(refusal.fault.residual, 9n);
});
