// What the suite "bridge" measures: one file in memory as a LUN of gantryd, once with a single key and once with many,
// and as a LUN of tgtd.
import { join } from "node:path";
import { BenchBridge } from "./bridge.js";
import { freePort, startTarget, TARGET } from "./copy-iscsi.js";

const INITIATOR = "iqn.2024-01.test.gantry:load";
/** A disk of the daemon's configuration, and its LUN in the target. */
const DISK = "disk0";
const LUN = 1;
/** Keys that are on their way at a time. */
const INSTALLING = 32;

/** A target under load: where it is, and whose processor time it costs. */
export interface Loaded {
  readonly port: number;
  readonly target: string;
  readonly lun: number;
  readonly initiator: string;
  readonly pid: number;
}

export interface BridgePlant {
  readonly oneKey: Loaded;
  readonly manyKeys: Loaded;
  readonly tgtd: Loaded;
  close(): Promise<void>;
}

export async function startBridgePlant(folder: string, disk: string, keys: number): Promise<BridgePlant> {
  const undo: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const oneKey = await startBridge(join(folder, "one-key"), disk, 1, undo);
    const manyKeys = await startBridge(join(folder, "many-keys"), disk, keys, undo);
    const { portal, daemon } = await startTarget(folder, [disk]);
    undo.push(async () => void daemon.kill("SIGKILL"));
    const port = Number(portal.split(":")[1]);
    const tgtd = { port, target: TARGET, lun: LUN, initiator: INITIATOR, pid: daemon.pid ?? 0 };
    return { oneKey, manyKeys, tgtd, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startBridge(folder: string, disk: string, keys: number, undo: (() => Promise<void>)[]): Promise<Loaded> {
  const bridge = await BenchBridge.make(folder);
  undo.push(() => bridge.close());
  const port = await freePort();
  const luns = `[{ lun = ${LUN}, device = "${DISK}" }]`;
  const fabric = `[iscsi]\nportals = ["127.0.0.1:${port}"]\n[[target]]\nname = "${TARGET}"\nluns = ${luns}\n`;
  await bridge.start(disk, undefined, fabric);
  await bridge.online();
  const names = Array.from({ length: keys - 1 }, (_, index) => `iqn.2024-01.test.gantry:other-${index}`);
  const waiting = [INITIATOR, ...names];
  const install = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await bridge.grant(name, [DISK]);
  };
  await Promise.all(Array.from({ length: INSTALLING }, install));
  return { port, target: TARGET, lun: LUN, initiator: INITIATOR, pid: bridge.pid };
}
