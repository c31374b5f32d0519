// What happens to the daemon while it lives: a new configuration, an MQTT server that is away, a full state directory.
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { ListTally } from "../../src/control/list-tally.js";
import { BrokerHome } from "../../tools/broker/home.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BridgeSession } from "../../tools/broker/session.js";
import { TestBridge, virtualDevices } from "../lib/bridge.js";
import { startPlant, succeeded, tapFile } from "../lib/job-plant.js";
import { freePort, startMosquitto } from "../lib/mosquitto.js";
import { makeServer } from "../lib/server-files.js";
import { tmpDir } from "../lib/tmp.js";
import { DaemonProcess, smallConfig } from "./daemon-parts.js";
import { MIB, retainedReports, until } from "./kill-parts.js";

test("SIGHUP: issuers and limits hold at once, what waits for a restart is named, a wrong file changes nothing", async (t) => {
  const directory = await tmpDir(t, "life");
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  const home = new BrokerHome(join(directory, "broker"));
  const { kid, name, publicKey } = home.init("late-broker");
  const before = smallConfig(directory, '[keys]\nclock = "assume"\n', mosquitto.port);
  const daemon = new DaemonProcess(t, directory, before);
  await daemon.logged("connected to the MQTT server");
  const server = { host: "127.0.0.1", port: mosquitto.port, clientId: "late-broker" };
  const session = new BridgeSession(home, "daemon-test", server);
  t.teardown(() => session.close());
  await session.connect(10_000);
  const key = issueKey(home, {
    bridge: "daemon-test",
    holder: "mover",
    device: ["class:disk"],
    right: ["read"],
    priority: 1,
    lifeMs: 60_000,
  });
  await t.throwsAsync(session.install(key), { code: "KEY_ISSUER_UNKNOWN" });

  writeFileSync(daemon.file, `${before}\n[jobs]\nspeed = 1\n`);
  daemon.process.kill("SIGHUP");
  await daemon.logged(/was not reloaded, the old one stays in force: .*`jobs\.speed` is no key/);
  await t.throwsAsync(session.install(key), { code: "KEY_ISSUER_UNKNOWN" });

  const issuers = `issuers = [{ kid = "${kid}", issuer = "${name}", public_key = "${publicKey}" }]`;
  const after = before
    .replace('clock = "assume"', `clock = "assume"\n${issuers}`)
    .replace("arena_mib = 8", "arena_mib = 9");
  writeFileSync(daemon.file, after);
  daemon.process.kill("SIGHUP");
  await daemon.logged("configuration reloaded; some keys wait for the next start");
  t.deepEqual(daemon.log.find(({ msg }) => String(msg).startsWith("configuration reloaded"))?.waiting, ["memory"]);
  await session.install(key);
  t.pass();
});

test("SIGHUP: a new bandwidth limit holds for the job that runs", async (t) => {
  let list = "";
  const plant = await startPlant(t, {
    devices: async (directory) => {
      const server = await makeServer(directory, 1, 40);
      list = server.list;
      return virtualDevices(directory, server.image);
    },
    jobs: 'rate_windows = [{ from = "00:00", to = "00:00", mib_per_s = 1 }]',
  });
  const spec = {
    jobId: "slow",
    type: "backup" as const,
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: ["B00001"] },
  };
  const reported = plant.bridge.run(spec, { file: list, device: "disk0" });
  const tape = tapFile(plant.directory, "B00001");
  await until("the tape is written", () => (statOf(tape) ?? 0) > MIB / 2);
  const file = join(plant.directory, "gantry.toml");
  writeFileSync(file, readFileSync(file, "utf8").replace("mib_per_s = 1 ", "mib_per_s = 100000 "));
  process.kill(plant.bridge.pid, "SIGHUP");
  const report = await reported;
  succeeded(t, report);
  // At one MiB a second it would have been held back for as many seconds as there are MiB.
  t.true(report.throttleMs < Number(report.bytesDone / BigInt(MIB)) * 700, `${report.throttleMs} ms`);
});

function statOf(path: string): number | undefined {
  try {
    return readFileSync(path).length;
  } catch {
    return undefined;
  }
}

test("the MQTT server is away at the start and comes later: the daemon serves its shell, and then is online", async (t) => {
  const directory = await tmpDir(t, "life");
  const bridge = new TestBridge({ directory, mqttPort: await freePort(), devices: "" });
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  t.teardown(() => bridge.close());
  await mosquitto.kill();
  const late = new DaemonProcess(t, directory, smallConfig(directory, "", mosquitto.port));
  await late.logged("ready");
  await late.logged("not connected to the MQTT server");
  await mosquitto.start();
  await late.logged(/^connected to the MQTT server/);
  t.is(await late.stop(), 0);
});

test("the MQTT server is killed in mid-job: data keeps moving, and the report is retained once when it is back", async (t) => {
  let list = "";
  const directory = await tmpDir(t, "life");
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  const server = await makeServer(directory, 1, 40);
  list = server.list;
  const bridge = new TestBridge({
    directory,
    mqttPort: mosquitto.port,
    devices: virtualDevices(directory, server.image),
    jobs: "mib_per_s = 4",
  });
  t.teardown(() => bridge.close());
  await bridge.start();
  const spec = {
    jobId: "away",
    type: "backup" as const,
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: ["M00001"] },
    options: { tapeBlockBytes: 65536 },
  };
  const reported = bridge.run(spec, { file: list, device: "disk0" });
  const tape = tapFile(directory, "M00001");
  await until("the tape is written", () => (statOf(tape) ?? 0) > MIB);
  await mosquitto.kill();
  const then = statOf(tape) ?? 0;
  await until("more is written without the server", () => (statOf(tape) ?? 0) > then + 2 * MIB);
  await until("the job has ended without the server", () =>
    readFileSync(join(directory, "gantryd.log"), "utf8").includes('"job ended"'),
  );
  await mosquitto.start();
  const report = await reported;
  succeeded(t, report);
  t.is(report.resumes, 0);
  t.deepEqual(await retainedReports(mosquitto.port), [report]);
});

/** Mounts a small file system; undefined where that is not allowed. */
function mountTmpfs(at: string, kib: number): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k,mode=0700`, "gantry-test", at]).status === 0;
}

function mayMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), "gantry-mount-"));
  const mounted = mountTmpfs(probe, 64);
  if (mounted) execFileSync("umount", [probe]);
  rmSync(probe, { recursive: true });
  return mounted;
}

const mounts = mayMount();
if (!mounts) test("SKIPPED: a full state directory needs leave to mount a tmpfs", (t) => t.pass());

(mounts ? test : test.skip)(
  "a full state directory: nothing more is acknowledged, what was stays, and all goes on when room is made",
  async (t) => {
    const directory = await tmpDir(t, "full");
    const state = join(directory, "state");
    mkdirSync(state);
    mountTmpfs(state, 2048);
    const mosquitto = await startMosquitto();
    t.teardown(() => mosquitto.close());
    const server = await makeServer(directory, 1, 40);
    const devices = virtualDevices(directory, server.image);
    const bridge = new TestBridge({
      directory,
      mqttPort: mosquitto.port,
      devices,
      jobs: "mib_per_s = 6\ncheckpoint_mib = 1",
    });
    t.teardown(() => bridge.close());
    // Before the folder can be removed.
    t.teardown(async () => {
      await bridge.kill();
      execFileSync("umount", [state]);
    });
    await bridge.start();
    const { client } = bridge.session;
    const key = await bridge.key("full", ["disk0", "tape0"]);
    const list = await bridge.sendList(server.list, "disk0");
    const filler = join(state, "filler");
    // The daemon may want room at the same time: what counts is that none is left.
    const fill = (): void => {
      const piece = Buffer.alloc(4096);
      try {
        for (;;) appendFileSync(filler, piece);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    };
    fill();

    const { header, chunks } = wideList();
    await t.throwsAsync(client.sendList(header, "disk0", chunks), {
      message: /state directory .* did not take a write/,
    });
    const spec = {
      jobId: "full",
      type: "backup" as const,
      keys: [key],
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: ["F00001"] },
      // Many small blocks: their checksums make every checkpoint need room of its own.
      options: { tapeBlockBytes: 512 },
      ...list,
    };
    // Freed pages of the store may still take a small record; either it is kept, or it is refused.
    const answer = await client.send("job.submit", spec).catch((error: { code: string }) => error.code);
    if (typeof answer === "string") t.is(answer, "STORE_UNUSABLE");
    await bridge.kill();
    rmSync(filler);
    bridge.launch();
    t.deepEqual(
      (await client.send("key.list", {})).keys.map(({ keyId }) => keyId),
      [Buffer.from(key).toString("hex")],
    );
    t.like(await client.send("list.status", { listId: list.listId ?? "" }), { state: "whole" });
    // And once more while a job runs: it waits for room, and goes on by itself.
    const reported = bridge.session.run(spec);
    const tape = tapFile(directory, "F00001");
    await until("the tape is written", () => (statOf(tape) ?? 0) > MIB);
    fill();
    const log = (): string => readFileSync(join(directory, "gantryd.log"), "utf8");
    await until("the job has met the full directory", () =>
      log().includes("job goes on from its checkpoint: The state directory"),
    );
    rmSync(filler);
    succeeded(t, await reported);
  },
);

/** A list of more bytes than there is room for. */
function wideList() {
  const tally = new ListTally();
  const count = 20_000;
  const chunks = Array.from({ length: 8 }, (_, index) => {
    const extents = {
      fileOffset: BigUint64Array.from({ length: count }, (__, i) => BigInt(i * 4096)),
      lba: BigUint64Array.from({ length: count }, (__, i) => BigInt((index * count + i) * 16)),
      blocks: new Uint32Array(count).fill(8),
    };
    const member = { name: `file-${index}`, type: "file" as const, size: 1n << 40n, mode: 0o600, uid: 0, gid: 0 };
    return tally.add({ index, members: [{ ...member, mtimeNs: 0n, extents: count }], extents });
  });
  return { header: tally.header("wide", { id: "v", generation: "g", sequence: 1n }, 512), chunks };
}
