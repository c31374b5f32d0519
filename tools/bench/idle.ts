// The suite "idle": what the daemon costs while it does nothing and while it copies, beside a bare Node; how long it
// takes to start; and how large it and its run-time dependencies are. The targets are for the bundle, which is what a
// bridge runs; the tree of modules, as tests and demo run it, stands beside it.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packageRoot } from "../../src/native/addon.js";
import { DAEMON, makeBundle } from "../bundle/bundle.js";
import { BenchBridge, DISK_BLOCK_BYTES } from "./bridge.js";
import { fill } from "./copy.js";
import { makeList } from "./lists.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";
import { memoryBesideArena } from "./run.js";

const MIB = 1024 * 1024;
const SETTLE_MS = 2000;
const LOOK_MS = 20;
const EXTENT_BLOCKS = 16;
const LARGEST = 8;
const TARGET_START_MS = 150;
const TARGET_IDLE_MIB = 30;
const TARGET_COPYING_MIB = 48;

interface Outcome {
  readonly readyMs: number;
  readonly idleMib: number;
  readonly copyingMib: number;
}

/** The daemon in one of its forms, and what was found of it. */
interface Form {
  readonly name: string;
  /** Undefined: the tree of modules. */
  readonly program: string | undefined;
  readonly found: Outcome[];
}

export async function measureIdle(options: BenchOptions): Promise<readonly Row[]> {
  const { folder, mib, runs, say } = options;
  const disk = join(folder, "disk.img");
  await fill(disk, mib);
  const bareMib: number[] = [];
  const bareMs: number[] = [];
  const bundle = join(folder, "bundle");
  await makeBundle(bundle);
  const forms: readonly Form[] = [
    { name: "bundle", program: join(bundle, DAEMON), found: [] },
    { name: "tree of modules", program: undefined, found: [] },
  ];
  for (let index = 0; index < runs; index++) {
    say(`idle: run ${index + 1} of ${runs}`);
    bareMs.push(await bareStart());
    bareMib.push(await bareMemory());
    for (const { program, found } of forms) {
      const own = join(folder, `bridge-${index}`);
      found.push(await daemon(own, disk, mib, program));
      rmSync(own, { recursive: true, force: true });
    }
  }
  return [
    ...forms.flatMap((form, index) => rowsOf(form, bareMs, bareMib, index === 0)),
    size("bundle with its addons", sizeOf(bundle) / MIB),
    ...dependencies(),
  ];
}

function rowsOf({ name, found }: Form, bareMs: readonly number[], bareMib: readonly number[], judged: boolean): Row[] {
  const measures = [
    { what: "start to ready", unit: "ms", key: "readyMs", bare: bareMs, peerName: "node -e 0", most: TARGET_START_MS },
    { what: "idle", unit: "MiB", key: "idleMib", bare: bareMib, peerName: "bare node", most: TARGET_IDLE_MIB },
    { what: "copying", unit: "MiB", key: "copyingMib", bare: bareMib, peerName: "bare node", most: TARGET_COPYING_MIB },
  ] as const;
  return measures.flatMap(({ what, unit, key, bare, peerName, most }) => {
    const ours = found.map((run) => run[key]);
    const common = { unit, lowerIsBetter: true } as const;
    return [
      row({
        ...common,
        name: `${name}: ${what}, more`,
        ours: ours.map((value, index) => value - (bare[index] ?? 0)),
        peerName: `above the ${peerName} before it`,
        ...(judged ? { target: most } : {}),
      }),
      row({ ...common, name: `${name}: ${what}`, ours, peer: bare, peerName }),
    ];
  });
}

async function bareStart(): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, ["-e", "0"], { stdio: "ignore" });
  await new Promise((resolve) => child.once("exit", resolve));
  return performance.now() - start;
}

async function bareMemory(): Promise<number> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" });
  await sleep(SETTLE_MS);
  const mib = memoryBesideArena(child.pid ?? 0);
  child.kill("SIGKILL");
  return mib;
}

async function daemon(folder: string, disk: string, mib: number, program: string | undefined): Promise<Outcome> {
  const bridge = await BenchBridge.make(folder);
  let look: NodeJS.Timeout | undefined;
  try {
    const readyMs = await bridge.start(disk, program);
    await bridge.online();
    await sleep(SETTLE_MS);
    const idleMib = memoryBesideArena(bridge.pid);
    const jobId = randomUUID();
    const key = await bridge.key(jobId);
    const extents = (mib * MIB) / DISK_BLOCK_BYTES / (2 * EXTENT_BLOCKS);
    const { header, chunks } = makeList("list", extents, EXTENT_BLOCKS);
    let copyingMib = 0;
    look = setInterval(() => {
      copyingMib = Math.max(copyingMib, memoryBesideArena(bridge.pid));
    }, LOOK_MS);
    await bridge.session.client.sendList(header, "disk0", chunks);
    const report = await bridge.session.run({
      jobId,
      type: "backup",
      keys: [key],
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: ["BENCH1"] },
      listId: header.listId,
      volume: header.volume,
    });
    if (report.state !== "succeeded") throw new Error(`the job ended as ${report.state}: ${report.failure?.message}`);
    return { readyMs, idleMib, copyingMib };
  } finally {
    clearInterval(look);
    await bridge.close();
  }
}

/** Every package that a production install brings, largest first. */
function dependencies(): Row[] {
  const root = packageRoot();
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  const sizes = Object.entries(packages)
    // As npm ci --omit=dev: what is for development only stays out, what somebody may want as a peer comes in, and
    // what is for another system is not there.
    .filter(([path, { dev }]) => path !== "" && dev !== true && existsSync(join(root, path)))
    .map(([path]) => ({ name: path.slice("node_modules/".length), mib: sizeOf(join(root, path)) / MIB }))
    .sort((a, b) => b.mib - a.mib);
  const total = sizes.reduce((sum, { mib }) => sum + mib, 0);
  return [
    size(`run-time dependencies, ${sizes.length} packages`, total),
    ...sizes.slice(0, LARGEST).map(({ name, mib }) => size(`  ${name}`, mib)),
  ];
}

const size = (name: string, mib: number): Row =>
  row({ name, unit: "MiB", ours: [mib], peerName: "none", lowerIsBetter: true });

/** Bytes of a package's own files; packages inside of it are counted by themselves. */
function sizeOf(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += entry.name === "node_modules" ? 0 : sizeOf(path);
    else bytes += lstatSync(path).size;
  }
  return bytes;
}
