// What the catalogue runs on: the bridge's own parts in the test's process (plane, iSCSI target, gate, arbiter) over an
// emulated disk and an emulated tape drive, two targets that both have both, and initiators that are libiscsi.
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { Right } from "../../../src/admit/key.js";
import { ReservationDesk } from "../../../src/admit/reservations/desk.js";
import { DeviceRegistry } from "../../../src/device/registry.js";
import { native } from "../../../src/native/index.js";
import type { EmulatedTape, ExecuteOptions, Fault, Lu } from "../../../src/native/types.js";
import { Servers } from "../../../src/servers.js";
import { systemClock, systemTimers } from "../../../src/sys/clock.js";
import { parseConfig } from "../../../src/sys/config.js";
import { silentLogger } from "../../../src/sys/log.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { freePort } from "../../lib/mosquitto.js";
import { tmpDir } from "../../lib/tmp.js";
import { request, START_MS, scene } from "../../unit/admit/helpers.js";
import { type Said, said, TEST_UNIT_READY } from "./words.js";

export type Device = "disk0" | "tape0";
export const LUN: Readonly<Record<Device, number>> = { disk0: 0, tape0: 1 };
/** Their relative target port identifiers are 1 and 2. */
export const TARGETS = ["iqn.2024-01.org.example:one", "iqn.2024-01.org.example:two"] as const;
export const nameOf = (host: string): string => `iqn.2024-01.org.example:host-${host}`;
const RIGHTS: readonly Right[] = ["read", "write", "exclusive", "media-control"];
const ATTENTIONS_MAX = 8;

export interface RigOptions {
  readonly store?: MemoryStore;
  readonly tape?: { readonly capacityBytes: bigint; readonly earlyWarningBytes: bigint };
}

/** An initiator logged in to one LUN. */
export class Host {
  readonly lu: Lu;
  readonly name: string;

  constructor(lu: Lu, name: string) {
    this.lu = lu;
    this.name = name;
  }

  async send(cdb: Uint8Array, options: { in?: number; out?: Uint8Array } = {}): Promise<Said> {
    const execute: ExecuteOptions = {
      ...(options.in === undefined ? {} : { dataIn: options.in }),
      ...(options.out === undefined ? {} : { dataOut: options.out }),
    };
    return said(await this.lu.execute(cdb, execute));
  }

  /** What it was answered, in words. */
  async says(cdb: Uint8Array, options: { in?: number; out?: Uint8Array } = {}): Promise<string> {
    return (await this.send(cdb, options)).words;
  }

  /** A command with a parameter list. */
  put({ cdb, out }: { cdb: Uint8Array; out: Uint8Array }): Promise<string> {
    return this.says(cdb, { out });
  }

  /** Every unit attention that waits, in the order in which they come. */
  async attentions(): Promise<readonly string[]> {
    const found: string[] = [];
    for (let turn = 0; turn < ATTENTIONS_MAX; turn++) {
      const words = await this.says(TEST_UNIT_READY);
      if (!words.startsWith("6/")) break;
      found.push(words.slice(2));
    }
    return found;
  }
}

export interface Rig {
  readonly port: number;
  readonly devices: DeviceRegistry;
  readonly servers: Servers;
  readonly store: MemoryStore;
  /** Logged in, its first unit attentions taken. */
  host(name: string, device: Device, target?: 0 | 1): Promise<Host>;
  /** Initiator ports as READ FULL STATUS and the lists name them. */
  isidOf(name: string, target?: 0 | 1): string;
  inject(device: Device, fault: Fault): void;
  stop(): Promise<void>;
}

export async function startRig(t: ExecutionContext<unknown>, options: RigOptions = {}): Promise<Rig> {
  const [directory, port] = [await tmpDir(t, "catalogue"), await freePort()];
  const store = options.store ?? new MemoryStore();
  const config = parseConfig(configuration(directory, port), "gantry.toml");
  const { ring, time, broker } = scene();
  const devices = new DeviceRegistry(native, config.device);
  devices.start();
  await loadTape(devices, directory, options);
  const servers = new Servers(
    {
      native,
      devices,
      ring,
      time,
      store,
      clock: systemClock,
      timers: systemTimers,
      log: silentLogger(),
      desk: new ReservationDesk({ known: () => true, unload: async () => undefined }),
      onReservation: () => undefined,
      onWanted: () => undefined,
      publish: async () => undefined,
    },
    config,
  );
  await servers.start();
  const hosts: Host[] = [];
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    await Promise.all(hosts.map(({ lu }) => lu.close()));
    await servers.stop();
    await devices.stop();
  };
  t.teardown(stop);
  const known = new Set<string>();
  const host = async (name: string, device: Device, target: 0 | 1 = 0): Promise<Host> => {
    const initiator = nameOf(name);
    if (!known.has(initiator)) {
      known.add(initiator);
      const devicesOfAll = [
        { kind: "class", deviceClass: "disk" } as const,
        { kind: "class", deviceClass: "tape" } as const,
      ];
      const holder = { kind: "initiator", name: initiator } as const;
      await ring.install(broker.issue(request({ holder, devices: devicesOfAll, rights: RIGHTS }), START_MS).token);
    }
    const lu = await native.openLu({
      transport: "iscsi",
      portal: `127.0.0.1:${port}`,
      target: TARGETS[target],
      lun: LUN[device],
      initiator,
    });
    const made = new Host(lu, initiator);
    hosts.push(made);
    await made.attentions();
    return made;
  };
  return {
    port,
    devices,
    servers,
    store,
    host,
    isidOf: (name, target = 0) =>
      servers.sessions().find((one) => one.initiator === nameOf(name) && one.port === target + 1)?.isid ?? "",
    inject: (device, fault) => devices.emulated(device)?.inject(fault),
    stop,
  };
}

async function loadTape(devices: DeviceRegistry, directory: string, { tape }: RigOptions): Promise<void> {
  if (tape === undefined) return devices.load("tape0", "T1", true);
  await (devices.emulated("tape0") as EmulatedTape).load({ path: join(directory, "limited.tap"), ...tape });
}

const configuration = (directory: string, port: number): string => `[bridge]
id = "bridge-7"
state_dir = "/s"
[control]
url = "mqtt://127.0.0.1:1"
[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "${join(directory, "disk0")}"
size_mib = 4
writers = "many"
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(directory, "tapes")}"
[iscsi]
portals = ["127.0.0.1:${port}"]
${TARGETS.map(
  (name) => `[[target]]
name = "${name}"
luns = [{ lun = ${LUN.disk0}, device = "disk0" }, { lun = ${LUN.tape0}, device = "tape0" }]
`,
).join("")}`;
