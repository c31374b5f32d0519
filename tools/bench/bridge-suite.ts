// The suite "bridge": servers' commands through gate and arbiter, side by side with tgtd on the same file in memory and
// under the same load; what loopback can do at most; and what many keys cost.
import { join } from "node:path";
import { buildLoad, type LoadResult, measureLoopback, runLoad } from "./bridge-load.js";
import { type BridgePlant, type Loaded, startBridgePlant } from "./bridge-plant.js";
import { fill } from "./copy.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";

const KIB = 1024;
const MEGA = 1e6;
const MANY_SESSIONS = 16;
const MANY_KEYS = 10_000;
const QUICK_KEYS = 50;
const SECONDS = 1;
const QUICK_SECONDS = 0.05;
const QUICK_COMMANDS = 64;
const QUICK_AT_MOST_S = 30;
const WARM_SECONDS = 0.2;
/** Of a core; above it the client cannot do more. */
const CLIENT_FULL = 0.9;
const GATE_LEAST = 0.97;
const GATE_CPU_MOST = 1.03;

interface Point {
  readonly kib: number;
  /** Commands outstanding in all sessions together, but at least one in each. */
  readonly depth: number;
  readonly mode: "read" | "write";
  /** Throughput of ours against tgtd's, with one session. */
  readonly least: number;
}

const POINTS: readonly Point[] = [
  { kib: 4, depth: 1, mode: "read", least: 1.3 },
  { kib: 4, depth: 1, mode: "write", least: 1.3 },
  { kib: 4, depth: 32, mode: "read", least: 2 },
  { kib: 4, depth: 32, mode: "write", least: 2 },
  { kib: 256, depth: 16, mode: "read", least: 1.2 },
  { kib: 256, depth: 16, mode: "write", least: 2 },
  { kib: 1024, depth: 8, mode: "read", least: 1.5 },
  { kib: 1024, depth: 8, mode: "write", least: 1.8 },
];
/** The point at which the cost of the gate is measured. */
const GATE_POINT: Point = { kib: 4, depth: 32, mode: "read", least: 0 };

interface Load extends Point {
  readonly sessions: number;
}

export async function measureBridge(options: BenchOptions): Promise<readonly Row[]> {
  const { folder, mib, quick, say } = options;
  const disk = join(folder, "lun.img");
  await buildLoad();
  await fill(disk, mib);
  say("bridge: starting gantryd twice, and tgtd; installing keys");
  const plant = await startBridgePlant(folder, disk, quick ? QUICK_KEYS : MANY_KEYS);
  try {
    const loads = [1, MANY_SESSIONS].flatMap((sessions) => POINTS.map((point) => ({ ...point, sessions })));
    const rows = await limits(options);
    for (const load of loads) rows.push(...(await against(options, plant, load)));
    for (const sessions of [1, MANY_SESSIONS]) rows.push(...(await gate(options, plant, { ...GATE_POINT, sessions })));
    return rows;
  } finally {
    await plant.close();
  }
}

async function limits({ runs, quick }: BenchOptions): Promise<Row[]> {
  const found = [];
  for (let index = 0; index < runs; index++) found.push(await measureLoopback(quick ? QUICK_SECONDS : SECONDS / 2));
  const common = { peerName: "limit of this machine" };
  return [
    row({
      ...common,
      name: "loopback, one TCP stream",
      unit: "MB/s",
      ours: found.map((each) => each.bytesPerS / MEGA),
    }),
    row({
      ...common,
      name: "loopback, 48 bytes there and back",
      unit: "/s",
      ours: found.map((each) => each.pingPongsPerS),
    }),
  ];
}

const once = ({ quick }: BenchOptions, where: Loaded, { kib, depth, mode, sessions }: Load): Promise<LoadResult> =>
  runLoad({
    ...where,
    bytes: kib * KIB,
    depth: Math.max(1, depth / sessions),
    mode,
    sessions,
    // A quick run is to end with a figure, however slow the machine is.
    ...(quick ? { commands: QUICK_COMMANDS, seconds: QUICK_AT_MOST_S } : { seconds: SECONDS }),
    warm: quick ? 0 : WARM_SECONDS,
  });

const nameOf = ({ kib, depth, mode, sessions }: Load): string =>
  `${kib >= KIB ? `${kib / KIB} MiB` : `${kib} KiB`} ${mode} QD${Math.max(depth, sessions)}, ${sessions} session${sessions > 1 ? "s" : ""}`;

const perS = ({ commands, seconds }: LoadResult): number => commands / seconds;
const cpuUs = ({ commands, targetCpuSeconds }: LoadResult): number => (targetCpuSeconds / commands) * MEGA;
const clientLoad = ({ clientCpuSeconds, seconds }: LoadResult): number => clientCpuSeconds / seconds;

async function against(options: BenchOptions, plant: BridgePlant, load: Load): Promise<Row[]> {
  const [ours, theirs]: [LoadResult[], LoadResult[]] = [[], []];
  const name = nameOf(load);
  options.say(`bridge: ${name}`);
  for (let index = 0; index < options.runs; index++) {
    ours.push(await once(options, plant.oneKey, load));
    theirs.push(await once(options, plant.tgtd, load));
  }
  const small = load.kib === 4;
  const amount = (each: LoadResult): number => (small ? perS(each) : (perS(each) * load.kib * KIB) / MEGA);
  // Where the client's core is full, half the processor time for a command is as good as twice the commands.
  const full = small && load.depth > 1 && ours.every((each) => clientLoad(each) > CLIENT_FULL);
  const judged = load.sessions === 1;
  return [
    row({
      name,
      unit: small ? "/s" : "MB/s",
      ours: ours.map(amount),
      peer: theirs.map(amount),
      peerName: "tgtd",
      ...(judged && !full && { target: load.least }),
    }),
    row({
      name: "  processor of the target",
      unit: "us/command",
      ours: ours.map(cpuUs),
      peer: theirs.map(cpuUs),
      peerName: "tgtd",
      lowerIsBetter: true,
      ...(judged && full && { target: 1 / load.least }),
    }),
    row({
      name: "  latency, median",
      unit: "us",
      ours: ours.map((each) => each.p50Us),
      peer: theirs.map((each) => each.p50Us),
      peerName: "tgtd",
      lowerIsBetter: true,
    }),
    row({
      name: "  processor of the client",
      unit: "cores",
      ours: ours.map(clientLoad),
      peer: theirs.map(clientLoad),
      peerName: "under tgtd",
      lowerIsBetter: true,
    }),
  ];
}

/** Many keys against one, in two daemons that are otherwise the same. */
async function gate(options: BenchOptions, plant: BridgePlant, load: Load): Promise<Row[]> {
  const [many, one]: [LoadResult[], LoadResult[]] = [[], []];
  const keys = options.quick ? QUICK_KEYS : MANY_KEYS;
  const name = `${keys} keys: ${nameOf(load)}`;
  options.say(`bridge: ${name}`);
  // The difference is small, so there are twice as many runs.
  for (let index = 0; index < options.runs * 2; index++) {
    const both = [
      async () => void many.push(await once(options, plant.manyKeys, load)),
      async () => void one.push(await once(options, plant.oneKey, load)),
    ];
    // Neither is always the one after the other.
    for (const run of index % 2 === 0 ? both : both.reverse()) await run();
  }
  return [
    row({ name, unit: "/s", ours: many.map(perS), peer: one.map(perS), peerName: "one key", target: GATE_LEAST }),
    row({
      name: "  processor of the target",
      unit: "us/command",
      ours: many.map(cpuUs),
      peer: one.map(cpuUs),
      peerName: "one key",
      lowerIsBetter: true,
      target: GATE_CPU_MOST,
    }),
  ];
}
