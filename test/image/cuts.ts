// Power cuts at random moments of starting and working, with a disk that then loses what it was not told to flush: what
// was acknowledged is there afterwards, and so is the configuration.
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Lot } from "../kill/random.js";
import type { Bench } from "./lib/bench.js";
import type { Findings } from "./lib/test.js";
import { Vm, type VmOptions } from "./lib/vm.js";
import { VolatileDisk } from "./lib/volatile-disk.js";

/** Every so many cuts one comes right after a new configuration was acknowledged. */
const CONFIGURE_EVERY = 5;
const START_MS = 45_000;
const WORK_MS = 30_000;
const CACHED_MS = 20_000;
const ONLINE_MS = 300_000;

interface Work {
  readonly acknowledged: string[];
  /** What was refused last, if anything was. */
  readonly refused: () => string;
  stop(): Promise<void>;
}

export async function cuts(machine: VmOptions, bench: Bench, count: number, lot: Lot, find: Findings): Promise<void> {
  const before = await identity(machine, bench);
  const served = join(bench.folder, "disk.sock");
  const disk = await VolatileDisk.start(machine.disk.file, served);
  const options = { ...machine, disk: { ...machine.disk, served } };
  const acknowledged: string[] = [];
  let [configured, number, whileStarting] = [bench.configuration, 0, 0];
  for (let cut = 1; cut <= count; cut++) {
    const vm = await Vm.start(options);
    const previous = bench.bootId;
    let what: string;
    if (cut % CONFIGURE_EVERY === 0) {
      await bench.online(ONLINE_MS, previous);
      configured = `${bench.configuration}# the ${cut}th cut\n`;
      await configure(bench, configured);
      await sleep(lot.next() * 500);
      what = "after a new configuration";
    } else {
      const work = submitAll(bench, previous, `cut${cut}x`);
      // A third of the cuts find it starting.
      const early = lot.next() < 1 / 3;
      if (early) await sleep(lot.next() * START_MS);
      else {
        await bench.online(ONLINE_MS, previous);
        await sleep(lot.next() * WORK_MS);
      }
      if (early) whileStarting++;
      await somethingCached(disk, lot);
      await vm.kill();
      await work.stop();
      acknowledged.push(...work.acknowledged);
      const { length } = work.acknowledged;
      const refused = length === 0 && work.refused() !== "" ? ` (${work.refused()})` : "";
      what = `${early ? "while it started" : "at work"}, ${length} jobs acknowledged${refused}`;
    }
    await vm.kill();
    const lost = await disk.cut(lot);
    number++;
    find.step(`cut ${cut} of ${count}: ${what}; ${lost.sectors} of ${lost.of} cached sectors lost`);
  }
  const vm = await Vm.start(options);
  try {
    await bench.online(ONLINE_MS, bench.bootId);
    await checkJobs(bench, acknowledged, find);
    await vm.rootShell();
    const digest = createHash("sha256").update(configured).digest("hex");
    const found = await vm.run("sha256sum </etc/gantry/gantry.toml");
    find.check("the configuration that was acknowledged last is there", found.startsWith(digest), found);
    await vm.run("systemctl is-system-running --wait", { timeoutMs: 300_000, anyCode: true });
    const failed = await vm.run("systemctl --no-legend --no-pager --plain list-units --state=failed");
    find.check("no unit has failed after the cuts", failed === "", failed);
    const trouble = await vm.run("journalctl -b -k --no-pager -o cat | grep -i 'ext4.*error\\|no state' || true");
    find.check("the state is in order", trouble === "", trouble);
    const after = await identityIn(vm);
    find.check("the bridge is still who it was", after === before, after);
    find.check(
      `the power was cut ${number} times`,
      number === count,
      `${whileStarting} while it started, ${acknowledged.length} jobs acknowledged`,
    );
  } finally {
    await vm.kill();
    await disk.stop();
  }
}

/** A job is stored and flushed within milliseconds: half of the cuts wait for the moment in between. */
async function somethingCached(disk: VolatileDisk, lot: Lot): Promise<void> {
  const until = performance.now() + CACHED_MS;
  if (lot.next() < 0.5) while (disk.cachedBytes === 0 && performance.now() < until) await sleep(1);
}

async function identity(options: VmOptions, bench: Bench): Promise<string> {
  const before = bench.bootId;
  const vm = await Vm.start(options);
  await bench.online(ONLINE_MS, before);
  await vm.rootShell();
  const found = await identityIn(vm);
  await vm.kill();
  return found;
}

const identityIn = (vm: Vm): Promise<string> =>
  vm.run("cat /etc/machine-id; cut -c 1-60 /var/lib/bridge/ssh/ssh_host_ed25519_key.pub");

async function configure(bench: Bench, text: string): Promise<void> {
  const file = join(bench.folder, "new.toml");
  await writeFile(file, text);
  await bench.copy(file, "new.toml");
  const { code, out, err } = await bench.ssh("config apply /var/lib/admin/new.toml");
  if (code !== 0) throw new Error(`config apply: ${out}${err}`);
}

/** Submits job after job as soon as the bridge is online, until it is told to stop. */
function submitAll(bench: Bench, previous: string | undefined, prefix: string): Work {
  const acknowledged: string[] = [];
  let [stopped, refused] = [false, ""];
  const going = (async () => {
    for (let next = 1; !stopped; ) {
      if (bench.bootId === undefined || bench.bootId === previous) {
        await sleep(50);
        continue;
      }
      const jobId = `${prefix}${next}`;
      const done = await Promise.race([
        bench.submit(jobId, `list-${prefix}`).then(
          () => true,
          (error: Error) => {
            refused = error.message;
            return false;
          },
        ),
        (async () => {
          while (!stopped) await sleep(50);
          return false;
        })(),
      ]);
      if (done) {
        acknowledged.push(jobId);
        next++;
      }
    }
  })();
  return {
    acknowledged,
    refused: () => refused,
    stop: async () => {
      stopped = true;
      await going;
    },
  };
}

async function checkJobs(bench: Bench, jobs: readonly string[], find: Findings): Promise<void> {
  const wrong: string[] = [];
  for (const jobId of jobs) {
    let state = "";
    for (let tries = 0; tries < 180; tries++) {
      state = await bench.jobState(jobId).catch((error: Error) => error.message);
      if (!/^(queued|running|waiting|paused|accepted)/.test(state)) break;
      await sleep(1000);
    }
    if (state !== "succeeded") wrong.push(`${jobId}: ${state}`);
  }
  find.check("every acknowledged job is there, and ends well", wrong.length === 0 && jobs.length > 0, wrong.join("; "));
}
