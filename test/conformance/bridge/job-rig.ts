// The whole daemon with copy jobs and servers on one tape drive and one disk: gantryd as a process, an MQTT server, keys
// of any priority, events as the broker gets them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { BridgeClient } from "../../../src/control/client.js";
import type { EventMessage } from "../../../src/control/messages/events.js";
import { native } from "../../../src/native/index.js";
import { issueKey } from "../../../tools/broker/key-commands.js";
import { BRIDGE, type TestBridge } from "../../lib/bridge.js";
import { deviceTables, startPlant } from "../../lib/job-plant.js";
import { freePort } from "../../lib/mosquitto.js";
import { rawDisk, rawList } from "../../lib/raw-disk.js";
import { MIB, until } from "../../lib/slow-bridge.js";
import { type Device, Host, LUN, nameOf, TARGETS } from "./rig.js";

const DISK_MIB = 8;

export interface JobRig {
  readonly directory: string;
  readonly bridge: TestBridge;
  readonly port: number;
  /** What disk0 holds. */
  readonly content: Buffer;
  readonly events: readonly EventMessage[];
  /** Logged in under a key of that priority, its first unit attentions taken. */
  host(name: string, device: Device, priority?: number): Promise<Host>;
  stateOf(jobId: string): Promise<string>;
  reaches(jobId: string, state: string): Promise<void>;
}

/** disk0 with data and list "list" of 6 MiB for it, spare (empty) with "spare-list", tape0; two targets as in rig.ts. */
export async function startJobRig(t: ExecutionContext<unknown>, preempt: "off" | "ask" | "automatic"): Promise<JobRig> {
  const port = await freePort();
  let content: Buffer = Buffer.alloc(0);
  const plant = await startPlant(t, {
    memory: "arena_mib = 8",
    jobs: "checkpoint_mib = 1",
    devices: (directory) => {
      content = rawDisk(join(directory, "disk.img"), DISK_MIB);
      writeFileSync(join(directory, "spare.img"), Buffer.alloc(DISK_MIB * MIB));
      const tables = deviceTables({
        disks: { disk0: { path: join(directory, "disk.img") }, spare: { path: join(directory, "spare.img") } },
        tapes: { tape0: { path: join(directory, "tapes") } },
      });
      return tables + fabric(port, preempt);
    },
  });
  const { bridge, mosquitto, directory } = plant;
  const members = Array.from({ length: 12 }, (_, index) => {
    return { name: `file-${index}`, at: [[0, index * 1024, 1024] as const] };
  });
  await bridge.sendList(await rawList(directory, "list", members), "disk0");
  await bridge.sendList(await rawList(directory, "spare-list", members), "spare");
  const events: EventMessage[] = [];
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port: mosquitto.port, clientId: "listener" },
    onEvent: (event) => events.push(event),
  });
  client.start();
  t.teardown(() => client.stop());
  await client.online(20_000);
  const keyed = new Set<string>();
  const stateOf = async (jobId: string): Promise<string> => {
    const { progress } = await bridge.session.client.send("job.get", { jobId });
    return progress.state;
  };
  return {
    directory,
    bridge,
    port,
    content,
    events,
    stateOf,
    reaches: (jobId, state) => until(async () => (await stateOf(jobId).catch(() => "")) === state),
    host: async (name, device, priority = 100) => {
      if (!keyed.has(name)) await bridge.session.install(keyOf(bridge, name, priority));
      keyed.add(name);
      const target = { portal: `127.0.0.1:${port}`, target: TARGETS[0], lun: LUN[device], initiator: nameOf(name) };
      const host = new Host(await native.openLu({ transport: "iscsi", ...target }), nameOf(name));
      t.teardown(() => host.lu.close());
      await host.attentions();
      return host;
    },
  };
}

const keyOf = (bridge: TestBridge, name: string, priority: number) =>
  issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${nameOf(name)}`,
    device: ["disk0", "tape0"],
    right: ["read", "write", "exclusive", "media-control"],
    priority,
    lifeMs: 3_600_000,
  });

const fabric = (port: number, preempt: string): string => `[iscsi]
portals = ["127.0.0.1:${port}"]
preempt = "${preempt}"
${TARGETS.map(
  (name) => `[[target]]
name = "${name}"
luns = [{ lun = ${LUN.disk0}, device = "disk0" }, { lun = ${LUN.tape0}, device = "tape0" }]
`,
).join("")}`;
