// What is acknowledged was synchronised first. kill -9 cannot show it, for the page cache outlives the process; the
// system calls do: strace tells when a command came in, when the store's file was written and synchronised, and when the
// reply went out.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { ListTally } from "../../src/control/list-tally.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE, TestBridge, virtualDevices } from "../lib/bridge.js";
import { startMosquitto } from "../lib/mosquitto.js";
import { rawDisk } from "../lib/raw-disk.js";
import { tmpDir } from "../lib/tmp.js";
import { until } from "./kill-parts.js";

interface Call {
  readonly name: string;
  readonly fd: number;
  readonly file: string;
  readonly data: Buffer;
  /** Lines of the trace at which it was entered and left. */
  readonly entered: number;
  readonly left: number;
  readonly result: number;
}

const NOT_TOLD = Number.POSITIVE_INFINITY;
const TRACED = "read,recvfrom,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync,msync";

/** Calls of a trace made by strace -f -yy -xx, whole or in two halves. */
function callsOf(trace: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, { at: number; text: string }>();
  for (const [line, all] of trace.split("\n").entries()) {
    const [, pid = "", text = ""] = /^(\d+) +(.*)$/.exec(all) ?? [];
    if (text.endsWith("<unfinished ...>")) {
      open.set(pid, { at: line, text: text.slice(0, -"<unfinished ...>".length) });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    const begun = resumed === null ? { at: line, text: "" } : open.get(pid);
    if (begun === undefined) continue;
    open.delete(pid);
    const whole = begun.text + (resumed?.[1] ?? text);
    const [, name, fd, file] = /^(\w+)\((\d+)<((?:[^<>]|->)*)/.exec(whole) ?? [];
    if (name === undefined || file === undefined) continue;
    const strings = [...whole.slice(whole.indexOf(">")).matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)];
    const data = Buffer.from(strings.map(([, hex = ""]) => hex.replaceAll("\\x", "")).join(""), "hex");
    const result = Number(/ = (-?\d+)(?: \(DELAYED\)| E[A-Z]+ .*)?$/.exec(whole)?.[1] ?? "-1");
    const path = Buffer.from(file.replaceAll("\\x", ""), "hex").toString();
    const at = { entered: begun.at, left: line };
    calls.push({ name, fd: Number(fd), file: file.startsWith("\\x") ? path : file, data, ...at, result });
  }
  return calls;
}

const STORE = /gantry\.mdb$/;
const SYNCS: ReadonlySet<string> = new Set(["fdatasync", "fsync", "msync"]);
/** fcntl.h, O_DSYNC. */
const DSYNC = 0o10000;

/** Calls on the daemon's store, and on its connection to the MQTT server. */
class Trace {
  readonly #calls: readonly Call[];
  /** Descriptors of the store whose writes are synchronous. */
  readonly #dsync: ReadonlySet<number>;

  constructor(calls: readonly Call[], dsync: ReadonlySet<number>) {
    this.#calls = calls;
    this.#dsync = dsync;
  }

  /** Line at which bytes came in. */
  cameIn(needle: string): number {
    const read = this.#calls.find(
      ({ name, file, data }) => /^(read|recv)/.test(name) && file.startsWith("TCP") && data.includes(needle),
    );
    return read?.left ?? NOT_TOLD;
  }

  /** Line at which bytes began to go out, behind a line. */
  wentOut(needle: string, behind: number): number {
    const sent = this.#calls.find(
      ({ name, file, data, entered }) =>
        /^(write|send)/.test(name) && file.startsWith("TCP") && entered > behind && data.includes(needle),
    );
    return sent?.entered ?? NOT_TOLD;
  }

  #writes(from: number, to: number): Call[] {
    return this.#calls.filter(
      ({ name, file, entered, left }) => /^p?write/.test(name) && STORE.test(file) && entered > from && left < to,
    );
  }

  #synced({ fd, left, result }: Call, to: number): boolean {
    if (result > 0 && this.#dsync.has(fd)) return true;
    return this.#calls.some(
      (sync) =>
        SYNCS.has(sync.name) && STORE.test(sync.file) && sync.result === 0 && sync.entered > left && sync.left < to,
    );
  }

  /** Were these bytes written to the store between two lines, and all that was written then synchronised? */
  durable(needle: string | Buffer, from: number, to: number): "yes" | "not written" | "not synchronised" {
    const writes = this.#writes(from, to);
    const own = writes.findIndex(({ data }) => data.includes(needle));
    if (own < 0) return "not written";
    // A commit is complete with the page that names its tree, which is written last.
    const commit = writes.slice(own);
    return commit.length > 1 && commit.every((write) => this.#synced(write, to)) ? "yes" : "not synchronised";
  }
}

/** Attaches to all threads of a process; undefined, with the reason logged, where that is not allowed. */
async function traced(t: ExecutionContext, pid: number, file: string): Promise<ChildProcess | undefined> {
  // A disk that takes its time: who does not wait for it is seen to answer first.
  const slow = "inject=fdatasync,fsync,msync:delay_enter=50000";
  const filters = ["-e", `trace=${TRACED}`, "-e", slow];
  const args = ["-f", "-yy", "-xx", "-s", "1048576", ...filters, "-o", file, "-p", String(pid)];
  const child = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  let over = false;
  child.once("close", () => (over = true));
  await until("strace is attached", () => over || said.includes("attached"));
  if (!over) return child;
  t.log(`SKIPPED: no process can be traced here: ${said.trim()}`);
  return undefined;
}

function synchronousDescriptors(pid: number): Set<number> {
  const flags = (fd: string): number =>
    Number.parseInt(/flags:\t(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "0", 8);
  return new Set(
    readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => (flags(fd) & DSYNC) !== 0)
      .map(Number),
  );
}

const installed = spawnSync("strace", ["--version"]).status === 0;
if (!installed) test("SKIPPED: what is acknowledged was synchronised first (strace is not installed)", (t) => t.pass());

const maybe = installed ? test : test.skip;

maybe("what is acknowledged was written to the store and synchronised before", async (t) => {
  const directory = await tmpDir(t, "durable");
  mkdirSync(directory, { recursive: true });
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  rawDisk(join(directory, "disk.img"), 1);
  const devices = virtualDevices(directory, join(directory, "disk.img"));
  const bridge = new TestBridge({ directory, mqttPort: mosquitto.port, devices, memory: "arena_mib = 8" });
  t.teardown(() => bridge.close());
  await bridge.start();
  const { pid } = bridge;
  const out = join(directory, "trace");
  const strace = await traced(t, pid, out);
  if (strace === undefined) {
    t.pass();
    return;
  }
  const dsync = synchronousDescriptors(pid);
  const { client } = bridge.session;
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: "job:durable-job",
    device: ["disk0", "tape0"],
    right: ["read", "write", "media-control"],
    priority: 255,
    lifeMs: 3_600_000,
  });
  await client.send("key.install", { key: key.token }, { id: "command-key" });
  const tally = new ListTally();
  const member = { name: "a-file", type: "file" as const, size: 4096n, mode: 0o600, uid: 0, gid: 0, mtimeNs: 0n };
  const extents = { fileOffset: BigUint64Array.of(0n), lba: BigUint64Array.of(8n), blocks: Uint32Array.of(8) };
  const data = tally.add({ index: 0, members: [{ ...member, extents: 1 }], extents });
  const header = tally.header("list", { id: "v", generation: "g", sequence: 1n }, 512);
  const { listId, volume } = header;
  await client.send("list.open", { ...header, device: "disk0" }, { id: "command-open" });
  await client.send("list.chunk", { listId, index: 0, data }, { id: "command-chunk" });
  const job = {
    jobId: "durable-job",
    type: "backup" as const,
    keys: [key.content.id],
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: ["D00001"] },
    listId,
    volume,
  };
  await client.send("job.submit", job, { id: "command-submit" });
  await until("the job ends", async () => (await client.send("job.get", { jobId: job.jobId })).report !== undefined);
  await until("the report is out", () => callsOf(readFileSync(out, "latin1")).some(isReport));
  const gone = new Promise((resolve) => strace.once("close", resolve));
  strace.kill("SIGTERM");
  await gone;
  const calls = callsOf(readFileSync(out, "latin1"));
  const trace = new Trace(calls, dsync);
  for (const [id, needle] of [
    ["command-key", Buffer.from(key.content.id)],
    ["command-chunk", Buffer.from(data).subarray(0, 48)],
    ["command-submit", "durable-job"],
  ] as const) {
    const from = trace.cameIn(id);
    const to = trace.wentOut(id, from);
    t.true(from < to && to < NOT_TOLD, `${id} is in the trace, with its answer: ${from}, ${to}`);
    t.is(trace.durable(needle, from, to), "yes", id);
  }
  const told = calls.find(isReport)?.entered ?? NOT_TOLD;
  t.is(trace.durable("succeeded", trace.cameIn("command-submit"), told), "yes", "the report");
});

const isReport = ({ name, file, data }: Call): boolean =>
  /^(write|send)/.test(name) && file.startsWith("TCP") && data.includes("/job/durable-job/report");
