// Third-party copies as jobs of a real daemon: seen over MQTT and in the shell while they run and afterwards, steered, and
// known after a loss of power.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { BridgeClient } from "../../src/control/client.js";
import type { EventMessage } from "../../src/control/messages/events.js";
import type { JobProgress, JobReport } from "../../src/job.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { reportText } from "../../tools/broker/report-text.js";
import { BRIDGE, TestBridge } from "../lib/bridge.js";
import { CopyHost, TARGET, words } from "../lib/copy-plant.js";
import { freePort, startMosquitto } from "../lib/mosquitto.js";
import { tmpDir } from "../lib/tmp.js";
import { runProgram } from "./daemon-parts.js";
import { retainedReports, until } from "./kill-parts.js";

const SHELL = fileURLToPath(new URL("../../src/shell/main.js", import.meta.url));
const MIB = 1 << 20;
const BLOCKS_OF_MIB = MIB / 512;
const HOST = "iqn.2024-01.org.example:host-a";

const disk = (directory: string, name: string, more = ""): string => {
  writeFileSync(join(directory, name), Buffer.alloc(16 * MIB, name.length));
  return `[[device]]\nname = "${name}"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, name)}"\nwriters = "many"\n${more}`;
};

interface Plant {
  readonly bridge: TestBridge;
  readonly mqttPort: number;
  readonly progress: JobProgress[];
  readonly reports: JobReport[];
  readonly events: EventMessage[];
  host(): CopyHost;
  gantry(...args: string[]): Promise<{ code: number | null; stdout: string }>;
}

/** disk0 moves a MiB in a second, disk1 as it can. */
async function start(t: ExecutionContext): Promise<Plant> {
  const directory = await tmpDir(t, "copy-jobs");
  const [mosquitto, port] = [await startMosquitto(), await freePort()];
  t.teardown(() => mosquitto.close());
  const bridge = new TestBridge({
    directory,
    mqttPort: mosquitto.port,
    devices: `${disk(directory, "disk0", "pace_kib_s = 1024\n")}${disk(directory, "disk1")}${disk(directory, "big0")}
[iscsi]
portals = ["127.0.0.1:${port}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "disk1" }, { lun = 2, device = "big0" }]
`,
  });
  t.teardown(() => bridge.close());
  await bridge.start();
  const holder = `initiator:${HOST}`;
  const device = ["disk0", "disk1", "big0"];
  await bridge.session.install(
    issueKey(bridge.home, { bridge: BRIDGE, holder, device, right: ["read", "write"], priority: 1, lifeMs: 3_600_000 }),
  );
  const seen = { progress: [] as JobProgress[], reports: [] as JobReport[], events: [] as EventMessage[] };
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port: mosquitto.port, clientId: `watcher-${port}` },
    onProgress: (one) => seen.progress.push(one),
    onReport: (one) => seen.reports.push(one),
    onEvent: (one) => seen.events.push(one),
  });
  client.start();
  t.teardown(() => client.stop());
  await client.online(60_000);
  const socket = join(directory, "state", "gantry.sock");
  return {
    bridge,
    mqttPort: mosquitto.port,
    ...seen,
    host: () => {
      const host = new CopyHost(port, HOST);
      t.teardown(() => host.close());
      return host;
    },
    gantry: (...args) => runProgram(SHELL, ["--socket", socket, ...args]),
  };
}

const move = (mib: number, lba = 0n) =>
  ({
    kind: "block-block",
    hold: false,
    cat: false,
    destinationCount: false,
    source: 0,
    destination: 1,
    blocks: mib * BLOCKS_OF_MIB,
    sourceLba: lba,
    destinationLba: lba,
  }) as const;

const cscds = async (host: CopyHost, from: "disk0" | "disk1", to: "disk0" | "disk1") => [
  await host.cscd(from),
  await host.cscd(to),
];

test("a copy that runs is a job to the broker and to the shell, which end it; a refused one says what the host got", async (t) => {
  const { bridge, progress, reports, events, host, gantry } = await start(t);
  const one = host();
  const slow = one.copy("disk0", await cscds(one, "disk0", "disk1"), [move(1), move(14, 2048n)], { listId: 9 });
  await until("progress over MQTT", () => progress.some(({ copy }) => copy?.segmentsDone === 1));
  const { jobId, ...first } = progress.at(-1) as JobProgress;
  t.like(first, {
    type: "copy",
    state: "running",
    copy: { initiator: HOST, lun: 0, command: "EXTENDED COPY(LID1)", listId: 9, sources: ["disk0"], segments: 2 },
  });
  t.true(first.bytesDone >= BigInt(MIB) && first.bytesPerS > 0n);
  const { jobs } = await bridge.session.client.send("job.list", { state: "running" });
  t.deepEqual(
    jobs.map((seen) => seen.jobId),
    [jobId],
  );
  const shown = await gantry("show", "copies");
  t.regex(
    shown.stdout,
    new RegExp(`${jobId} +${HOST} +EXTENDED COPY\\(LID1\\) +disk0 +disk1 .* running, 1 of 2 segments`),
  );
  t.regex((await gantry("show", "jobs")).stdout, new RegExp(`${jobId} +copy +running`));
  await bridge.session.client.send("job.rate", { jobId, bytesPerS: 1000n });
  await bridge.session.client.send("job.pause", { jobId });
  t.like((await bridge.session.client.send("job.get", { jobId })).progress, { state: "paused" });
  t.is((await gantry("job", "cancel", jobId)).code, 0);
  t.is(words(await slow), "a/d/0");
  await until("the report", () => reports.length === 1);
  t.like(reports[0], { jobId, state: "cancelled", copy: { segmentsDone: 1, offloaded: false } });
  t.regex(reports[0]?.failure?.message ?? "", /cancelled by the broker or by somebody at the bridge/);

  t.is(words(await one.copy("disk1", await cscds(one, "disk1", "disk0"), [move(0.0625)])), "good");
  await until("the sum", () => events.some(({ event }) => event === "copy.done"));
  const sum = events.find(({ event }) => event === "copy.done");
  t.is(sum?.message, `a copy of 64.0 KiB from disk1 to disk0 for ${HOST}.`);
  t.is(reports.length, 1, "a short copy has no report");

  const cdb = encodeCopyCommand({ kind: "copy-lid1", listId: 0, length: 16 });
  const list = new Uint8Array(16);
  list[1] = 0x08;
  t.is(words(await one.send("disk1", cdb, { out: list })), "5/26/0");
  await until("the report of the refusal", () => reports.length === 2);
  t.like(reports[1], { state: "rejected", failure: { code: "COPY_REFUSED", device: "disk1" } });
  t.regex(reports[1]?.copy?.sense ?? "", /^ILLEGAL REQUEST: invalid field in parameter list \(26h\/00h\), byte 1/);
  const text = reportText(reports[1] as JobReport);
  t.regex(text, /offloaded +no: ILLEGAL REQUEST/);
  t.regex(text, new RegExp(`asked by +${HOST}, EXTENDED COPY\\(LID1\\) to its LUN 1, list id 0`));
  const rows = JSON.parse((await gantry("show", "copies", "--json")).stdout) as {
    result: string;
    offloaded: boolean;
  }[];
  t.deepEqual(
    rows.map(({ result, offloaded }) => [result.split(/[: ]/)[0], offloaded]),
    [
      ["REFUSED", false],
      ["offloaded", true],
      ["cancelled", false],
    ],
  );
});

test("kill -9 in mid-copy: the next life reports it as interrupted, goes on with nothing, and holds nothing", async (t) => {
  const { bridge, mqttPort, progress, reports, host } = await start(t);
  const one = host();
  const slow = one.copy("disk0", await cscds(one, "disk0", "disk1"), [move(15)]);
  slow.catch(() => undefined);
  // Its record is on the way when the first is published, and on stable storage a second later.
  await until("progress, twice", () => progress.length >= 2);
  const jobId = progress[0]?.jobId ?? "";
  await bridge.kill();
  await bridge.start();
  await until("the report", () => reports.length === 1);
  t.like(reports[0], { jobId, type: "copy", state: "failed", failure: { code: "COPY_INTERRUPTED" } });
  t.like(reports[0]?.copy, { initiator: HOST, sources: ["disk0"], destinations: ["disk1"], offloaded: false });
  t.deepEqual(
    (await retainedReports(mqttPort)).map((report) => report.jobId),
    [jobId],
  );
  const { jobs } = await bridge.session.client.send("job.list", {});
  t.deepEqual(
    jobs.map((seen) => [seen.jobId, seen.state]),
    [[jobId, "failed"]],
  );
  const again = host();
  t.is(words(await again.copy("disk0", await cscds(again, "disk0", "disk1"), [move(0.25)])), "good");
  await bridge.session.client.send("job.forget", { jobId });
  await until("the retained report goes", async () => (await retainedReports(mqttPort)).length === 0);
});
