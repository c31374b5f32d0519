// What the verbs say of a real daemon and its devices, and what they do not say.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { freePort } from "../lib/mosquitto.js";
import { tmpDir } from "../lib/tmp.js";
import { DaemonProcess, runProgram, smallConfig } from "./daemon-parts.js";
import { type Place, place, SHELL } from "./shell-parts.js";

const run = ({ socket }: Place, ...args: string[]) => runProgram(SHELL, ["--socket", socket, ...args]);

async function said(here: Place, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(here, ...args);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

const json = async <T>(here: Place, ...args: string[]): Promise<T> =>
  JSON.parse(await said(here, ...args, "--json")) as T;

test("drives, shelves, paths, counters and configuration, as tables and as JSON", async (t) => {
  const here = await place(t);
  await said(here, "tape", "load", "tape0", "A00001", "--create");
  t.regex(await said(here, "show", "tape"), /tape0 +A00001 +ready +0 +false +none/);
  t.regex(await said(here, "show", "library"), /A00001 +in the drive +tape0/);
  await said(here, "tape", "unload", "tape0");
  t.regex(await said(here, "show", "tape"), /NOT READY: medium not present \(3Ah\/00h\)/);
  t.regex(await said(here, "show", "library"), /A00001 +on the shelf +tape0/);
  t.regex(await said(here, "show", "paths"), /disk0 +virtual +.*disk0 +in this process/);
  t.truthy((await json<{ process: { rssBytes: number } }>(here, "show", "counters")).process.rssBytes);
  t.is((await json<{ jobs: { depth: number } }>(here, "show", "config")).jobs.depth, 16);
});

test("a device in words: INQUIRY, sense data, log pages; TapeAlert flags only when nobody loses them by it", async (t) => {
  const here = await place(t);
  const inquiry = await said(here, "device", "inquire", "disk0");
  for (const words of [/^type +disk$/m, /^83h device identification:$/m, /^B0h block limits:$/m, /naa +logical-unit/])
    t.regex(inquiry, words);
  t.regex(await said(here, "device", "inquire", "tape0", "b0"), /sequential-access device capabilities/);
  t.regex(await said(here, "device", "sense", "tape0"), /testUnitReady +NOT READY: medium not present \(3Ah\/00h\)/);
  t.regex(await said(here, "device", "log", "tape0"), /02h write error counters:\n +code +what +value\n/);
  const alerts = await run(here, "device", "alerts", "tape0");
  t.is(alerts.code, 1);
  t.regex(alerts.stderr, /--take/);
  t.is((await run(here, "device", "log", "tape0", "2e")).code, 1);
  t.is(await said(here, "device", "alerts", "tape0", "--take"), "none\n");
  t.regex((await run(here, "--role", "technician", "device", "alerts", "tape0", "--take")).stderr, /SHELL_ROLE/);
  for (const args of [
    ["inquire", "nobody"],
    ["log", "disk0", "99"],
    ["inquire", "disk0", "xx"],
    ["inquire", "disk0", "c5"],
  ])
    t.is((await run(here, "device", ...args)).code, 1, args.join(" "));
});

test("the self-test says of each part what it is and what to do, and its exit code is the verdict", async (t) => {
  const here = await place(t, '[keys]\nclock = "assume"\n');
  const { code, stdout } = await run(here, "--role", "technician", "self-test");
  t.is(code, 1);
  t.regex(stdout, /^data plane +pass /m);
  t.regex(stdout, /^store +pass /m);
  t.regex(stdout, /^clock +pass /m);
  t.regex(stdout, /^broker +FAIL +away since /m);
  t.regex(stdout, /^device tape0 +pass +GANTRY TAPE: NOT READY: medium not present/m);
});

test("a support bundle is a tar that nobody else may read, with everything in it but secrets", async (t) => {
  const secrets = ["mqtt-hunter2", "url-hunter2", "chap-hunter2-chap", "target-hunter2-target", "lu-hunter2-lu"];
  const files: string[] = [];
  const secret = (text: string): string => {
    const path = join("/tmp", `gantry-secret-${process.pid}-${files.length}`);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    files.push(path);
    return path;
  };
  const [mqtt = "", url = "", chap = "", target = "", lu = ""] = secrets;
  const more = `password_file = "${secret(mqtt)}"
username = "bridge"
[iscsi]
portals = ["127.0.0.1:${await freePort()}"]
authentication = "chap"
credentials = [{ initiator = "iqn.2024-01.x:a", user = "a", secret_file = "${secret(chap)}" }]
target_user = "b"
target_secret_file = "${secret(target)}"
[[target]]
name = "iqn.2024-01.x:t"
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "far" }]
[[device]]
name = "far"
type = "disk"
transport = "iscsi"
portal = "127.0.0.1:1"
target = "iqn.x"
lun = 0
chap_user = "c"
chap_secret_file = "${secret(lu)}"
`;
  const here = await place(t, more, (text) => text.replace("mqtt://", `mqtt://user:${url}@`));
  t.teardown(() => execFileSync("rm", files));
  await run(here, "self-test");
  await run(here, "device", "inquire", "far");
  const tar = join(here.directory, "bundle.tar");
  await said(here, "support", "bundle", tar);
  t.is(statSync(tar).mode & 0o777, 0o600);
  const bytes = readFileSync(tar, "latin1");
  for (const text of secrets) t.false(bytes.includes(text), text);
  const names = execFileSync("tar", ["tf", tar], { encoding: "utf8" }).trim().split("\n");
  for (const name of ["system.json", "config.json", "counters.json", "jobs.json", "self-test.json", "log.jsonl"])
    t.true(
      names.some((one) => one.endsWith(`/${name}`)),
      name,
    );
  const config = execFileSync("tar", ["xOf", tar, names.find((one) => one.endsWith("/config.json")) ?? ""]);
  t.like(JSON.parse(String(config)), { iscsi: { target_user: "b" }, control: { username: "bridge" } });
  // And in no other answer.
  for (const args of [
    ["show", "config"],
    ["show", "system"],
    ["show", "log"],
    ["show", "paths"],
    ["show", "counters"],
  ])
    for (const text of secrets)
      t.false((await said(here, ...args, "--json")).includes(text), `${args.join(" ")}: ${text}`);
});

test("a configuration is checked and put in force; the daemon goes on with it at once", async (t) => {
  const here = await place(t);
  const next = join(here.directory, "next.toml");
  const text = readFileSync(here.daemon.file, "utf8");
  writeFileSync(next, `${text}\n[jobs]\nmib_per_s = 9\ndepth = 0\n`);
  const wrong = await run(here, "config", "apply", next);
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /next\.toml:\d+: `jobs\.depth` must be at least 1/);
  t.is(readFileSync(here.daemon.file, "utf8"), text);
  writeFileSync(next, `${text}\n[jobs]\nmib_per_s = 9\nconcurrent = 1\n`);
  t.is(
    await said(here, "config", "check", next),
    "In order: 3 devices. For the next start of gantryd: jobs.concurrent.\n",
  );
  t.is((await run(here, "--role", "technician", "config", "apply", next)).code, 1);
  t.regex(await said(here, "config", "apply", next), /^In force: 3 devices\./);
  t.is((await json<{ jobs: { mib_per_s: number } }>(here, "show", "config")).jobs.mib_per_s, 9);
  t.is(readFileSync(`${here.daemon.file}.previous`, "utf8"), text);
});

test("update and reboot run the programs of the board, and say so when there are none", async (t) => {
  const here = await place(t);
  t.regex((await run(here, "update", "status")).stderr, /BOARD_MISSING/);
  const log = join(here.directory, "ran");
  const program = join(here.directory, "board");
  writeFileSync(program, `#!/bin/sh\necho "$@" | tee -a ${log}\n`, { mode: 0o755 });
  const next = join(here.directory, "next.toml");
  const board = `[board]\nupdate = ["${program}", "update"]\nreboot = ["${program}", "reboot"]\n`;
  writeFileSync(next, `${readFileSync(here.daemon.file, "utf8")}\n${board}`);
  await said(here, "config", "apply", next);
  t.is(await said(here, "update", "status"), "update status\n");
  t.is((await run(here, "update", "install", "a.raucb")).code, 2);
  t.is(await said(here, "update", "install", "/a.raucb", "--confirm", "daemon-test"), "update install /a.raucb\n");
  t.is((await run(here, "--role", "technician", "reboot", "--confirm", "daemon-test")).code, 1);
  t.is((await run(here, "reboot", "--confirm", "other")).code, 2);
  t.is(await said(here, "reboot", "--confirm", "daemon-test"), "reboot\n");
  t.is(readFileSync(log, "utf8"), "update status\nupdate install /a.raucb\nreboot\n");
});

test("who may open only the technicians' socket is a technician: that is the kernel's word, not the client's", async (t) => {
  const here = await place(t, '[shell]\ntechnician_group = "nogroup"\n');
  const state = join(here.directory, "state");
  const look = statSync(join(state, "gantry-look.sock"));
  t.is(look.mode & 0o777, 0o660);
  if (process.getuid?.() !== 0) return t.log("SKIPPED: only root can be somebody else");
  const nogroup = Number(/^nogroup:[^:]*:(\d+)/m.exec(readFileSync("/etc/group", "utf8"))?.[1]);
  t.is(look.gid, nogroup);
  for (const folder of [here.directory, state]) chmodSync(folder, 0o755);
  const somebody = (...args: string[]) =>
    spawnSync(process.execPath, [SHELL, "--socket", here.socket, ...args], {
      uid: 65_534,
      gid: nogroup,
      cwd: "/",
      encoding: "utf8",
    });
  if (somebody("--version").status !== 0) return t.log("SKIPPED: nobody else may read the programs here");
  t.regex(somebody("show", "devices").stdout, /disk0/);
  const refused = somebody("reservation", "clear", "disk0", "--confirm", "disk0");
  t.is(refused.status, 1);
  t.regex(refused.stderr, /SHELL_ROLE/);
  const closed = somebody("--role", "administrator", "show", "devices");
  t.is(closed.status, 3);
  t.regex(closed.stderr, /EACCES[\s\S]*member of the group/);
});

test("a group that is not there: the daemon does not start, and says so", async (t) => {
  const directory = await tmpDir(t, "shell");
  const daemon = new DaemonProcess(
    t,
    directory,
    smallConfig(directory, '[shell]\ntechnician_group = "no-such-group"\n'),
  );
  t.is(await daemon.exited, 1);
  t.true(daemon.has(/There is no group "no-such-group"/), daemon.output);
});
