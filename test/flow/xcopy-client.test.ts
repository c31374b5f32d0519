// gantry-xcopy as people and scripts use it: a program with arguments, text and exit codes, to a real target that is no
// copy manager of ours; and `gantry xcopy`, which hands over to it.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { SHELL as BUNDLED, makeBundle } from "../../tools/bundle/bundle.js";
import { startTgtd, type Tgtd } from "../lib/tgtd.js";
import { tmpDir } from "../lib/tmp.js";
import { type Ran, runProgram } from "./daemon-parts.js";
import { Shared } from "./kill-parts.js";

const program = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const XCOPY = program("tools/xcopy/main.js");
const SHELL = program("src/shell/main.js");
const US = ["--initiator", "iqn.2024-01.org.example:server"];

const shared = new Shared();
let tgtd: Tgtd;
const xcopy = (...args: string[]): Promise<Ran> => runProgram(XCOPY, args);
const unit = (index: number): string => `iscsi://${tgtd.portal}/${tgtd.target}/${tgtd.units[index]?.lun}`;
const json = ({ stdout }: Ran): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>;

test.before(async () => {
  tgtd = await startTgtd({ disks: [4, 4] });
  shared.teardown(() => tgtd.close());
});
test.after.always(() => shared.end());

test("a list of devices that a real target names is printed, explained, and made again of its own words", async (t) => {
  const directory = await tmpDir(t, "xcopy");
  const devices = ["--device", `d0=lun:${tgtd.units[0]?.lun}`, "--device", `d1=${unit(1)}`];
  const words = ["blocks d0@0+2048 -> d1@4096", "verify this"];
  const made = await xcopy("copy", unit(0), ...words, ...devices, ...US, "--dry-run", "--json");
  t.is(made.code, 0, made.stderr);
  const { bytes, devices: named } = json(made) as {
    bytes: string;
    devices: { blockBytes: number; deviceType: number }[];
  };
  t.like(named, [
    { deviceType: 0, blockBytes: 512 },
    { deviceType: 0, blockBytes: 512 },
  ]);
  const explained = await xcopy("explain", bytes);
  t.is(explained.code, 0, explained.stderr);
  t.true(explained.stdout.includes(words.join("\n")));
  const file = join(directory, "list");
  writeFileSync(file, explained.stdout);
  const again = await xcopy("copy", "/dev/sg0", "-f", file, "--dry-run", "--json");
  t.is(json(again).bytes, bytes);
});

test("a target that is no copy manager says so in sense data, and exit codes tell its refusal from its absence", async (t) => {
  const refused = await xcopy("abort", unit(0), "1", ...US);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /COPY OPERATION ABORT was refused: ILLEGAL REQUEST \(XCOPY_FAILED\)\n {2}why {2}invalid /);
  const nobody = await xcopy("abort", "iscsi://127.0.0.1:1/iqn.a:b/0", "1", ...US, "--json");
  t.is(nobody.code, 3);
  t.like(json(nobody), { error: { code: "XCOPY_UNANSWERED" } });
});

test("a word that is wrong is pointed at, with the exit code of wrong use", async (t) => {
  const ran = await xcopy("copy", "/dev/sg0", "blocks d0@0+1 -> d1", "--device", "d0=this", "--device", "d1=this");
  t.is(ran.code, 2);
  t.regex(ran.stderr, /\(XCOPY_SYNTAX\)\n {2}blocks d0@0\+1 -> d1\n {19}\^\^\n$/);
  t.regex((await xcopy("copy", "--help")).stdout, /blocks D@LBA\+N -> D@LBA \[cat\] \[dc\] \[hold\]/);
});

test("gantry xcopy hands over arguments and exit code, wherever gantry-xcopy is, and says so where it is not", async (t) => {
  const own = await runProgram(SHELL, ["xcopy", "explain", "00", "--as", "lid1", "--json"]);
  t.is(own.code, 2);
  t.like(json(own), { error: { code: "COPY_REFUSED" } });
  const late = await runProgram(SHELL, ["--json", "xcopy"]);
  t.is(late.code, 2);

  const folder = await tmpDir(t, "bundle");
  await makeBundle(folder);
  const bundled = join(folder, BUNDLED);
  t.false(existsSync(join(folder, "gantry-xcopy")));
  const none = await runProgram(bundled, ["xcopy", "--help"], { PATH: "" });
  t.is(none.code, 3);
  t.regex(none.stderr, /no gantry-xcopy on this machine.*\(XCOPY_MISSING\)/);
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const script = join(bin, "gantry-xcopy");
  writeFileSync(script, '#!/bin/sh\necho "$@"\nexit 7\n');
  chmodSync(script, 0o755);
  const found = await runProgram(bundled, ["xcopy", "a b", "--json"], { PATH: `${bin}:/usr/bin:/bin` });
  t.is(found.code, 7, found.stderr);
  t.is(found.stdout, "a b --json\n");
});
