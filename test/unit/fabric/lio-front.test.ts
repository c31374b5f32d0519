// The front end behind the kernel's target: nexuses and rings follow keys, one round at a time, and what fails is tried
// again without keeping others waiting.
import test from "ava";
import { LioFront, type LioHost } from "../../../src/fabric/lio/front.js";
import { HBA } from "../../../src/fabric/lio/tree.js";
import type { Rings } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";
import type { LioConfig } from "../../../src/sys/config-fabric.js";
import { MemoryTree } from "../../lib/configfs.js";

const LOCAL = "naa.600140500000FFFE";
const WWPN = "naa.2100000E1E30A5B8";
const LOOP: LioConfig = {
  fabric: "loopback",
  name: "naa.6001405000000001",
  initiator: LOCAL,
  luns: [
    { lun: 0, device: "disk0" },
    { lun: 1, device: "tape0" },
  ],
};
const FC: LioConfig = { fabric: "qla2xxx", name: "naa.2100001B321E9D60", luns: [{ lun: 0, device: "disk0" }] };

class Room {
  readonly tree = new MemoryTree();
  readonly clock = new ManualClock(0);
  readonly keys = new Map<string, readonly number[]>();
  readonly nexuses = new Map<number, string>();
  readonly closed: number[] = [];
  /** Ring → node. */
  readonly attached = new Map<number, string>();
  readonly warnings: unknown[] = [];
  #number = 0;
  busy = 0;

  readonly rings: Rings = {
    openNexus: () => ++this.#number,
    closeNexus: (nexus) => void this.closed.push(nexus),
    attach: (_nexus, _lun, { node }) => {
      this.attached.set(++this.#number, node);
      return this.#number;
    },
    detach: async (ring) => {
      this.attached.delete(ring);
    },
    stats: () => {
      throw new Error("nobody asks");
    },
  };

  readonly host: LioHost = {
    holders: () => [...this.keys.keys()],
    luns: (target) => [LOOP, FC].find(({ name }) => name === target)?.luns ?? [],
    opened: ({ nexus, initiator }) => {
      this.nexuses.set(nexus, initiator);
      // As the keeper of paths does: who sets paths says that they are others.
      this.front.look();
    },
    reachable: (nexus) => this.keys.get(this.nexuses.get(nexus) ?? "") ?? [],
    isSequential: (device) => device.startsWith("tape"),
  };

  readonly front = new LioFront({
    bridge: "test",
    rings: this.rings,
    tree: this.tree,
    uio: async (unit) => ({ node: unit, bytes: 1n }),
    host: this.host,
    timers: this.clock,
    log: { info: () => undefined, warn: (line: unknown) => void this.warnings.push(line) },
  });

  async settle(): Promise<void> {
    for (let turn = 0; turn < 400; turn++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    for (let turn = 0; turn < 400; turn++) await Promise.resolve();
  }

  units(): number {
    return [...this.tree.made].filter((path) => /^core\/user_\d+\/gantry_\w+$/.test(path)).length;
  }
}

test("a key brings nexus, ring and LUN, once; without it all three go", async (t) => {
  const room = new Room();
  room.front.set([LOOP]);
  await room.settle();
  t.is(room.units(), 0);
  room.keys.set(LOCAL, [0, 1]);
  room.front.look();
  room.front.look();
  await room.settle();
  t.is(room.nexuses.size, 1);
  t.is(room.units(), 2);
  t.is(room.attached.size, 2);
  t.is(room.tree.log.filter((line) => line.endsWith("/enable 1")).length, 2, "each was switched on once");
  room.keys.set(LOCAL, [1]);
  room.front.look();
  await room.settle();
  t.is(room.attached.size, 1);
  t.deepEqual(await room.tree.folders("loopback/naa.6001405000000001/tpgt_1/lun"), ["lun_1"]);
  room.keys.clear();
  room.front.look();
  await room.settle();
  t.deepEqual([room.units(), room.attached.size, room.closed.length], [0, 0, 1]);
});

test("names of another kind than the fabric's get no mapping", async (t) => {
  const room = new Room();
  room.keys.set("iqn.2024-01.org.example:a", [0]).set(WWPN, [0]);
  room.front.set([LOOP, FC]);
  await room.settle();
  t.deepEqual([...room.nexuses.values()], [WWPN]);
  t.true([...room.tree.linked.keys()].some((link) => link.includes("/acls/21:00:00:0e:1e:30:a5:b8/lun_0/")));
});

test("a ring that is broken is reset and served anew, one whose device is gone is made anew", async (t) => {
  const room = new Room();
  room.keys.set(LOCAL, [0]);
  room.front.set([LOOP]);
  await room.settle();
  const [first] = [...room.attached];
  if (first === undefined) return t.fail();
  room.front.onRing(first[0], "broken");
  await room.settle();
  t.is(room.tree.attributes.get(`${HBA}/${first[1]}/action/reset_ring`), "2");
  t.is(room.attached.size, 1);
  t.not([...room.attached.keys()][0], first[0]);
  t.is(room.warnings.length, 1);
});

test("what one fabric refuses is tried again, and does not keep the others waiting", async (t) => {
  const room = new Room();
  room.keys.set(LOCAL, [0]).set(WWPN, [0]);
  room.tree.refuse = (step) => step.startsWith("mkdir qla2xxx");
  room.front.set([FC, LOOP]);
  await room.settle();
  t.true([...room.tree.linked.keys()].some((link) => link.startsWith("loopback/")));
  t.regex(room.front.problem ?? "", /qla2xxx/);
  t.is(room.warnings.length, 1);
  room.clock.advance(1000);
  await room.settle();
  t.is(room.warnings.length, 1, "the same is told once");
  room.tree.refuse = () => false;
  room.clock.advance(60_000);
  await room.settle();
  t.true([...room.tree.linked.keys()].some((link) => link.startsWith("qla2xxx/")));
  t.is(room.front.problem, undefined);
});

test("a daemon that stops leaves the kernel as it is; one that is told to clear leaves nothing", async (t) => {
  const room = new Room();
  room.keys.set(LOCAL, [0, 1]);
  room.front.set([LOOP]);
  await room.settle();
  const before = [...room.tree.linked];
  room.front.stop();
  room.front.look();
  await room.settle();
  t.deepEqual([...room.tree.linked], before);
  const next = new Room();
  next.keys.set(LOCAL, [0, 1]);
  next.front.set([LOOP]);
  await next.settle();
  await next.front.clear();
  t.deepEqual([next.units(), next.attached.size, next.tree.linked.size], [0, 0, 0]);
});
