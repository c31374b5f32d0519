// What tests of the gate stand on: a daemon with two disks as LUNs, keys for initiators, and the few commands that tell
// whether one gets through.
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { ChapSecret } from "../../src/admit/credentials.js";
import { BridgeClient } from "../../src/control/client.js";
import type { EventMessage } from "../../src/control/messages/events.js";
import { readServerOptions } from "../../src/control/server-options.js";
import { native } from "../../src/native/index.js";
import type { Lu, ScsiAnswer } from "../../src/native/types.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE, type TestBridge } from "./bridge.js";
import { deviceTables, startPlant } from "./job-plant.js";
import { freePort } from "./mosquitto.js";

export const TARGET = "iqn.2024-01.org.example:gate";
export const ONE = "iqn.2024-01.org.example:one";
export const TWO = "iqn.2024-01.org.example:two";
export const TEST_UNIT_READY = new Uint8Array(6);
export const GOOD = 0;

export interface GateOptions {
  /** Lines of every disk. */
  readonly more?: string;
  /** Further tables. */
  readonly tables?: string;
  /** Lines of [iscsi]. */
  readonly iscsi?: string;
  /** Before the daemon starts. */
  readonly prepare?: (directory: string) => void | Promise<void>;
}

/** disk0 is LUN 0, disk1 LUN 3; both have 16 MiB in blocks of 512 bytes. */
export async function startGate(
  t: ExecutionContext,
  { more = "", tables = "", iscsi = "", prepare }: GateOptions = {},
) {
  const port = await freePort();
  const plant = await startPlant(t, {
    devices: async (directory) => {
      await prepare?.(directory);
      const disks = { disk0: { path: join(directory, "disk0") }, disk1: { path: join(directory, "disk1") } };
      return `${deviceTables({ disks }).replaceAll("block_bytes = 512", `block_bytes = 512\nsize_mib = 16\n${more}`)}
[iscsi]
portals = ["127.0.0.1:${port}"]
${iscsi}
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }, { lun = 3, device = "disk1" }]
${tables}
`;
    },
  });
  const portal = `127.0.0.1:${port}`;
  const open = async (initiator: string, lun = 0): Promise<Lu> => {
    const lu = await native.openLu({ transport: "iscsi", portal, target: TARGET, lun, initiator });
    t.teardown(() => lu.close());
    return lu;
  };
  return { ...plant, portal, open };
}

export interface Grant {
  readonly right?: readonly string[];
  readonly device?: readonly string[];
  readonly lifeMs?: number;
  readonly chap?: ChapSecret;
}

export const keyFor = (bridge: TestBridge, initiator: string, { right, device, lifeMs, chap }: Grant = {}) =>
  issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${initiator}`,
    device: device ?? ["disk0"],
    right: right ?? ["read", "write"],
    priority: 100,
    lifeMs: lifeMs ?? 3_600_000,
    chap,
  });

export async function grant(bridge: TestBridge, initiator: string, want: Grant = {}): Promise<Uint8Array> {
  const key = keyFor(bridge, initiator, want);
  await bridge.session.install(key, want.chap);
  return key.content.id;
}

export const revoke = (bridge: TestBridge, id: Uint8Array): Promise<unknown> =>
  bridge.session.client.send("key.revoke", {
    order: bridge.home.issuer().revoke({ audience: [BRIDGE], ids: [id] }, Date.now()).token,
  });

export const write10 = (lba: number, blocks: number): Uint8Array =>
  Uint8Array.of(0x2a, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, blocks, 0);
export const write = (lu: Lu, lba: number, blocks = 8): Promise<ScsiAnswer> =>
  lu.execute(write10(lba, blocks), { dataOut: new Uint8Array(512 * blocks).fill(0x5a) });
export const read = (lu: Lu, lba: number): Promise<ScsiAnswer> =>
  lu.execute(Uint8Array.of(0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0), { dataIn: 512 });
export const asc = ({ sense }: ScsiAnswer): readonly (number | undefined)[] => [sense[2], sense[12], sense[13]];
export const modeByte = async (lu: Lu): Promise<number> =>
  (await lu.execute(Uint8Array.of(0x1a, 8, 0x3f, 0, 255, 0), { dataIn: 255 })).data[2] ?? -1;

/** Unit attentions that wait, until the unit is ready or something else is said. */
export async function attentions(lu: Lu): Promise<readonly string[]> {
  const told: string[] = [];
  for (let turn = 0; turn < 10; turn++) {
    const { status, sense } = await lu.execute(TEST_UNIT_READY);
    if (status === GOOD || ((sense[2] ?? 0) & 0x0f) !== 6) break;
    told.push(`${sense[12]?.toString(16)}/${sense[13]?.toString(16)}`);
  }
  return told;
}

/** Asks again until it is so: what the daemon does by itself is waited for, not timed. */
export async function until<T>(ask: () => Promise<T>, isSo: (found: T) => boolean): Promise<T> {
  for (let turn = 0; ; turn++) {
    const found = await ask();
    if (isSo(found) || turn === 1200) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function events(t: ExecutionContext, mqttPort: number): EventMessage[] {
  const heard: EventMessage[] = [];
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: readServerOptions({ url: `mqtt://127.0.0.1:${mqttPort}`, clientId: "listener" }),
    onEvent: (event) => heard.push(event),
  });
  client.start();
  t.teardown(() => client.stop());
  return heard;
}
