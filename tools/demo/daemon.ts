// Starts a real gantryd with a configuration of its own, and stops it again.
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const GANTRYD = fileURLToPath(new URL("../../src/main.js", import.meta.url));

export interface Daemon {
  readonly process: ChildProcess;
  /** SIGTERM, then waits. Resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** `program` is the daemon in another form than the tree of modules: the bundle. */
export function startDaemon(directory: string, configuration: string, program: string = GANTRYD): Daemon {
  const file = join(directory, "gantry.toml");
  writeFileSync(file, configuration);
  const child = spawn(process.execPath, [program, "--config", file], { stdio: ["ignore", "pipe", "pipe"] });
  const log = createWriteStream(join(directory, "gantryd.log"));
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const exited = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
  return {
    process: child,
    stop: () => {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
