// What the tests of a disturbed control path share: a bridge whose way to its MQTT server goes through a proxy, and a
// witness on the undisturbed side who notes all that the bridge says.
import { writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { BridgeClient } from "../../src/control/client.js";
import type { StateMessage } from "../../src/control/messages/events.js";
import type { JobReport } from "../../src/job.js";
import type { ShellAnswer } from "../../src/shell/protocol.js";
import { BRIDGE, TestBridge } from "../lib/bridge.js";
import { ControlProxy } from "../lib/control-proxy.js";
import { deviceTables } from "../lib/job-plant.js";
import { type Mosquitto, type MosquittoOptions, startMosquitto } from "../lib/mosquitto.js";
import { rawDisk, rawList, VOLUME } from "../lib/raw-disk.js";
import type { Submit } from "../lib/slow-bridge.js";
import { tmpDir } from "../lib/tmp.js";
import { until } from "./kill-parts.js";

export const MIB = 1024 * 1024;
const DISK_MIB = 12;

export interface Path {
  readonly directory: string;
  readonly mosquitto: Mosquitto;
  readonly proxy: ControlProxy;
  readonly bridge: TestBridge;
  readonly witness: Witness;
}

export interface PathOptions {
  readonly server?: MosquittoOptions;
  /** Lines for [jobs]. */
  readonly jobs?: string;
  readonly diskMib?: number;
}

/** Online; disk0 with data, small0 with little of it, tape0 to tape2, lists "list" and "small". */
export async function startPath(t: ExecutionContext<unknown>, options: PathOptions = {}): Promise<Path> {
  const directory = await tmpDir(t, "path");
  const mosquitto = await startMosquitto(options.server);
  t.teardown(() => mosquitto.close());
  const proxy = await ControlProxy.start(mosquitto.port);
  t.teardown(() => proxy.close());
  const mib = options.diskMib ?? DISK_MIB;
  rawDisk(join(directory, "disk.img"), mib);
  writeFileSync(join(directory, "small.img"), Buffer.alloc(MIB, 7));
  const tapes = ["tape0", "tape1", "tape2"].map((name) => [name, { path: join(directory, name) }] as const);
  const bridge = new TestBridge({
    directory,
    mqttPort: mosquitto.port,
    control: `url = "mqtt://127.0.0.1:${proxy.port}"\nkeepalive_s = 5`,
    devices: deviceTables({
      disks: { disk0: { path: join(directory, "disk.img") }, small0: { path: join(directory, "small.img") } },
      tapes: Object.fromEntries(tapes),
    }),
    // A tape starts when most of its ring is full: a small one, so that a slow job soon moves something.
    memory: "arena_mib = 8",
    jobs: `concurrent = 4\ncheckpoint_mib = 1\n${options.jobs ?? ""}`,
  });
  t.teardown(() => bridge.close());
  await bridge.start();
  const members = Array.from({ length: mib - 1 }, (_, index) => {
    return { name: `file-${index}`, at: [[0, index * 2048, 2048] as const] };
  });
  await bridge.sendList(await rawList(directory, "list", members), "disk0");
  await bridge.sendList(await rawList(directory, "small", [{ name: "file", at: [[0, 0, 128]] }]), "small0");
  const witness = new Witness(t, mosquitto.port);
  return { directory, mosquitto, proxy, bridge, witness };
}

/** A backup of so many bytes a second, with a key; 0n: at full speed, of the small list. */
export async function backup(bridge: TestBridge, jobId: string, bytesPerS: bigint, tape = "tape0"): Promise<Submit> {
  const device = bytesPerS === 0n ? "small0" : "disk0";
  return {
    jobId,
    type: "backup",
    keys: [await bridge.key(jobId, [device, tape])],
    disk: { device },
    tape: { device: tape, cartridges: [jobId] },
    listId: bytesPerS === 0n ? "small" : "list",
    volume: VOLUME,
    options: { bytesPerS, tapeBlockBytes: 64 * 1024 },
  };
}

/** Sees every report and every state in the order in which the server passes them on. */
export class Witness {
  readonly reports: JobReport[] = [];
  readonly states: StateMessage[] = [];
  readonly client: BridgeClient;

  constructor(t: ExecutionContext<unknown>, port: number) {
    this.client = new BridgeClient({
      bridgeId: BRIDGE,
      server: { host: "127.0.0.1", port, clientId: `witness-${port}`, backoff: { minMs: 20, maxMs: 100 } },
      onReport: (report) => this.reports.push(report),
      onBridge: (state) => this.states.push(state),
    });
    t.teardown(() => this.client.stop());
    this.client.start();
  }

  /** All that was ever said of the job, each word once: more than one is a contradiction. */
  said(jobId: string): readonly JobReport[] {
    const different = new Map<string, JobReport>();
    for (const report of this.reports) if (report.jobId === jobId) different.set(text(report), report);
    return [...different.values()];
  }
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner));

/** Asks the daemon over its local socket, as `gantry` does. */
export async function shell(directory: string, verb: string, ...args: string[]): Promise<unknown> {
  const line = await new Promise<string>((resolve, reject) => {
    let answer = "";
    const socket = net.createConnection(join(directory, "state", "gantry.sock"));
    socket.setEncoding("utf8").on("data", (piece: string) => {
      answer += piece;
      if (answer.endsWith("\n")) socket.end();
    });
    socket.on("error", reject).on("close", () => resolve(answer));
    socket.write(`${JSON.stringify({ verb, args })}\n`);
  });
  const answer = JSON.parse(line) as ShellAnswer;
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.result;
}

export async function bytesDone(directory: string, jobId: string): Promise<bigint> {
  // A job that was not accepted yet has done nothing.
  const seen = await shell(directory, "show job", jobId).catch(() => ({ bytesDone: "0" }));
  return BigInt((seen as { bytesDone: string }).bytesDone);
}

/** The daemon's own word on whether it has a server. */
export async function connected(directory: string): Promise<boolean> {
  const { mqtt } = (await shell(directory, "show system")) as { mqtt: string };
  return mqtt.startsWith("connected");
}

/** Resolves when the job has moved so much more; nobody but the local socket is asked. */
export async function moves(directory: string, jobId: string, bytes = MIB / 2): Promise<void> {
  const from = await bytesDone(directory, jobId);
  await until(`${jobId} moves`, async () => (await bytesDone(directory, jobId)) >= from + BigInt(bytes));
}

export interface Retained {
  readonly state: StateMessage | undefined;
  readonly reports: readonly JobReport[];
}

/** What somebody finds at the server who comes now and has seen nothing before. */
export async function retained(port: number): Promise<Retained> {
  // By job, as their topics are: the bridge may publish one again while this client listens.
  const reports = new Map<string, JobReport>();
  let first: StateMessage | undefined;
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port, clientId: `late-${process.pid}-${late++}` },
    onReport: (report) => reports.set(report.jobId, report),
    onBridge: (state) => {
      first ??= state;
    },
  });
  client.start();
  try {
    await client.online();
    // Retained messages come with the subscription, so before the reply to what is asked afterwards.
    await client.send("status.get", {});
    return { state: first, reports: [...reports.values()].sort((a, b) => (a.jobId < b.jobId ? -1 : 1)) };
  } finally {
    await client.stop();
  }
}

let late = 0;

/**
 * Once the disturbance is over: the bridge is online under its newest number, the server has exactly these reports,
 * the same that the daemon has, and nobody ever heard another word of these jobs.
 */
export async function allIsRight(t: ExecutionContext<unknown>, path: Path, jobIds: readonly string[]): Promise<void> {
  const { mosquitto, bridge, witness } = path;
  const wanted = [...jobIds].sort();
  let seen: Retained = { state: undefined, reports: [] };
  await until("the server has every report", async () => {
    seen = await retained(mosquitto.port);
    return seen.state?.online === true && seen.reports.length >= wanted.length;
  });
  t.deepEqual(
    seen.reports.map(({ jobId }) => jobId),
    wanted,
  );
  const newest = witness.states.reduce((most, { bdSeq }) => (bdSeq > most ? bdSeq : most), 0n);
  t.true((seen.state?.bdSeq ?? 0n) >= newest, "the birth that is kept is the newest");
  for (const report of seen.reports) {
    const { report: own } = await bridge.session.client.send("job.get", { jobId: report.jobId });
    t.deepEqual(own, report);
    t.deepEqual(witness.said(report.jobId), [report], `${report.jobId}: nothing else was ever said of it`);
  }
}
