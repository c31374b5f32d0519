// Paths, uevents and the probe of bsg through the addon, as far as a machine without SCSI devices goes. What needs nodes is
// in test/vm.
import test from "ava";
import { identityOf } from "../../src/device/discovery/identity.js";
import { repeatable } from "../../src/device/repeatable.js";
import { errnoOf, native, type PathsTarget } from "../../src/native/index.js";

function target(nodes: readonly string[], more: Partial<PathsTarget> = {}): PathsTarget {
  const identity = identityOf("naa.5000c500a1b2c3d4");
  if (identity === undefined) throw new Error();
  return {
    transport: "paths",
    identity,
    again: repeatable("disk"),
    nodes: nodes.map((path, index) => ({ id: index + 1, path, settle: true })),
    opened: () => {},
    changed: () => {},
    ...more,
  };
}

test("a unit none of whose paths opens is not opened; the first one says why", async (t) => {
  const error = await t.throwsAsync(native.openLu(target(["/dev/sg4095", "/dev/null"])));
  t.is(errnoOf(error), "ENOENT");
  t.regex(error?.message ?? "", /\/dev\/sg4095/);
  t.is(errnoOf(await t.throwsAsync(native.openLu(target(["/dev/null"])))), "ENOTTY");
});

test("what is no target of several paths is refused in words", async (t) => {
  await t.throwsAsync(native.openLu(target([])), { message: /nodes is empty/ });
  await t.throwsAsync(native.openLu(target(["/dev/sg0"], { again: new Uint8Array(31) })), { message: /again/ });
  const identity = { type: 0xff, value: Buffer.from("7"), vendor: "NINE CHAR" };
  await t.throwsAsync(native.openLu(target(["/dev/sg0"], { identity })), { message: /vendor/ });
  await t.throwsAsync(
    native.openLu(target(["/dev/sg0"], { identity: { ...identity, vendor: "A", value: new Uint8Array(253) } })),
    {
      message: /value/,
    },
  );
});

test("listening for devices ends when it is told to, or says why it cannot begin", (t) => {
  try {
    const hush = native.listenForDevices(() => {});
    hush();
    hush();
    t.pass();
  } catch (error) {
    t.is(typeof errnoOf(error), "string");
  }
});

test("a node that is no bsg node says so", (t) => {
  t.is(native.bsgUring("/dev/bsg/none"), "ENOENT");
  t.not(native.bsgUring("/dev/null"), true);
});
