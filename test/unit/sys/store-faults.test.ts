// A store whose file fails under it: the descriptors that LMDB writes through are taken over by /dev/full, which takes
// no byte. One at a time, because a descriptor's number is the process's.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import type { GantryError } from "../../../src/sys/errors.js";
import { openStore, type Store } from "../../../src/sys/store.js";
import { tmpDir } from "../../lib/tmp.js";

const HOLDER = fileURLToPath(new URL("store-holder.js", import.meta.url));

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (store: Store, key: string): string | undefined => {
  const value = store.get([key]);
  return value && Buffer.from(value).toString();
};

const O_DSYNC = 0o10000;

/** LMDB has the file open twice: for its pages, and for its meta pages with each write on stable storage. */
function descriptor(directory: string, kind: "pages" | "meta"): number {
  const found = readdirSync("/proc/self/fd").find((fd) => {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== join(directory, "gantry.mdb")) return false;
      const flags = Number.parseInt(
        /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "",
        8,
      );
      return ((flags & O_DSYNC) !== 0) === (kind === "meta");
    } catch {
      // Of the listing itself.
      return false;
    }
  });
  if (found === undefined) throw new Error(`LMDB's descriptor for ${kind} was not found`);
  return Number(found);
}

/** From now on this number is another file. */
function takeOver(fd: number, path: string): void {
  closeSync(fd);
  const others: number[] = [];
  for (let opened = openSync(path, "r+"); opened !== fd; opened = openSync(path, "r+")) others.push(opened);
  for (const other of others) closeSync(other);
}

async function refused(t: ExecutionContext, write: Promise<void>, message: RegExp): Promise<void> {
  const error = await t.throwsAsync<GantryError>(write, { code: "STORE_UNUSABLE" });
  t.regex(error?.message ?? "", message);
}

test.serial(
  "the last write of a commit fails: its writers hear that it is not certain, and the store goes on",
  async (t) => {
    const directory = await tmpDir(t);
    const store = openStore(directory);
    await store.put(["before"], bytes("1"));
    takeOver(descriptor(directory, "meta"), "/dev/full");
    const failing = [store.put(["one"], bytes("1")), store.batch([{ delete: ["before"] }])];
    const meanwhile = Promise.all(failing).catch(() => store.put(["meanwhile"], bytes("1")));
    for (const write of failing)
      await refused(t, write, /did not take a write: No space.*\. Whether it was kept is not certain/);
    await meanwhile;
    await store.put(["after"], bytes("1"));
    const texts = (): unknown[] => ["before", "one", "meanwhile", "after"].map((key) => text(store, key));
    t.deepEqual(texts(), ["1", undefined, "1", "1"]);
    await store.close();
    const again = openStore(directory);
    t.is(text(again, "before"), "1");
    t.is(text(again, "after"), "1");
    await again.close();
  },
);

test.serial("a store that lost its file is refused in words, and nothing new is made in its place", async (t) => {
  const directory = await tmpDir(t);
  const file = join(directory, "gantry.mdb");
  const store = openStore(directory);
  await store.put(["before"], bytes("1"));
  takeOver(descriptor(directory, "meta"), "/dev/full");
  renameSync(file, `${file}.away`);
  await refused(t, store.put(["one"], bytes("1")), /not certain/);
  await refused(t, store.put(["two"], bytes("1")), /its file is gone.*Nothing of it was kept/);
  t.throws(() => store.get(["before"]), { code: "STORE_UNUSABLE", message: /cannot be read: its file is gone/ });
  t.throws(() => [...store.under([])], { code: "STORE_UNUSABLE", message: /cannot be read: its file is gone/ });
  t.false(readdirSync(directory).includes("gantry.mdb"));
  renameSync(`${file}.away`, file);
  t.is(text(store, "before"), "1");
  await store.put(["two"], bytes("1"));
  await store.close();
  await refused(t, store.put(["late"], bytes("1")), /closed/);
});

test.serial(
  "a page cannot be written: nothing of it is kept, reads go on, and so do writes when it can again",
  async (t) => {
    const directory = await tmpDir(t);
    const store = openStore(directory);
    await store.put(["before"], bytes("1"));
    const fd = descriptor(directory, "pages");
    takeOver(fd, "/dev/full");
    for (const key of ["one", "two"]) await refused(t, store.put([key], bytes("1")), /Nothing of it was kept/);
    t.is(text(store, "before"), "1");
    takeOver(fd, join(directory, "gantry.mdb"));
    await store.put(["after"], bytes("1"));
    t.is(text(store, "one"), undefined);
    await store.close();
  },
);

test.serial(
  "what is being read while a commit fails is read to its end, and only then the file is opened again",
  async (t) => {
    const directory = await tmpDir(t);
    const store = openStore(directory);
    await store.batch([1, 2, 3].map((number) => ({ put: ["n", number], value: bytes("1") })));
    const entries = store.under(["n"])[Symbol.iterator]();
    t.deepEqual(entries.next().value?.key, ["n", 1]);
    takeOver(descriptor(directory, "meta"), "/dev/full");
    await refused(t, store.put(["n", 4], bytes("1")), /not certain/);
    await refused(t, store.put(["n", 5], bytes("1")), /what is being read holds up.*Nothing of it was kept/);
    t.deepEqual(entries.next().value?.key, ["n", 2]);
    t.deepEqual(entries.next().value?.key, ["n", 3]);
    t.true(entries.next().done);
    await store.put(["n", 6], bytes("1"));
    t.deepEqual(
      [...store.under(["n"])].map(({ key }) => key[1]),
      [1, 2, 3, 6],
    );
    await store.close();
  },
);

test.serial(
  "a commit that gets no answer is told as that, later ones at once, and it goes on when there are answers again",
  async (t) => {
    const directory = await tmpDir(t);
    const store = openStore(directory, { answerMs: 400 });
    await store.put(["before"], bytes("1"));
    const holder = await holdsWrites(t, directory);
    await refused(t, store.put(["one"], bytes("1")), /no answer for 0.4 s\. Nothing of it was kept/);
    await refused(
      t,
      store.put(["two"], bytes("1")),
      /an earlier write has had no answer for 0.4 s\. Nothing of it was kept/,
    );
    t.is(text(store, "before"), "1");
    holder.kill("SIGKILL");
    const written = (): Promise<boolean> =>
      store.put(["after"], bytes("1")).then(
        () => true,
        () => false,
      );
    while (!(await written())) await sleep(10);
    t.is(text(store, "one"), undefined, "what was told as not kept is not written later");
    t.is(text(store, "two"), undefined);
    await store.close();
  },
);

test.serial("a store that gets no answer can be closed", async (t) => {
  const directory = await tmpDir(t);
  const store = openStore(directory, { answerMs: 100 });
  await holdsWrites(t, directory);
  const write = store.put(["one"], bytes("1"));
  await Promise.all([refused(t, write, /no answer/), store.close()]);
});

test.serial(
  "a commit that gets no answer in its last write: whether it was kept is not certain, and it is waited for",
  async (t) => {
    const frozen = await tmpDir(t);
    if (!mountedAt(t, frozen)) {
      t.log("SKIPPED: no loop mounts here");
      t.pass();
      return;
    }
    const directory = await tmpDir(t);
    const store = openStore(directory, { answerMs: 100 });
    await store.put(["before"], bytes("1"));
    const slow = join(frozen, "slow");
    writeFileSync(slow, Buffer.alloc(8192));
    takeOver(descriptor(directory, "meta"), slow);
    execFileSync("fsfreeze", ["-f", frozen]);
    t.teardown(() => execFileSync("fsfreeze", ["-u", frozen]));
    await refused(t, store.put(["one"], bytes("1")), /no answer for 0.1 s\. Whether it was kept is not certain/);
    await refused(t, store.put(["two"], bytes("1")), /an earlier write has had no answer.*Nothing of it was kept/);
    t.is(text(store, "before"), "1");
    await store.close();
  },
);

/** A small file system of the test's own. */
function mountedAt(t: ExecutionContext, directory: string): boolean {
  const image = `${directory}.ext4`;
  writeFileSync(image, "");
  t.teardown(() => rmSync(image));
  truncateSync(image, 4 * 1024 * 1024);
  if (spawnSync("mkfs.ext4", ["-q", image]).status !== 0) return false;
  if (spawnSync("mount", ["-o", "loop", image, directory]).status !== 0) return false;
  t.teardown(() => spawnSync("umount", ["-l", directory]));
  return true;
}

/** A process that has LMDB's lock for writers until it is killed: a commit then waits, as for a disk. */
async function holdsWrites(t: ExecutionContext, directory: string): Promise<ChildProcess> {
  const holder = spawn(process.execPath, [HOLDER, join(directory, "gantry.mdb")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(async () => {
    holder.kill("SIGKILL");
    if (holder.exitCode === null && holder.signalCode === null) await once(holder, "exit");
  });
  await once(holder.stdout, "data");
  return holder;
}
