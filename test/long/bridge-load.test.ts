// Five minutes of load on the bridge: 16 sessions read and write an emulated disk, and every byte that they read is what
// was written last.
import { join } from "node:path";
import test from "ava";
import { BenchBridge } from "../../tools/bench/bridge.js";
import { buildLoad, runLoad } from "../../tools/bench/bridge-load.js";
import { memoryBesideArena } from "../../tools/bench/run.js";
import { freePort } from "../lib/mosquitto.js";
import { makeImage } from "../lib/server-files.js";
import { tmpDir } from "../lib/tmp.js";

const TARGET = "iqn.2024-01.test.gantry:long";
const INITIATOR = "iqn.2024-01.test.gantry:load";
const DISK_MIB = 256;
const SESSIONS = 16;
const SECONDS = 100;
/** What a run may leave behind in the daemon's memory. */
const GROWTH_MIB = 16;
const LOADS = [
  { bytes: 4096, depth: 16, order: "random" },
  { bytes: 256 * 1024, depth: 4, order: "random" },
  { bytes: 1024 * 1024, depth: 2, order: "sequential" },
] as const;

test("16 sessions find for five minutes what they wrote, and leave nothing behind", async (t) => {
  await buildLoad();
  const directory = await tmpDir(t, "load");
  const bridge = await BenchBridge.make(join(directory, "bridge"));
  t.teardown(() => bridge.close());
  const disk = join(directory, "disk.img");
  makeImage(disk, DISK_MIB);
  const port = await freePort();
  const luns = `[{ lun = 0, device = "disk0" }]`;
  await bridge.start(
    disk,
    undefined,
    `[iscsi]\nportals = ["127.0.0.1:${port}"]\n[[target]]\nname = "${TARGET}"\nluns = ${luns}\n`,
  );
  await bridge.online();
  await bridge.grant(INITIATOR, ["disk0"]);
  const where = { port, target: TARGET, lun: 0, initiator: INITIATOR, pid: bridge.pid };
  const load = (seconds: number, each: (typeof LOADS)[number]) =>
    runLoad({ ...where, ...each, mode: "mix", verify: true, sessions: SESSIONS, seconds });
  // What is allocated once is there after a first turn.
  for (const each of LOADS) await load(2, each);
  const beforeMib = memoryBesideArena(bridge.pid);
  for (const each of LOADS) {
    const { commands, verified, seconds, targetCpuSeconds } = await load(SECONDS, each);
    t.log(
      `${each.bytes} bytes: ${commands} commands in ${seconds.toFixed(0)} s, ${verified} reads verified, ${targetCpuSeconds} s`,
    );
    t.true(verified > SESSIONS * each.depth);
  }
  const grownMib = memoryBesideArena(bridge.pid) - beforeMib;
  t.true(grownMib < GROWTH_MIB, `the daemon grew by ${grownMib.toFixed(1)} MiB`);
});
