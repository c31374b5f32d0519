// The load generator and the measure of loopback: programs in C, built when they are needed, and what they say.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../src/native/addon.js";

const run = promisify(execFile);
const PROGRAMS = ["iscsi-load", "loopback"] as const;
/** What a run may take beyond its own time. */
const SLACK_MS = 120_000;

export interface LoadOptions {
  readonly port: number;
  readonly target: string;
  readonly lun: number;
  readonly initiator?: string;
  readonly sessions?: number;
  /** Commands outstanding in each session. */
  readonly depth?: number;
  readonly bytes?: number;
  readonly mode?: "read" | "write" | "mix";
  readonly order?: "sequential" | "random";
  readonly verify?: boolean;
  /** With verify: of how many commands' room each slot has its part of the disk; without it, all that there is. */
  readonly span?: number;
  /** Whose processor time is counted. */
  readonly pid?: number;
  readonly seconds: number;
  readonly warm?: number;
  /** Ends after so many instead; `seconds` is then the most that it may take. */
  readonly commands?: number;
}

export interface LoadResult {
  readonly commands: number;
  readonly seconds: number;
  readonly targetCpuSeconds: number;
  readonly clientCpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Reads whose every byte was as it was written. */
  readonly verified: number;
}

/** Builds what has changed; several processes may ask at once. */
export async function buildLoad(): Promise<void> {
  const root = packageRoot();
  const build = ["cmake", "--build", join(root, "build"), "--target", ...PROGRAMS];
  await run("flock", [join(root, "build", ".native.lock"), ...build], { cwd: root });
}

/** Rejects with what the program says when a status is not GOOD, a byte is wrong, or the target is gone. */
export async function runLoad({ verify, ...options }: LoadOptions): Promise<LoadResult> {
  const args = Object.entries(options).map(([key, value]) => `${key}=${value}`);
  if (verify === true) args.push("verify=yes");
  const timeout = options.seconds * 1000 + SLACK_MS;
  const { stdout } = await run(program("iscsi-load"), args, { timeout, killSignal: "SIGKILL" });
  return JSON.parse(stdout) as LoadResult;
}

export interface Loopback {
  readonly bytesPerS: number;
  readonly pingPongsPerS: number;
}

export async function measureLoopback(seconds: number): Promise<Loopback> {
  const { stdout } = await run(program("loopback"), [String(seconds)]);
  return JSON.parse(stdout) as Loopback;
}

const program = (name: (typeof PROGRAMS)[number]): string => join(packageRoot(), "build", "bin", name);
