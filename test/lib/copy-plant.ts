// A bridge with disks and tapes for third-party copies, in the test's process, and servers that log in to it (libiscsi) and
// order copies by parameter lists that the test makes.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { Right } from "../../src/admit/key.js";
import type { ReservationDesk } from "../../src/admit/reservations/desk.js";
import { DeviceRegistry } from "../../src/device/registry.js";
import type { UnitFacts } from "../../src/fabric/units.js";
import { native } from "../../src/native/index.js";
import type { Lu, ScsiAnswer } from "../../src/native/types.js";
import { Servers } from "../../src/servers.js";
import { systemClock, systemTimers } from "../../src/sys/clock.js";
import { parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { MemoryStore } from "../../src/sys/memory-store.js";
import { inquiry } from "../../src/wire/cdb.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyList, encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import { type BinaryDesignator, DESIGNATOR, decodeDesignators } from "../../src/wire/xcopy/designator.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { request, START_MS, scene } from "../unit/admit/helpers.js";
import { counting, mediaDigest } from "./copy-plant-parts.js";
import { freePort } from "./mosquitto.js";
import { tmpDir } from "./tmp.js";

export const TARGET = "iqn.2024-01.org.example:copies";
export const LUNS = { disk0: 0, disk1: 1, big0: 2, tape0: 3, tape1: 4 } as const;
export type Name = keyof typeof LUNS;
export const BLOCK: Readonly<Record<Name, number>> = { disk0: 512, disk1: 512, big0: 4096, tape0: 0, tape1: 0 };
const DISK_MIB = 8;
const UNIT_ATTENTION = 6;
const READY_MS = 20_000;
const RIGHTS: readonly Right[] = ["read", "write", "exclusive", "media-control"];

export interface CopyPlantOptions {
  /** In place of the emulated devices: TOML tables of devices of these names. */
  readonly devices?: (directory: string) => string;
  readonly names?: readonly Name[];
  /** Further tables. */
  readonly tables?: string;
}

export interface CopyPlant {
  readonly directory: string;
  readonly port: number;
  readonly devices: DeviceRegistry;
  readonly servers: Servers;
  /** A server with a key for these devices; without `rights` all of them, on all devices. */
  host(name: string, rights?: Partial<Record<Name, readonly Right[]>>): Promise<CopyHost>;
  /** Content of an emulated disk. */
  disk(name: Name): Buffer;
  /** All that is on the media. */
  media(): string;
  /** Its keys, or the one for this device. */
  revoke(host: CopyHost, name?: Name): Promise<void>;
  /** The copy manager's clock goes on by so much. */
  later(ms: number): void;
  arbiter(): Arbiter;
  /** Memory for rings that is not given back. */
  arenas(): number;
  /** All sessions end, and what is only in memory is gone. */
  restart(): Promise<void>;
}
type Arbiter = NonNullable<Parameters<ReservationDesk["attach"]>[0]>;

export async function startCopyPlant(t: ExecutionContext<unknown>, options: CopyPlantOptions = {}): Promise<CopyPlant> {
  const [directory, port] = [await tmpDir(t, "copies"), await freePort()];
  const names = options.names ?? (Object.keys(LUNS) as Name[]);
  const tables = (options.devices ?? emulated)(directory);
  const config = parseConfig(configuration(tables, names, port) + (options.tables ?? ""), "gantry.toml");
  const { ring, time, broker } = scene();
  const devices = new DeviceRegistry(native, config.device);
  let [aheadMs, arenas] = [0, 0];
  let arbiter: Arbiter | undefined;
  devices.start();
  for (const { name, type, transport } of config.device)
    if (type === "tape" && transport === "virtual") await devices.load(name, "T1", true);
  const servers = new Servers(
    {
      native: counting((change) => {
        arenas += change;
      }),
      devices,
      ring,
      time,
      store: new MemoryStore(),
      clock: { nowMs: () => systemClock.nowMs(), monotonicMs: () => systemClock.monotonicMs() + aheadMs },
      timers: systemTimers,
      log: silentLogger(),
      desk: {
        attach: (made) => {
          arbiter = made;
        },
      },
      onReservation: () => undefined,
      onWanted: () => undefined,
      publish: async () => undefined,
    },
    config,
  );
  await servers.start();
  await allReady(servers);
  const hosts: CopyHost[] = [];
  t.teardown(async () => {
    await Promise.all(hosts.map((host) => host.close()));
    await servers.stop();
    await devices.stop();
  });
  const keys = new Map<CopyHost, { readonly device: string; readonly id: Uint8Array }[]>();
  return {
    directory,
    port,
    devices,
    servers,
    disk: (name) => readFileSync(join(directory, name)),
    host: async (name, rights) => {
      const initiator = `iqn.2024-01.org.example:host-${name}`;
      const holder = { kind: "initiator", name: initiator } as const;
      const host = new CopyHost(port, initiator);
      const given = Object.entries(rights ?? Object.fromEntries(names.map((one) => [one, RIGHTS])));
      keys.set(host, []);
      for (const [device, some] of given) {
        const wanted = request({ holder, devices: [{ kind: "device", name: device }], rights: some });
        const issued = broker.issue(wanted, START_MS);
        await ring.install(issued.token);
        keys.get(host)?.push({ device, id: issued.content.id });
      }
      hosts.push(host);
      return host;
    },
    media: () => mediaDigest(directory),
    later: (ms) => {
      aheadMs += ms;
    },
    arbiter: () => {
      if (arbiter === undefined) throw new Error("no server can log in");
      return arbiter;
    },
    arenas: () => arenas,
    restart: async () => {
      await Promise.all(hosts.map((host) => host.close()));
      await servers.stop();
      await servers.start();
    },
    revoke: async (host, name) => {
      const some = (keys.get(host) ?? []).filter(({ device }) => (name ?? device) === device);
      await ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: some.map(({ id }) => id) }, START_MS).token);
    },
  };
}

/** The bridge reaches devices of somebody else a moment after it has begun. */
async function allReady(servers: Servers): Promise<void> {
  const waits = (): boolean => ((servers.facts()?.units ?? []) as readonly UnitFacts[]).some(({ ready }) => !ready);
  for (const give = Date.now() + READY_MS; waits() && Date.now() < give; )
    await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Words of an answer: "good", "conflict", "5/26/09" (key/ASC/ASCQ in hexadecimal), "status 40". */
export function words({ status, sense }: Pick<ScsiAnswer, "status" | "sense">): string {
  if (status === 0) return "good";
  if (status === 0x18) return "conflict";
  if (status !== 2) return `status ${status.toString(16)}`;
  return [(sense[2] ?? 0) & 0x0f, sense[12] ?? 0, sense[13] ?? 0].map((part) => part.toString(16)).join("/");
}

/** A server: one session for each of its LUNs that it has used. */
export class CopyHost {
  readonly initiator: string;
  readonly #port: number;
  readonly #units = new Map<Name, Promise<Lu>>();

  constructor(port: number, initiator: string) {
    this.#port = port;
    this.initiator = initiator;
  }

  unit(name: Name): Promise<Lu> {
    const known = this.#units.get(name) ?? this.#open(name);
    this.#units.set(name, known);
    return known;
  }

  async send(name: Name, cdb: Uint8Array, options: { in?: number; out?: Uint8Array } = {}): Promise<ScsiAnswer> {
    const lu = await this.unit(name);
    return lu.execute(cdb, {
      timeoutMs: 60_000,
      ...(options.in === undefined ? {} : { dataIn: options.in }),
      ...(options.out === undefined ? {} : { dataOut: options.out }),
    });
  }

  /** How another names the device: its NAA designator. */
  async designator(name: Name, type: number = DESIGNATOR.NAA): Promise<BinaryDesignator> {
    const answer = await this.send(name, inquiry(252, 0x83), { in: 252 });
    if (words(answer) !== "good") throw new Error(`INQUIRY of ${name}: ${answer.outcome}, ${words(answer)}`);
    const found = decodeDesignators(answer.data).find((one) => one.type === type && one.association === 0);
    if (found === undefined) throw new Error(`${name} has no designator of type ${type}`);
    return found;
  }

  async cscd(name: Name, more: Partial<IdentificationCscd> = {}): Promise<IdentificationCscd> {
    return {
      form: "identification",
      nul: false,
      deviceType: BLOCK[name] === 0 ? 1 : 0,
      initiatorPort: 0,
      pad: false,
      fixed: false,
      blockBytes: BLOCK[name],
      designator: await this.designator(name),
      ...more,
    };
  }

  /** Orders a copy of the unit `at`. CSCD descriptors have the ids 0, 1, 2… (LID1). */
  async copy(
    at: Name,
    cscds: readonly IdentificationCscd[],
    segments: readonly Segment[],
    more: Partial<CopyList> = {},
  ): Promise<ScsiAnswer> {
    const out = encodeCopyList(listOf(cscds, segments, more));
    const kind = more.form === "LID4" ? "copy-lid4" : "copy-lid1";
    return this.send(at, encodeCopyCommand({ kind, listId: 0, length: out.length }), { out });
  }

  async close(): Promise<void> {
    const units = [...this.#units.values()];
    this.#units.clear();
    await Promise.all(units.map(async (lu) => (await lu).close()));
  }

  async #open(name: Name): Promise<Lu> {
    const lu = await native.openLu({
      transport: "iscsi",
      portal: `127.0.0.1:${this.#port}`,
      target: TARGET,
      lun: LUNS[name],
      initiator: this.initiator,
    });
    for (let turn = 0; turn < 8; turn++) {
      const { status, sense } = await lu.execute(new Uint8Array(6));
      if (status !== 2 || ((sense[2] ?? 0) & 0x0f) !== UNIT_ATTENTION) break;
    }
    return lu;
  }
}

export const listOf = (
  cscds: readonly IdentificationCscd[],
  segments: readonly Segment[],
  more: Partial<CopyList> = {},
): CopyList => ({
  form: "LID1",
  striped: false,
  listIdUsage: 0,
  priority: 1,
  listId: 1,
  goodSense: false,
  immediate: false,
  cscds,
  segments,
  inline: new Uint8Array(0),
  ...more,
});

/** Bytes that tell where they are from. */
export function pattern(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) data.writeUInt32LE((at * 2_654_435_761 + seed * 40_503) >>> 0, at);
  return data;
}

function emulated(directory: string): string {
  const disk = (name: Name, block: number): string => {
    writeFileSync(join(directory, name), pattern(DISK_MIB << 20, LUNS[name] + 1));
    return `[[device]]\nname = "${name}"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, name)}"\nblock_bytes = ${block}\nwriters = "many"\n`;
  };
  const tape = (name: Name): string =>
    `[[device]]\nname = "${name}"\ntype = "tape"\ntransport = "virtual"\npath = "${join(directory, `${name}.d`)}"\n`;
  return [disk("disk0", 512), disk("disk1", 512), disk("big0", 4096), tape("tape0"), tape("tape1")].join("");
}

const configuration = (tables: string, names: readonly Name[], port: number): string => `[bridge]
id = "bridge-7"
state_dir = "/s"
[control]
url = "mqtt://127.0.0.1:1"
[memory]
copies_mib = 16
${tables}
[iscsi]
portals = ["127.0.0.1:${port}"]
[[target]]
name = "${TARGET}"
luns = [${names.map((name) => `{ lun = ${LUNS[name]}, device = "${name}" }`).join(", ")}]
`;
