// gantry-xcopy against the bridge: what is written in words is copied, by the real program over real sessions, and what
// fails is explained.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { GRAMMAR } from "../../tools/xcopy/grammar.js";
import { type CopyPlant, LUNS, type Name, startCopyPlant, TARGET } from "../lib/copy-plant.js";
import { type Ran, runProgram } from "./daemon-parts.js";

const XCOPY = fileURLToPath(new URL("../../tools/xcopy/main.js", import.meta.url));

interface Scene {
  readonly plant: CopyPlant;
  readonly run: (command: string, at: Name, ...args: string[]) => Promise<Ran>;
}

async function start(t: ExecutionContext): Promise<Scene> {
  const plant = await startCopyPlant(t);
  const { initiator } = await plant.host("words");
  const run = (command: string, at: Name, ...args: string[]): Promise<Ran> => {
    const unit = `iscsi://127.0.0.1:${plant.port}/${TARGET}/${LUNS[at]}`;
    return runProgram(XCOPY, [command, unit, ...args, "--initiator", initiator]);
  };
  return { plant, run };
}

const named = (...names: Name[]): string[] => names.flatMap((name) => ["--device", `${name}=lun:${LUNS[name]}`]);
const json = ({ stdout }: Ran): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>;

test("segments in words copy between disks, and the status of the copy is told", async (t) => {
  const { plant, run } = await start(t);
  const ran = await run(
    "copy",
    "disk0",
    "blocks disk0@100+2048 -> disk1@5",
    "image s@0+8 -> big0@3",
    ...named("disk0", "disk1", "big0"),
    "--device",
    "s=this",
  );
  t.is(ran.code, 0, ran.stderr);
  t.is(ran.stdout, "done, without errors: 2 segments processed, 1.0 MiB moved\n");
  const from = plant.disk("disk0");
  t.deepEqual(plant.disk("disk1").subarray(5 * 512, 2053 * 512), from.subarray(100 * 512, 2148 * 512));
  t.deepEqual(plant.disk("big0").subarray(3 * 4096, 4 * 4096), from.subarray(0, 4096));
});

test("a file of words copies to tape and back, in the longer form, followed until it ends", async (t) => {
  const { plant, run } = await start(t);
  const file = join(plant.directory, "copy");
  const label = Buffer.alloc(512, "label of 512 bytes, ");
  writeFileSync(join(plant.directory, "label"), label);
  writeFileSync(
    file,
    `device t0 = lun:${LUNS.tape0}
device d1 = lun:${LUNS.disk1}
device s = this
inline @${join(plant.directory, "label")} -> t0/512
blocks s@0+128 -> t0/16KiB
filemarks t0 1 # the end
locate t0 0
discard t0/512+512 hold
tape t0/16KiB -> d1@7+128
`,
  );
  const held = join(plant.directory, "held");
  const ran = await run(
    "copy",
    "disk0",
    "-f",
    file,
    "--lid4",
    "--immediate",
    "--list-id",
    "70000",
    "--held",
    held,
    "--json",
  );
  t.is(ran.code, 0, ran.stdout + ran.stderr);
  t.like(json(ran), { listId: 70_000, segments: 6, outcome: { state: "done", segments: 6 }, held: { bytes: 512 } });
  t.deepEqual(readFileSync(held), label);
  t.deepEqual(plant.disk("disk1").subarray(7 * 512, 135 * 512), plant.disk("disk0").subarray(0, 65_536));
});

test("a copy that overlaps itself on a disk holds its data as it was, and goes as if it were read before", async (t) => {
  const { plant, run } = await start(t);
  const before = Uint8Array.from(plant.disk("disk0").subarray(0, 400 * 512));
  const held = join(plant.directory, "held");
  const words = ["blocks s@0+399 -> s@1 hold", "--device", "s=this"];
  const ran = await run("copy", "disk0", ...words, "--list-id", "7", "--held", held);
  t.is(ran.code, 0, ran.stdout + ran.stderr);
  t.true(
    plant
      .disk("disk0")
      .subarray(512, 400 * 512)
      .equals(before.subarray(0, 399 * 512)),
  );
  const data = readFileSync(held);
  t.true(data.length > 0);
  t.true(data.equals(before.subarray(0, data.length)));
});

test("what fails is explained in the words of its segment", async (t) => {
  const { run } = await start(t);
  const lines = ["blocks disk0@0+8 -> disk1@0", "blocks disk0@16380+8 -> disk1@16380"];
  const ran = await run("copy", "disk0", ...lines, ...named("disk0", "disk1"));
  t.is(ran.code, 1);
  t.regex(
    ran.stderr,
    /was aborted: COPY ABORTED in segment 1 \(the last is 1\) \(XCOPY_FAILED\)\n {4}blocks disk0@16380\+8 -> disk1@16380\n/,
  );
});

test("both ways to tell the limits agree, and all words are taken but those of RODs", async (t) => {
  const { run } = await start(t);
  const ran = await run("parameters", "disk0");
  t.is(ran.code, 0, ran.stderr);
  const limits = /^(CSCD descriptors|segments {2}|bytes of|copies|.* granularity|descriptor types) /;
  const rows = ran.stdout.split("\n").filter((line) => limits.test(line));
  t.true(rows.length >= 12, ran.stdout);
  for (const row of rows) t.regex(row, /^.+? {2,}(\S.*?) {2,}\1$/);
  const taken = ran.stdout.slice(ran.stdout.indexOf("segments that it takes:"));
  for (const { words } of GRAMMAR) t.is(taken.includes(`  ${words}\n`), !words.startsWith("rod"), words);
});

test("a token is made of ranges of one disk and written to another", async (t) => {
  const { plant, run } = await start(t);
  const file = join(plant.directory, "token");
  const made = await run("populate", "disk0", "10+16", "100+8", "--out", file);
  t.is(made.code, 0, made.stderr);
  t.is(readFileSync(file).length, 512);
  t.regex(made.stdout, /^done, without errors: 2 segments processed, 24 blocks moved$/m);
  t.regex((await run("tokens", "disk0")).stdout, /change vulnerable/);
  const written = await run("write", "disk1", "0+20", "--token", file);
  t.is(written.code, 0, written.stderr);
  t.is(written.stdout, "done, without errors: 20 blocks written\n");
  const [from, to] = [plant.disk("disk0"), plant.disk("disk1")];
  t.deepEqual(to.subarray(0, 16 * 512), from.subarray(10 * 512, 26 * 512));
  t.deepEqual(to.subarray(16 * 512, 20 * 512), from.subarray(100 * 512, 104 * 512));
  t.is((await run("write", "disk1", "64+4", "--zero")).code, 0);
  t.deepEqual(plant.disk("disk1").subarray(64 * 512, 68 * 512), Buffer.alloc(2048));
});
