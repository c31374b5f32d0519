// Units that leave and come back while the data plane still lets go of them, or is still opening them.
import test from "ava";
import { Units, type UnitsOptions } from "../../../src/fabric/units.js";
import type { EmulatedDevice } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";
import type { DeviceConfig } from "../../../src/sys/config.js";

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** "emulated" is there at once; all others are opened, and everything is let go of, when the test says so. */
function setUp() {
  const clock = new ManualClock();
  const [opening, leaving]: [Pending[], Pending[]] = [[], []];
  const changes: string[] = [];
  const pending = (list: Pending[]): Promise<void> => new Promise((resolve, reject) => list.push({ resolve, reject }));
  const units = new Units({
    plane: {
      addDevice: () => {},
      addLu: async () => {
        await pending(opening);
        return 65_536;
      },
      removeUnit: () => pending(leaving),
    },
    devices: {
      config: (name) =>
        ({ name, type: "disk", transport: name === "emulated" ? "virtual" : "sg", path: "/nowhere" }) as DeviceConfig,
      emulated: (name) => (name === "emulated" ? ({} as EmulatedDevice) : undefined),
      target: () => ({ transport: "sg", path: "/nowhere" }),
      onReachable: () => () => {},
    } satisfies UnitsOptions["devices"],
    timers: clock,
    log: { info: () => {}, warn: () => {} },
    onChange: (device) => changes.push(`${device} ${units.number(device) === undefined ? "gone" : "there"}`),
  });
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { units, clock, opening, leaving, changes, settle };
}

test("a device that leaves the maps and comes back before it has left is opened again", async (t) => {
  const { units, leaving, changes, settle } = setUp();
  units.want(new Set(["emulated"]));
  units.want(new Set());
  units.want(new Set(["emulated"]));
  t.is(units.number("emulated"), undefined);
  leaving.shift()?.resolve();
  await settle();
  t.is(units.number("emulated"), 0);
  t.deepEqual(changes, ["emulated there", "emulated gone", "emulated there"]);
});

test("one that leaves again meanwhile does not come back", async (t) => {
  const { units, leaving, settle } = setUp();
  units.want(new Set(["emulated"]));
  units.want(new Set());
  units.want(new Set(["emulated"]));
  units.want(new Set());
  leaving.shift()?.resolve();
  await settle();
  t.deepEqual(units.facts(), []);
});

test("one whose link was lost and that leaves the maps meanwhile is not opened again", async (t) => {
  const { units, opening, leaving, settle } = setUp();
  units.want(new Set(["real"]));
  opening.shift()?.resolve();
  await settle();
  units.down(0);
  units.want(new Set());
  leaving.shift()?.resolve();
  await settle();
  t.deepEqual(units.facts(), []);
  t.is(opening.length, 0);
});

test("one that leaves and comes back while it is being opened is there when that has ended, or is tried again", async (t) => {
  const { units, clock, opening, leaving, settle } = setUp();
  const there = new Set(["real"]);
  units.want(there);
  units.want(new Set());
  units.want(there);
  opening.shift()?.resolve();
  await settle();
  t.is(units.number("real"), 0);
  t.is(leaving.length, 0);

  units.down(0);
  leaving.shift()?.resolve();
  await settle();
  units.want(new Set());
  units.want(there);
  opening.shift()?.reject(new Error("no link"));
  await settle();
  t.like(units.facts()[0], { ready: false, problem: "no link" });
  clock.advance(1000);
  opening.shift()?.resolve();
  await settle();
  t.is(units.number("real"), 0);
});
