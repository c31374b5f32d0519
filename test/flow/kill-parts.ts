// What the kill tests share: a job that was accepted and has not begun, kept as it lies on disk, so that copies of it
// can be run: one undisturbed, others killed where a test wants it. The journal keeps archive id and times, so all of
// them must make the same tape, byte for byte.
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { BridgeClient } from "../../src/control/client.js";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobRecord } from "../../src/copy/job-record.js";
import { Journal } from "../../src/copy/journal.js";
import type { JobReport } from "../../src/job.js";
import { openStore } from "../../src/sys/store.js";
import { BRIDGE, TestBridge } from "../lib/bridge.js";
import { type Mosquitto, startMosquitto } from "../lib/mosquitto.js";
import { makeServer, type ServerFiles } from "../lib/server-files.js";

export type Spec = CommandToSend<"job.submit">;

/** Who cleans up: a test, or a file of tests that share what is costly to make. */
export interface Owner {
  teardown(end: () => unknown): void;
}

/** Ends what tests of one file share; for test.after.always. */
export class Shared implements Owner {
  readonly #ends: (() => unknown)[] = [];

  teardown(end: () => unknown): void {
    this.#ends.push(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }

  async directory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), "gantry-kill-"));
    this.teardown(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }
}

export const MIB = 1024 * 1024;
/** Of the image besides the large files. */
const ROOM_MIB = 40;
const DEADLINE_MS = 60_000;

export interface KillOptions {
  /** MiB of the large files; some ten more are small ones. */
  readonly mib: number;
  /** Of each cartridge; 0: no limit. */
  readonly capacityMib?: number;
  readonly cartridges?: readonly string[];
  readonly options?: Spec["options"];
}

/** Devices: disk0 with the server's files, target (blank), tape0, and tape1 for the job that holds the queue. */
function devices(directory: string, image: string, capacityMib: number): string {
  const device = (name: string, type: string, path: string, more = ""): string =>
    `[[device]]\nname = "${name}"\ntype = "${type}"\ntransport = "virtual"\npath = "${path}"\n${more}`;
  return [
    device("disk0", "disk", image),
    device("target", "disk", join(directory, "target.img")),
    device("tape0", "tape", join(directory, "tapes"), `capacity_mib = ${capacityMib}\nearly_warning_kib = 256\n`),
    device("tape1", "tape", join(directory, "other-tapes")),
  ].join("");
}

/** One bridge, with an MQTT server of its own: retained reports of one copy are nothing to another. */
export class KillBench {
  readonly directory: string;
  readonly mosquitto: Mosquitto;
  readonly bridge: TestBridge;

  private constructor(directory: string, mosquitto: Mosquitto, bridge: TestBridge) {
    this.directory = directory;
    this.mosquitto = mosquitto;
    this.bridge = bridge;
  }

  /** @param jobs lines for [jobs]; one job at a time in any case. */
  static async make(owner: Owner, directory: string, image: string, jobs: string, capacityMib = 0): Promise<KillBench> {
    mkdirSync(directory, { recursive: true });
    const target = join(directory, "target.img");
    writeFileSync(target, "", { flag: "a" });
    truncateSync(target, statSync(image).size);
    const mosquitto = await startMosquitto();
    owner.teardown(() => mosquitto.close());
    const bridge = new TestBridge({
      directory,
      mqttPort: mosquitto.port,
      devices: devices(directory, image, capacityMib),
      jobs: `concurrent = 1\ncheckpoint_mib = 1\n${jobs}`,
      memory: "arena_mib = 8",
    });
    owner.teardown(() => bridge.close());
    return new KillBench(directory, mosquitto, bridge);
  }

  /** kill -9 as soon as the condition holds; the daemon must be running. */
  async killWhen(what: string, condition: () => boolean): Promise<void> {
    await until(what, condition);
    await this.bridge.kill();
  }

  tape(cartridge: string): string {
    return join(this.directory, "tapes", `${cartridge}.tap`);
  }

  /** Bytes of a cartridge's file, 0 when there is none. */
  written(cartridge: string): number {
    return statSync(this.tape(cartridge), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Every cartridge of tape0 with its bytes. */
  tapes(): Map<string, Buffer> {
    const files = readdirSync(join(this.directory, "tapes")).filter((name) => name.endsWith(".tap"));
    return new Map(files.sort().map((name) => [name, readFileSync(join(this.directory, "tapes", name))]));
  }

  /** What the journal has of a job; only while no daemon runs. */
  async record(jobId: string): Promise<JobRecord> {
    const store = openStore(join(this.directory, "state"));
    try {
      const journal = new Journal(store);
      journal.load();
      const record = journal.get(jobId);
      if (record === undefined) throw new Error(`the journal has no job ${jobId}`);
      return record;
    } finally {
      await store.close();
    }
  }
}

/** A backup that was accepted and waits, kept by kill -9 right after the acceptance. */
export interface Seed extends ServerFiles {
  readonly spec: Spec;
  /** A copy of it in a new folder, the daemon not yet started. */
  copy(owner: Owner, name: string, jobs?: string): Promise<KillBench>;
}

export async function seedBackup(
  owner: Owner,
  directory: string,
  { mib, capacityMib = 0, cartridges = ["T00001"], options = {} }: KillOptions,
): Promise<Seed> {
  const server = await makeServer(directory, mib, ROOM_MIB);
  const home = join(directory, "seed");
  const { bridge } = await KillBench.make(owner, home, server.image, "", capacityMib);
  await bridge.start();
  // At one byte a second this one never ends; it keeps the other from starting here, and comes after it in a copy.
  const held = await bridge.key("holder", ["disk0", "tape1"]);
  const list = await bridge.sendList(server.list, "disk0");
  const disk = { device: "disk0" };
  await bridge.session.client.send("job.submit", {
    jobId: "holder",
    type: "backup",
    keys: [held],
    priority: 1,
    disk,
    tape: { device: "tape1", cartridges: ["H00001"] },
    ...list,
    options: { bytesPerS: 1n },
  });
  const spec: Spec = {
    jobId: "job",
    type: "backup",
    keys: [await bridge.key("job", ["disk0", "tape0"])],
    priority: 200,
    disk,
    tape: { device: "tape0", cartridges: [...cartridges] },
    ...list,
    options,
  };
  const { state } = await bridge.session.client.send("job.submit", spec);
  await bridge.kill();
  if (state !== "queued") throw new Error(`the job is ${state}`);
  await bridge.session.close();
  return {
    ...server,
    spec,
    copy: async (owner, name, jobs = "") => {
      const to = join(directory, name);
      // A killed daemon leaves its socket, which is no file that could be copied.
      const filter = (path: string): boolean => !path.endsWith(".sock");
      for (const part of ["state", "broker"]) cpSync(join(home, part), join(to, part), { recursive: true, filter });
      return KillBench.make(owner, to, server.image, jobs, capacityMib);
    },
  };
}

export interface Undisturbed {
  readonly bench: KillBench;
  readonly report: JobReport;
}

/** Runs a seed's job to its end without a disturbance. */
export async function undisturbed(owner: Owner, seed: Seed): Promise<Undisturbed> {
  const bench = await seed.copy(owner, "undisturbed");
  await bench.bridge.start();
  const report = await bench.bridge.session.run(seed.spec);
  await bench.bridge.stop();
  if (report.state !== "succeeded" || report.resumes > 0) throw new Error(`undisturbed: ${report.failure?.message}`);
  return { bench, report };
}

/** The same cartridges with the same bytes. */
export function sameTapes(t: ExecutionContext<unknown>, made: KillBench, wanted: KillBench): void {
  const [a, b] = [made.tapes(), wanted.tapes()];
  t.deepEqual([...a.keys()], [...b.keys()]);
  for (const [name, bytes] of b) t.true(a.get(name)?.equals(bytes), `${name}: ${firstDifference(a.get(name), bytes)}`);
}

function firstDifference(a: Buffer | undefined, b: Buffer): string {
  if (a === undefined) return "is not there";
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return `differs at byte ${at}; ${a.length} bytes, and ${b.length} wanted`;
}

/** Looks as often as the machine lets; rejects after a minute. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`in vain: ${what}`);
    await sleep(1);
  }
}

/** The reports that an MQTT server keeps for whoever comes, as somebody who comes now gets them. */
export async function retainedReports(port: number): Promise<readonly JobReport[]> {
  const reports: JobReport[] = [];
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port, clientId: `late-${port}` },
    onReport: (report) => reports.push(report),
  });
  client.start();
  // Retained messages come with the subscription, the bridge's state among them.
  await until("the bridge's retained state", () => client.bridge !== undefined);
  await sleep(100);
  await client.stop();
  return reports;
}
