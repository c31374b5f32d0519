// What the tests of the daemon's life share: gantryd as a process whose configuration, environment and output are the
// test's own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./kill-parts.js";

export const GANTRYD = fileURLToPath(new URL("../../src/main.js", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of ours to its end. The event loop goes on: other programs' output must not dam up meanwhile. */
export async function runProgram(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", ...env },
    timeout: 60_000,
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

export interface Teardown {
  teardown(end: () => unknown): void;
}

/** The smallest configuration; MQTT goes to a port where nobody listens unless one is given. */
export function smallConfig(directory: string, more = "", port = 1): string {
  return `[bridge]
id = "daemon-test"
state_dir = "${join(directory, "state")}"
[memory]
arena_mib = 8
[control]
url = "mqtt://127.0.0.1:${port}"
${more}`;
}

export class DaemonProcess {
  readonly process: ChildProcess;
  readonly file: string;
  #output = "";
  readonly exited: Promise<number | null>;

  constructor(owner: Teardown, directory: string, configuration: string, env: NodeJS.ProcessEnv = {}) {
    this.file = join(directory, "gantry.toml");
    writeFileSync(this.file, configuration);
    this.process = spawn(process.execPath, [GANTRYD, "--config", this.file], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.process.stdout, this.process.stderr])
      stream?.on("data", (data) => (this.#output += String(data)));
    this.exited = once(this.process, "close").then(([code]) => code as number | null);
    owner.teardown(async () => {
      if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL");
      await this.exited;
    });
  }

  /** Lines of the log so far. */
  get log(): readonly Record<string, unknown>[] {
    return this.#output
      .split("\n")
      .filter((line) => line.startsWith("{") && line.endsWith("}"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get output(): string {
    return this.#output;
  }

  has(message: string | RegExp): boolean {
    return this.log.some(({ msg }) =>
      typeof message === "string" ? String(msg).includes(message) : message.test(String(msg)),
    );
  }

  async logged(message: string | RegExp): Promise<void> {
    await until(`the log says ${message}; it says:\n${this.#output}`, () => {
      if (this.process.exitCode !== null && !this.has(message)) throw new Error(`gantryd ended:\n${this.#output}`);
      return this.has(message);
    });
  }

  async stop(): Promise<number | null> {
    this.process.kill("SIGTERM");
    return this.exited;
  }
}
