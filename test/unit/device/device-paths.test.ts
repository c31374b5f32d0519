import { setImmediate as turn } from "node:timers/promises";
import test from "ava";
import { DevicePaths, type DevicePathsOptions } from "../../../src/device/discovery/device-paths.js";
import { identityOf } from "../../../src/device/discovery/identity.js";
import type { ScsiNode } from "../../../src/device/discovery/sysfs.js";
import { repeatable } from "../../../src/device/repeatable.js";
import type { PathFact, PathGroup, PathsTarget } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { identificationPage } from "../../lib/sysfs-tree.js";

const NAA = "5000c500a1b2c3d4";
const OTHER = "5000c500ffffffff";

const node = (name: string, address: string, naa = NAA): ScsiNode => ({
  path: `/dev/${name}`,
  address,
  stamp: `${name} ${address} ${naa}`,
  type: 0,
  vendor: "ACME",
  product: "DISK",
  state: "running",
  driver: "mpt3sas",
  identification: identificationPage(naa),
});

/** An open unit as the data plane would have it. */
class FakeGroup implements PathGroup {
  paths = new Map<number, { path: string; state: PathFact["state"]; failures: number }>();
  readonly added: string[] = [];
  refuses = false;
  closed = false;
  ended = false;
  changed: (() => void) | undefined;

  open(target: PathsTarget): void {
    this.changed = () => target.changed(this);
    for (const { id, path } of target.nodes) this.paths.set(id, { path, state: this.#next(), failures: 0 });
    target.opened(this);
  }
  #next(): PathFact["state"] {
    return [...this.paths.values()].some(({ state }) => state === "active") ? "standby" : "active";
  }
  async add(id: number, path: string, settle: boolean): Promise<void> {
    this.added.push(`${path}${settle ? " settled" : ""}`);
    await turn();
    if (this.refuses) throw new Error("no");
    this.paths.set(id, { path, state: this.#next(), failures: 0 });
  }
  remove(id: number): void {
    this.paths.delete(id);
  }
  facts(): readonly PathFact[] | undefined {
    return this.ended ? undefined : [...this.paths].map(([id, { state, failures }]) => ({ id, state, failures }));
  }
  close(): void {
    this.closed = true;
  }
  /** The path over a node lost a command; another one takes over. */
  fail(path: string): void {
    for (const one of this.paths.values()) {
      if (one.path === path) Object.assign(one, { state: "dead", failures: one.failures + 1 });
      else if (one.state === "standby") one.state = "active";
    }
    this.changed?.();
  }
  get nodes(): readonly string[] {
    return [...this.paths.values()].map(({ path, state }) => `${path} ${state}`);
  }
}

function scene() {
  const clock = new ManualClock();
  const said: string[] = [];
  const identity = identityOf(`naa.${NAA}`);
  if (identity === undefined) throw new Error();
  const log = {
    info: (_: unknown, words?: string) => void said.push(words ?? ""),
    warn: (_: unknown, words?: string) => void said.push(words ?? ""),
  } as DevicePathsOptions["log"];
  const target = { again: repeatable("disk"), reservedBytes: 1 << 20, directIo: true };
  const paths = new DevicePaths({ device: "d0", words: `naa.${NAA}`, identity, target, clock, timers: clock, log });
  const open = (): FakeGroup => {
    const group = new FakeGroup();
    group.open(paths.target() as PathsTarget);
    return group;
  };
  const states = (): readonly string[] =>
    paths.facts().map(({ path, state, failures }) => `${path} ${state} ${failures}`);
  const settle = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let i = 0; i < 5; i++) await turn();
  };
  return { clock, paths, open, states, settle, said };
}

test("a device that is not there says so, and is there as soon as a node of it appears", (t) => {
  const { paths, states } = scene();
  t.false(paths.update([node("sg0", "1:0:0:0", OTHER)]));
  t.throws(() => paths.target(), { code: "DEVICE_PATH_FAILED", message: /d0 is not there.*naa\.5000c500a1b2c3d4/ });
  t.true(paths.update([node("sg0", "1:0:0:0", OTHER), node("sg1", "2:0:0:0")]));
  t.deepEqual(
    (paths.target() as PathsTarget).nodes.map(({ path, settle }) => [path, settle]),
    [["/dev/sg1", true]],
  );
  t.deepEqual(states(), ["/dev/sg1 standby 0"]);
});

test("two nodes of one unit are two paths; one that fails is dead, and tried again after a while", async (t) => {
  const { paths, open, states, settle } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const group = open();
  t.deepEqual(states(), ["/dev/sg0 active 0", "/dev/sg1 standby 0"]);
  group.fail("/dev/sg0");
  t.deepEqual(states(), ["/dev/sg0 dead 1", "/dev/sg1 active 0"]);
  group.refuses = true;
  await settle(999);
  t.deepEqual(group.added, []);
  await settle(1);
  t.deepEqual(group.added, ["/dev/sg0 settled"]);
  group.refuses = false;
  await settle(1999);
  t.is(group.added.length, 1, "longer each time");
  await settle(1);
  t.deepEqual(states(), ["/dev/sg0 standby 1", "/dev/sg1 active 0"]);
});

test("a node that is unplugged and comes back under another name is the same path again", async (t) => {
  const { paths, open, states, settle, said } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const group = open();
  t.false(paths.update([node("sg1", "2:0:0:0")]));
  t.deepEqual(group.nodes, ["/dev/sg1 standby"]);
  t.regex(states()[0] ?? "", /^\/dev\/sg0 dead/);
  t.true(said.includes("a path to a device is dead"));
  t.true(paths.update([node("sg1", "2:0:0:0"), node("sg7", "1:0:0:0")]));
  await settle(0);
  t.deepEqual(group.added, ["/dev/sg7 settled"]);
  t.is(states().length, 2);
  t.regex(states()[0] ?? "", /^\/dev\/sg7/);
});

test("a node that went and came between two looks is opened again", async (t) => {
  const { paths, open, settle } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const group = open();
  t.true(paths.update([node("sg1", "2:0:0:0"), node("sg7", "1:0:0:0")]));
  await settle(0);
  t.deepEqual(group.added, ["/dev/sg7 settled"]);
});

test("the name of a path that another device has now is another device", async (t) => {
  const { paths, open, settle } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const group = open();
  t.false(paths.update([node("sg0", "1:0:0:0", OTHER), node("sg1", "2:0:0:0")]));
  await settle(100_000);
  t.deepEqual(group.nodes, ["/dev/sg1 standby"]);
  t.deepEqual(group.added, []);
});

test("users of one device go the same way, and a path that one of them has open keeps its unit attentions", async (t) => {
  const { paths, open, states, settle } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const first = open();
  first.fail("/dev/sg0");
  const second = new FakeGroup();
  const target = paths.target() as PathsTarget;
  t.deepEqual(
    target.nodes.map(({ path, settle: alone }) => [path, alone]),
    [
      ["/dev/sg1", false],
      ["/dev/sg0", true],
    ],
  );
  second.open(target);
  t.deepEqual(states(), ["/dev/sg0 standby 1", "/dev/sg1 active 0"]);
  await settle(1000);
  t.deepEqual(first.added, ["/dev/sg0"]);
});

test("a unit that was closed is let go of, and nothing is tried for it any more", async (t) => {
  const { paths, open, states, settle } = scene();
  paths.update([node("sg0", "1:0:0:0"), node("sg1", "2:0:0:0")]);
  const group = open();
  group.fail("/dev/sg0");
  group.ended = true;
  group.changed?.();
  t.true(group.closed);
  await settle(60_000);
  t.deepEqual(group.added, []);
  t.deepEqual(states(), ["/dev/sg0 standby 1", "/dev/sg1 standby 0"]);
});

test("what may be carried out twice: a disk's reads and writes; of a tape only what leaves it where it is", (t) => {
  const may = (type: "disk" | "tape" | "changer", opcode: number): boolean =>
    ((repeatable(type)[opcode >> 3] ?? 0) & (1 << (opcode & 7))) !== 0;
  for (const opcode of [0x00, 0x12, 0x28, 0x2a, 0x88, 0x8a, 0x35, 0x91, 0x42]) t.true(may("disk", opcode), `${opcode}`);
  for (const opcode of [0x03, 0x89, 0x8b, 0x5f, 0x04, 0x48, 0x15]) t.false(may("disk", opcode), `${opcode}`);
  for (const opcode of [0x08, 0x0a, 0x10, 0x11, 0x01, 0x2b, 0x92, 0x91, 0x93, 0x4d, 0x1b])
    t.false(may("tape", opcode), `${opcode}`);
  for (const opcode of [0x00, 0x12, 0x34, 0x05]) t.true(may("tape", opcode), `${opcode}`);
  t.false(may("changer", 0xa5));
});
