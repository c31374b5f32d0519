// One run of a program, ours or a peer's: how long it took, what it cost in processor time and in memory.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { EngineJob, EngineRun } from "./engine-child.js";

export interface Cost {
  readonly seconds: number;
  /** User and system together. */
  readonly cpuSeconds: number;
  readonly rssMib: number;
}

const KIB_OF_MIB = 1024;
const LOOK_MS = 4;
const ENGINE = fileURLToPath(new URL("./engine-child.js", import.meta.url));

/** One copy by the engine, in a process of its own; only the copy is timed, as only the copy is a job's. */
export async function runEngine(job: EngineJob): Promise<EngineRun> {
  const { out } = await run(process.execPath, [ENGINE, JSON.stringify(job)]);
  return JSON.parse(out) as EngineRun;
}

/** A peer's program from start to end. bash reports what its child used. */
export async function runPeer(program: string, args: readonly string[]): Promise<Cost> {
  const timed = ["-c", "TIMEFORMAT='@ %R %U %S'; time \"$@\"", "bash", program, ...args];
  const { err, rssMib } = await run("bash", timed, { LC_ALL: "C" });
  const [seconds, user, system] = /@ (\S+) (\S+) (\S+)/.exec(err)?.slice(1).map(Number) ?? [];
  if (seconds === undefined || user === undefined || system === undefined) throw new Error(`${program}: ${err}`);
  return { seconds, cpuSeconds: user + system, rssMib };
}

async function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ out: string; err: string; rssMib: number }> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let out = "";
  let err = "";
  let rssMib = 0;
  child.stdout.on("data", (data) => (out += String(data)));
  child.stderr.on("data", (data) => (err += String(data)));
  const look = setInterval(() => {
    for (const pid of childrenOf(child.pid ?? 0)) rssMib = Math.max(rssMib, memoryOf(pid, "VmHWM"));
  }, LOOK_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearInterval(look);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 3).join(" ")} ended with ${code}: ${err.slice(-2000)}`);
  return { out, err, rssMib };
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** MiB of a line of /proc/PID/status (VmRSS, VmHWM); 0 when the process is gone. */
export function memoryOf(pid: number, line: "VmRSS" | "VmHWM"): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(new RegExp(`^${line}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / KIB_OF_MIB;
  } catch {
    return 0;
  }
}

/** MiB that are resident in a process, without the arena: its ring is mapped twice in a row and would count twice. */
export function memoryBesideArena(pid: number): number {
  let kib = 0;
  let counts = false;
  let text = "";
  try {
    text = readFileSync(`/proc/${pid}/smaps`, "utf8");
  } catch {
    return 0;
  }
  for (const each of text.split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(each)) counts = !each.includes("gantry-arena");
    else if (counts && each.startsWith("Rss:")) kib += Number(/\d+/.exec(each)?.[0] ?? 0);
  }
  return kib / KIB_OF_MIB;
}
