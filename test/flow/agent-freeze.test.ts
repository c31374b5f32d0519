// The freeze and its watchdogs, as root on loop mounts only: whatever dies, the file system thaws.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { Freeze } from "../../tools/agent/freeze.js";
import { Glist } from "../../tools/agent/glist.js";
import { listedMembers } from "../../tools/agent/restore-map.js";
import { contentOf, fsmap, makeExt4, mounted, noLoopMounts, run, temporary } from "./agent-parts.js";

const skipped = await noLoopMounts();
const rootTest = skipped === undefined ? test.serial : test.skip;
if (skipped !== undefined) test(`SKIPPED: freezing needs root and loop devices (${skipped})`, (t) => t.pass());

const helper = fsmap();
const agent = fileURLToPath(new URL("../../tools/agent/main.js", import.meta.url));

async function fileSystem(t: ExecutionContext): Promise<{ mountPoint: string; image: string; folder: string }> {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await makeExt4(image, "32M", []);
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  return { mountPoint, image, folder };
}

/** A writer to the file system; resolves when the write is done. It is another process, because it may hang. */
function writer(mountPoint: string): { done: Promise<unknown>; written: () => boolean } {
  const child = spawn("touch", [join(mountPoint, "probe")], { stdio: "ignore" });
  let written = false;
  const done = once(child, "close").then(() => {
    written = true;
  });
  return { done, written: () => written };
}

/** True when a write comes through before the limit. */
async function thawed(mountPoint: string, limitMs = 10_000): Promise<boolean> {
  const { done } = writer(mountPoint);
  return Promise.race([done.then(() => true), delay(limitMs, false, { ref: false })]);
}

rootTest("a frozen file system holds writers back until it is thawed", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 20_000, helper });
  const { done, written } = writer(mountPoint);
  await delay(300);
  t.false(written());
  await freeze.thaw();
  await done;
  t.pass();
});

rootTest("a file system that is frozen by somebody else is not frozen, and not thawed", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 20_000, helper });
  await t.throwsAsync(Freeze.start({ mountPoint, watchdogMs: 20_000, helper }), {
    code: "AGENT_FREEZE",
    message: /somebody else/,
  });
  await freeze.thaw();
  t.pass();
});

rootTest("when the time is over it thaws, and the holder is told that the freeze did not last", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 300, helper });
  t.is(await freeze.thawed, "watchdog");
  t.true(await thawed(mountPoint));
  await t.throwsAsync(freeze.thaw(), { code: "AGENT_FREEZE" });
});

rootTest("a thaw by somebody else is noticed", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 20_000, helper });
  await run(helper, "thaw", mountPoint);
  await t.throwsAsync(freeze.thaw(), { code: "AGENT_FREEZE", message: /lost/ });
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"] as const) {
  rootTest(`the keeper dies by ${signal}: the file system thaws`, async (t) => {
    const { mountPoint } = await fileSystem(t);
    const freeze = await Freeze.start({ mountPoint, watchdogMs: 60_000, helper });
    process.kill(freeze.pid ?? 0, signal);
    t.true(await thawed(mountPoint));
    t.is(await freeze.thawed, signal === "SIGKILL" ? "lost" : "signal");
  });
}

rootTest("the keeper is stopped: the watchdog thaws when the time is over", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 500, helper });
  const pid = freeze.pid ?? 0;
  process.kill(pid, "SIGSTOP");
  t.true(await thawed(mountPoint));
  process.kill(pid, "SIGCONT");
  await t.throwsAsync(freeze.thaw(), { code: "AGENT_FREEZE" });
});

rootTest("the watchdog dies: the keeper thaws at once", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const freeze = await Freeze.start({ mountPoint, watchdogMs: 60_000, helper });
  process.kill(await childOf(freeze.pid ?? 0), "SIGKILL");
  t.true(await thawed(mountPoint));
  t.is(await freeze.thawed, "lost");
});

/** The only child of a process. */
async function childOf(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, "latin1")).trim());
}

/** The agent's program; its stderr says when it is frozen. */
async function startAgent(t: ExecutionContext, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [agent, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, GANTRY_FSMAP: helper },
  });
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

async function lineOf(stream: NodeJS.ReadableStream | null, wanted: RegExp): Promise<string> {
  if (!stream) throw new Error("no stream");
  for await (const line of createInterface({ input: stream })) if (wanted.test(line)) return line;
  throw new Error(`the output ended before ${String(wanted)}`);
}

for (const both of [false, true]) {
  rootTest(`kill -9 of the agent${both ? " and of its keeper" : ""}: the file system thaws`, async (t) => {
    const { mountPoint } = await fileSystem(t);
    const child = await startAgent(t, "freeze", mountPoint, "--watchdog", "60");
    await lineOf(child.stderr, /^frozen$/);
    const keeper = await childOf(child.pid ?? 0);
    child.kill("SIGKILL");
    if (both) process.kill(keeper, "SIGKILL");
    t.true(await thawed(mountPoint));
  });
}

rootTest(
  "list --freeze --hold: the list is complete while the file system is still frozen; it thaws when stdin ends",
  async (t) => {
    const { mountPoint, image, folder } = await fileSystem(t);
    const content = Buffer.alloc(123_456, "not synced ");
    await writeFile(join(mountPoint, "a"), content);
    const out = join(folder, "list.glist");
    const child = await startAgent(t, "list", "--path", mountPoint, "--hold", "--out", out, "--json");
    const result = JSON.parse(await lineOf(child.stdout, /^\{/)) as { members: number };
    t.is(result.members, 1);
    const { done, written } = writer(mountPoint);
    await delay(200);
    t.false(written());
    const list = await Glist.open(out);
    for await (const listed of listedMembers(list.chunks(), 512))
      t.true((await contentOf(image, listed)).equals(content));
    await list.close();
    child.stdin?.end();
    const [code] = (await once(child, "close")) as [number];
    t.is(code, 0);
    await done;
  },
);

rootTest("list --freeze whose watchdog fires leaves no list behind and exits 4", async (t) => {
  const { mountPoint, folder } = await fileSystem(t);
  await mkdir(join(mountPoint, "dir"));
  const out = join(folder, "list.glist");
  const child = await startAgent(t, "list", "--path", mountPoint, "--hold", "--watchdog", "1", "--out", out);
  const [code] = (await once(child, "close")) as [number];
  t.is(code, 4);
  await t.throwsAsync(stat(out), { code: "ENOENT" });
});

rootTest("list --freeze refuses to write its list to the file system that it freezes", async (t) => {
  const { mountPoint } = await fileSystem(t);
  const child = await startAgent(t, "list", "--path", mountPoint, "--freeze", "--out", join(mountPoint, "list.glist"));
  const [code] = (await once(child, "close")) as [number];
  t.is(code, 4);
  t.true(await thawed(mountPoint));
  await rm(join(mountPoint, "probe"), { force: true });
});

rootTest("a whole mounted file system is listed while frozen, and the copy is the same file system", async (t) => {
  const { mountPoint, image, folder } = await fileSystem(t);
  await writeFile(join(mountPoint, "a"), Buffer.alloc(3_000_000, "whole "));
  await writeFile(join(mountPoint, "gone"), Buffer.alloc(3_000_000, "gone "));
  await rm(join(mountPoint, "gone"));
  const out = join(folder, "list.glist");
  const child = await startAgent(t, "list", "--path", mountPoint, "--whole", "--hold", "--out", out, "--json");
  const result = JSON.parse(await lineOf(child.stdout, /^\{/)) as { members: number; bytes: number };
  t.is(result.members, 1);
  t.true(result.bytes < 20 << 20);
  const list = await Glist.open(out);
  for await (const listed of listedMembers(list.chunks(), 512)) {
    t.is(listed.member.type, "image");
    await writeFile(join(folder, "copy.img"), await contentOf(image, listed));
  }
  await list.close();
  child.stdin?.end();
  await once(child, "close");
  await run("e2fsck", "-fn", join(folder, "copy.img"));
  await run("debugfs", "-R", `dump /a ${join(folder, "a")}`, join(folder, "copy.img"));
  t.true((await readFile(join(folder, "a"))).equals(await readFile(join(mountPoint, "a"))));
});
