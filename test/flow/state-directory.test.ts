// A state directory that is full or read-only, at the start and while jobs run, on file systems of the test's own.
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { TestBridge } from "../lib/bridge.js";
import { deviceTables, succeeded } from "../lib/job-plant.js";
import { startMosquitto } from "../lib/mosquitto.js";
import { rawDisk, rawList } from "../lib/raw-disk.js";
import { tmpDir } from "../lib/tmp.js";
import { backup, bytesDone, MIB, moves, shell } from "./control-path-parts.js";
import { DaemonProcess, smallConfig } from "./daemon-parts.js";
import { until } from "./kill-parts.js";

const mount = (...args: string[]): boolean => spawnSync("mount", args).status === 0;

function mayMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), "gantry-mount-"));
  const mounted = mount("-t", "tmpfs", "-o", "size=64k", "gantry-test", probe);
  if (mounted) execFileSync("umount", [probe]);
  rmSync(probe, { recursive: true });
  return mounted;
}

const mounts = mayMount();
if (!mounts) test("SKIPPED: full and read-only state directories need leave to mount", (t) => t.pass());
const mounted = mounts ? test : test.skip;

/** A tmpfs of so many KiB as the state directory of a folder. */
function stateOn(t: ExecutionContext, directory: string, kib: number, more = ""): string {
  const state = join(directory, "state");
  mkdirSync(state);
  mount("-t", "tmpfs", "-o", `size=${kib}k,mode=0700${more}`, "gantry-test", state);
  // At once, whatever still has it open: its folder is removed after this.
  t.teardown(() => spawnSync("umount", ["-l", state]));
  return state;
}

/** Takes all the room there is; the daemon may want some at the same time, what counts is that none is left. */
function fill(state: string): void {
  const piece = Buffer.alloc(4096);
  try {
    for (;;) appendFileSync(join(state, "filler"), piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}

mounted("a state directory that is full at the start: exit code 1 and a sentence; with room it starts", async (t) => {
  const directory = await tmpDir(t, "state");
  const state = stateOn(t, directory, 256);
  fill(state);
  const daemon = new DaemonProcess(t, directory, smallConfig(directory));
  t.is(await daemon.exited, 1);
  t.true(daemon.has(/^gantryd does not start: .*state directory .*(free|room|No space)/i), daemon.output);
  // Room for some of a new store, but not for all of it.
  for (const kib of [16, 20]) {
    truncateSync(join(state, "filler"), (256 - kib) * 1024);
    const narrow = new DaemonProcess(t, directory, smallConfig(directory));
    t.is(await narrow.exited, 1, `with ${kib} KiB`);
    t.true(narrow.has(/^gantryd does not start: .*state directory/), narrow.output);
  }
  rmSync(join(state, "filler"));
  const again = new DaemonProcess(t, directory, smallConfig(directory));
  await again.logged("ready");
  t.is(await again.stop(), 0);
});

mounted(
  "a state directory that is read-only at the start: exit code 1 and a sentence; writable again, it starts",
  async (t) => {
    const directory = await tmpDir(t, "state");
    const state = stateOn(t, directory, 4096);
    const first = new DaemonProcess(t, directory, smallConfig(directory));
    await first.logged("ready");
    t.is(await first.stop(), 0);
    t.true(mount("-o", "remount,ro", state));
    const daemon = new DaemonProcess(t, directory, smallConfig(directory));
    t.is(await daemon.exited, 1);
    t.true(daemon.has(/^gantryd does not start: .*state directory .*read-only/i), daemon.output);
    t.true(mount("-o", "remount,rw", state));
    const again = new DaemonProcess(t, directory, smallConfig(directory));
    await again.logged("ready");
    t.is(await again.stop(), 0);
  },
);

async function startOn(t: ExecutionContext, directory: string): Promise<TestBridge> {
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  rawDisk(join(directory, "disk.img"), 12);
  writeFileSync(join(directory, "small.img"), Buffer.alloc(MIB, 7));
  const bridge = new TestBridge({
    directory,
    mqttPort: mosquitto.port,
    devices: deviceTables({
      disks: { disk0: { path: join(directory, "disk.img") }, small0: { path: join(directory, "small.img") } },
      tapes: { tape0: { path: join(directory, "tapes") }, tape1: { path: join(directory, "tapes1") } },
    }),
    memory: "arena_mib = 8",
    jobs: "concurrent = 4\ncheckpoint_mib = 1",
  });
  t.teardown(async () => {
    await bridge.kill();
    spawnSync("umount", ["-l", join(directory, "state")]);
    await bridge.close();
  });
  await bridge.start();
  const members = Array.from({ length: 11 }, (_, index) => {
    return { name: `file-${index}`, at: [[0, index * 2048, 2048] as const] };
  });
  await bridge.sendList(await rawList(directory, "list", members), "disk0");
  await bridge.sendList(await rawList(directory, "small", [{ name: "file", at: [[0, 0, 128]] }]), "small0");
  return bridge;
}

const log = (directory: string): string => readFileSync(join(directory, "gantryd.log"), "utf8");

mounted(
  "a state directory that fills up while a job runs: it waits, commands are refused in words, and all goes on when there is room",
  async (t) => {
    const directory = await tmpDir(t, "state");
    const state = stateOn(t, directory, 1024);
    const bridge = await startOn(t, directory);
    const { client } = bridge.session;
    // The end needs room, too: of many small blocks, whose checksums are journalled.
    const spec = await backup(bridge, "waits", BigInt(3 * MIB));
    const other = await backup(bridge, "other", 0n, "tape1");
    const reported = bridge.session.run({ ...spec, options: { ...spec.options, tapeBlockBytes: 512 } });
    await moves(directory, "waits");
    fill(state);
    await until("the job has met it", () =>
      /job (goes on from its checkpoint|waits): The state directory/.test(log(directory)),
    );
    // Freed pages may still take a small record: what is accepted is kept, and what is not is refused in words.
    let accepted = false;
    try {
      await client.send("job.submit", other);
      accepted = true;
    } catch (error) {
      t.is((error as { code?: string }).code, "STORE_UNUSABLE");
      t.regex((error as Error).message, /Nothing of it was kept; free space/);
    }
    t.is(((await shell(directory, "show job", "waits")) as { state: string }).state, "running");
    rmSync(join(state, "filler"));
    succeeded(t, await reported);
    if (!accepted) await client.send("job.submit", other);
    await until(
      "the other has ended",
      async () => (await client.send("job.get", { jobId: "other" })).report !== undefined,
    );
    await bridge.kill();
    bridge.launch();
    t.is((await client.send("job.get", { jobId: "waits" })).report?.state, "succeeded");
    t.is((await client.send("job.get", { jobId: "other" })).report?.state, "succeeded");
  },
);

mounted(
  "the state's file system is shut down in mid-job: nothing is acknowledged any more, and what was is there after it is mounted again",
  async (t) => {
    const directory = await tmpDir(t, "state");
    const image = join(directory, "state.ext4");
    writeFileSync(image, "");
    truncateSync(image, 32 * MIB);
    execFileSync("mkfs.ext4", ["-q", image]);
    const state = join(directory, "state");
    mkdirSync(state);
    if (!mount("-o", "loop", image, state)) {
      t.log("SKIPPED: no loop mounts here");
      t.pass();
      return;
    }
    t.teardown(() => spawnSync("umount", ["-l", state]));
    const bridge = await startOn(t, directory);
    const { client } = bridge.session;
    const spec = await backup(bridge, "survives", BigInt(2 * MIB));
    const other = await backup(bridge, "refused", 0n, "tape1");
    const reported = bridge.session.run(spec);
    await moves(directory, "survives", 2 * MIB);
    // What ext4 does to itself after a failure of its disk: nothing can be written any more.
    execFileSync("xfs_io", ["-x", "-c", "shutdown", state]);
    await until("the job has met it", () => /The state directory .* did not take a write/.test(log(directory)));
    const refused = await t.throwsAsync(client.send("job.submit", other), { code: "STORE_UNUSABLE" });
    t.regex(refused?.message ?? "", /mend the file system/);
    await t.throwsAsync(client.send("job.pause", { jobId: "survives" }), { code: "STORE_UNUSABLE" });
    const { state: now } = (await shell(directory, "show job", "survives")) as { state: string };
    t.is(now, "running", "a pause that was refused does not hold");
    await bridge.kill();
    execFileSync("umount", [state]);
    t.true(mount("-o", "loop", image, state));
    bridge.launch();
    succeeded(t, await reported);
    await t.throwsAsync(client.send("job.get", { jobId: "refused" }), { code: "JOB_UNKNOWN" });
    t.true((await bytesDone(directory, "survives")) > 0n);
  },
);
