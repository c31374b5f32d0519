// The logical units of copies: handles that stay open for a moment, each for one copy at a time, and the names of units.
import test from "ava";
import { CopyUnits } from "../../../src/copy-manager/units.js";
import type { DeviceRegistry } from "../../../src/device/registry.js";
import { ScsiUnit } from "../../../src/device/scsi-unit.js";
import type { Lu } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { GantryError } from "../../../src/sys/errors.js";
import { SENSE_KEY } from "../../../src/wire/names.js";
import { fixedSense } from "../../../src/wire/sense-encode.js";
import { ModelLu, nameOf } from "../../lib/copy-model-unit.js";
import { Room } from "../../lib/copy-room.js";

const ATTENTION = fixedSense(SENSE_KEY.UNIT_ATTENTION, 0x29, 0x00);
const MEMORY_ALLOWS = 1 << 20;

/** A model that answers some TEST UNIT READY otherwise. */
class Handle extends ModelLu {
  attentions = 0;
  asked = 0;

  override async execute(...[cdb, options]: Parameters<Lu["execute"]>): ReturnType<Lu["execute"]> {
    this.asked++;
    const answer = await super.execute(cdb, options);
    if (cdb[0] !== 0x00 || this.attentions === 0) return answer;
    this.attentions--;
    return { ...answer, status: 2, sense: ATTENTION };
  }
}

function setUp() {
  const { plant } = new Room();
  const clock = new ManualClock();
  const handles: Handle[] = [];
  let broken: Error | undefined;
  const devices: Pick<DeviceRegistry, "config" | "openUnit"> = {
    config: (device) =>
      ({ name: device, type: device.startsWith("tape") ? "tape" : "disk" }) as ReturnType<DeviceRegistry["config"]>,
    openUnit: async (device) => {
      if (broken !== undefined) throw broken;
      const handle = new Handle({ ...plant, touched: () => undefined }, device, () => undefined);
      handles.push(handle);
      return new ScsiUnit(device, handle);
    },
  };
  const units = new CopyUnits({ devices, timers: clock, tapeBlockBytes: MEMORY_ALLOWS });
  return {
    ...{ plant, clock, handles, units },
    open: () => handles.filter(({ closed }) => !closed).length,
    break: (error: Error | undefined) => {
      broken = error;
    },
  };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what a unit is: blocks of a disk; of a tape the largest block that drive, transport and memory take", async (t) => {
  const { units } = setUp();
  t.like((await units.lease("disk0")).facts, { device: "disk0", type: "disk", blockBytes: 512, blocks: 128n });
  t.like((await units.lease("big0")).facts, { type: "disk", blockBytes: 4096, blocks: 16n });
  t.like((await units.lease("tape0")).facts, { type: "tape", blockBytes: 0, maxBlockBytes: MEMORY_ALLOWS });
  t.like((await units.lease("tape1")).facts, { type: "tape", maxBlockBytes: 64 << 10 });
  t.is(units.blockBytes("big0"), 4096);
});

test("a handle serves one copy at a time, and the next one soon after, without being opened again", async (t) => {
  const { units, handles } = setUp();
  const [one, two] = [await units.lease("disk0"), await units.lease("disk0")];
  t.not(one.unit, two.unit);
  await units.giveBack(one, true);
  const third = await units.lease("disk0");
  t.is(third.unit, one.unit);
  t.not((await units.lease("big0")).unit, third.unit);
  t.is(handles.length, 3);
});

test("handles that nobody wants for two seconds are closed", async (t) => {
  const { units, clock, open } = setUp();
  const [one, two] = [await units.lease("disk0"), await units.lease("disk0")];
  await units.giveBack(one, true);
  clock.advance(1999);
  await units.giveBack(two, true);
  clock.advance(1999);
  await turn();
  t.is(open(), 2);
  clock.advance(1);
  await turn();
  t.is(open(), 0);
  await units.lease("disk0");
  t.is(open(), 1);
});

test("a handle whose last command ended badly is not used again", async (t) => {
  const { units, open, handles } = setUp();
  await units.giveBack(await units.lease("disk0"), false);
  t.is(open(), 0);
  await units.lease("disk0");
  t.is(handles.length, 2);
});

test("a handle that finds a unit attention is opened anew, and the unit is asked for its names again", async (t) => {
  const { units, handles, open } = setUp();
  await units.designators("disk0");
  const leased = await units.lease("disk0");
  await units.giveBack(leased, true);
  const opened = handles.length;
  for (const handle of handles) handle.attentions = 1;
  t.not((await units.lease("disk0")).unit, leased.unit);
  t.is(open(), 1);
  await units.designators("disk0");
  t.is(handles.length, opened + 2);
});

test("copies that begin while handles change have none together", async (t) => {
  const { units, handles } = setUp();
  const [one, two, three] = [await units.lease("disk0"), await units.lease("disk0"), await units.lease("disk0")];
  await units.giveBack(one, true);
  await units.giveBack(two, true);
  for (const handle of handles) handle.attentions = handle === two.unit.lu ? 1 : 0;
  const first = units.lease("disk0");
  await units.giveBack(three, true);
  const all = await Promise.all([first, units.lease("disk0"), units.lease("disk0"), units.lease("disk0")]);
  t.is(new Set(all.map(({ unit }) => unit)).size, all.length);
});

test("a unit is asked once for its own names", async (t) => {
  const { units, plant, handles, open } = setUp();
  const [first, again] = await Promise.all([units.designators("disk0"), units.designators("disk0")]);
  t.deepEqual(first, [nameOf(plant, "disk0")]);
  t.is(again, first);
  t.is(handles.length, 1);
  t.is(open(), 0);
});

test("a unit that cannot be asked has no names, and is asked again with the next copy", async (t) => {
  const { units, plant, break: breaks } = setUp();
  breaks(new GantryError("DEVICE_PATH_FAILED", "The device cannot be reached."));
  t.deepEqual(await units.designators("disk0"), []);
  await t.throwsAsync(units.lease("disk0"), { code: "DEVICE_PATH_FAILED" });
  breaks(undefined);
  t.deepEqual(await units.designators("disk0"), [nameOf(plant, "disk0")]);
});

test("a unit that is none is closed again", async (t) => {
  const { units, plant, open, handles } = setUp();
  // No such disk: it answers nothing.
  await t.throwsAsync(units.lease("nothing"));
  t.is(handles.length, 1);
  t.is(open(), 0);
  t.false(plant.disks.has("nothing"));
});

test("a device that is forgotten has nothing open, and nothing of it is known", async (t) => {
  const { units, handles, open } = setUp();
  await units.designators("disk0");
  await units.giveBack(await units.lease("disk0"), true);
  await units.giveBack(await units.lease("big0"), true);
  await units.forget("disk0");
  t.is(open(), 1);
  const before = handles.length;
  await units.designators("disk0");
  t.is(handles.length, before + 1);
});

test("at the end nothing stays open, nor what is given back later", async (t) => {
  const { units, open, clock } = setUp();
  const [one, two] = [await units.lease("disk0"), await units.lease("tape0")];
  await units.giveBack(one, true);
  await units.stop();
  t.is(open(), 1);
  await units.giveBack(two, true);
  t.is(open(), 0);
  t.is(clock.pending, 0);
});
