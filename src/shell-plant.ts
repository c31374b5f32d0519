// What the shell's care of the machine needs: the store, the machine's facts, the configuration file, the board.
import { randomUUID } from "node:crypto";
import { readFileSync, statfsSync } from "node:fs";
import { arch, cpus, freemem, loadavg, networkInterfaces, release, totalmem, uptime, version } from "node:os";
import type { App } from "./app.js";
import { runBoard } from "./board.js";
import { applyConfig, type ConfigFileOptions, checkConfig } from "./config-file.js";
import type { Native } from "./native/types.js";
import type { ShellPlant } from "./shell/room.js";

/** A name that nothing else has in the store. */
const PROBE = ["self-test"] as const;

export function shellPlant(app: App, native: Pick<Native, "crc32c">, file: ConfigFileOptions): ShellPlant {
  return {
    checkConfig: (text, name) => checkConfig(file, text, name),
    applyConfig: (text, name) => applyConfig(file, text, name),
    board: (what, args) => runBoard(what, app.config().board[what], args),
    probeStore: () => probe(app),
    freeBytes: (folder) => {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    },
    crc32c: (bytes) => native.crc32c(bytes),
    systemFacts,
  };
}

async function probe({ store }: App): Promise<void> {
  const text = Buffer.from(randomUUID());
  await store.put(PROBE, text);
  const back = store.get(PROBE);
  await store.delete(PROBE);
  if (back === undefined || !text.equals(back)) throw new Error("what was written does not come back");
}

function systemFacts(): Record<string, unknown> {
  const read = (path: string): string | undefined => {
    try {
      return readFileSync(path, "utf8").slice(0, 16_384);
    } catch {
      return undefined;
    }
  };
  return {
    kernel: `${version()} ${release()} ${arch()}`,
    os: read("/etc/os-release"),
    processors: cpus().map(({ model }) => model),
    memoryBytes: totalmem(),
    memoryFreeBytes: freemem(),
    load: loadavg(),
    machineUptimeS: Math.floor(uptime()),
    scsi: read("/proc/scsi/scsi"),
    sg: read("/proc/scsi/sg/devices"),
    mounts: read("/proc/self/mountinfo"),
    interfaces: Object.keys(networkInterfaces()),
  };
}
