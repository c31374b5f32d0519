import { setTimeout as later } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { Discovery, type DiscoveryOptions } from "../../../src/device/discovery/discovery.js";
import { type ScsiNode, scanNodes } from "../../../src/device/discovery/sysfs.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { SysfsTree } from "../../lib/sysfs-tree.js";
import { tmpDir } from "../../lib/tmp.js";

const NAA = "5000c500a1b2c3d4";

async function scene(t: ExecutionContext, more: Partial<DiscoveryOptions> = {}) {
  const tree = new SysfsTree(await tmpDir(t));
  const timers = new ManualClock();
  const told: (readonly ScsiNode[])[] = [];
  const heard: { change?: () => void } = {};
  const said: string[] = [];
  const options: DiscoveryOptions = {
    places: { sys: tree.sys, dev: "/dev" },
    timers,
    log: {
      info: (_: unknown, words?: string) => void said.push(words ?? ""),
      debug: () => {},
      error: (_: unknown, words?: string) => void said.push(words ?? ""),
    } as DiscoveryOptions["log"],
    ask: () => Promise.reject(new Error("no answer")),
    listen: (change) => {
      heard.change = change;
      return () => delete heard.change;
    },
    onChange: (nodes) => void told.push(nodes),
    ...more,
  };
  const discovery = new Discovery(options);
  t.teardown(() => discovery.stop());
  return { tree, timers, told, heard, said, discovery };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await later(5);
}

test("nodes are read as the kernel shows them, in the order of their numbers", async (t) => {
  const tree = new SysfsTree(await tmpDir(t));
  tree.add("sg10", "2:0:0:1", { naa: NAA, type: 1 });
  tree.add("sg2", "1:0:0:0", { serial: "7" });
  const nodes = await scanNodes({ sys: tree.sys, dev: "/dev" });
  t.deepEqual(
    nodes.map(({ path, address, type, vendor, state }) => [path, address, type, vendor, state]),
    [
      ["/dev/sg2", "1:0:0:0", 0, "ACME", "running"],
      ["/dev/sg10", "2:0:0:1", 1, "ACME", "running"],
    ],
  );
  t.is(nodes[0]?.identification, undefined);
  t.is(nodes[1]?.identification?.length, 24);
  t.deepEqual(await scanNodes({ sys: "/nowhere", dev: "/dev" }), []);
});

test("a change that the kernel tells is looked at once the messages stop for a moment, and told when it is one", async (t) => {
  const { tree, timers, told, heard, discovery } = await scene(t);
  await discovery.start();
  t.deepEqual(told, []);
  tree.add("sg0", "1:0:0:0", { naa: NAA });
  for (let i = 0; i < 50; i++) heard.change?.();
  t.is(timers.pending, 1);
  timers.advance(100);
  await until(() => told.length === 1);
  t.is(told[0]?.[0]?.path, "/dev/sg0");
  heard.change?.();
  timers.advance(100);
  await discovery.look();
  t.is(told.length, 1, "nothing is other than before");
  // The same name and address, but another device.
  tree.remove("sg0");
  tree.add("sg0", "1:0:0:0", { naa: NAA });
  await discovery.look();
  t.is(told.length, 2);
  t.not(told[1]?.[0]?.stamp, told[0]?.[0]?.stamp);
  t.is(timers.pending, 0, "nothing runs while nothing happens");
});

test("where the kernel cannot be heard it is said once and looked now and then", async (t) => {
  const { tree, timers, told, said, discovery } = await scene(t, {
    listen: () => {
      throw new Error("EPERM");
    },
  });
  await discovery.start();
  t.is(said.length, 1);
  tree.add("sg0", "1:0:0:0", { naa: NAA });
  timers.advance(10_000);
  await until(() => told.length === 1);
  tree.remove("sg0");
  await until(() => timers.pending === 1);
  timers.advance(10_000);
  await until(() => told.length === 2);
  t.deepEqual(told[1], []);
  t.is(said.length, 1);
});

test("a device whose pages the kernel does not have is asked, once if it answers", async (t) => {
  const asked: string[] = [];
  let answers = false;
  const { tree, told, discovery } = await scene(t, {
    ask: (path) => {
      asked.push(path);
      return answers
        ? Promise.resolve({ serial: Buffer.from([0, 0x80, 0, 1, 0x37]) })
        : Promise.reject(new Error("no"));
    },
  });
  tree.add("sg0", "1:0:0:0", {});
  tree.add("sg1", "1:0:0:1", { naa: NAA });
  await discovery.start();
  t.is(told[0]?.[0]?.serial, undefined);
  answers = true;
  await discovery.look();
  await discovery.look();
  t.deepEqual(asked, ["/dev/sg0", "/dev/sg0"]);
  t.is(told[1]?.[0]?.serial?.length, 5);
});

test("what goes wrong with one look is said, and the next one is made", async (t) => {
  let wrong = true;
  const seen: number[] = [];
  const { tree, timers, heard, said, discovery } = await scene(t, {
    onChange: (nodes) => {
      seen.push(nodes.length);
      if (wrong && nodes.length === 1) throw new Error("a defect");
    },
  });
  await discovery.start();
  tree.add("sg0", "1:0:0:0", { naa: NAA });
  heard.change?.();
  timers.advance(1000);
  await until(() => said.length === 1);
  t.regex(said[0] ?? "", /defect/);
  wrong = false;
  tree.add("sg1", "1:0:0:1", { naa: NAA });
  heard.change?.();
  timers.advance(1000);
  await until(() => seen.includes(2));
  t.is(said.length, 1);
});
