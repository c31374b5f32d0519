// gantry-broker, gantry-agent and gantry as people and scripts use them: programs with arguments, text, exit codes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { BRIDGE, TestBridge } from "../lib/bridge.js";
import { deviceTables } from "../lib/job-plant.js";
import { type Mosquitto, startMosquitto } from "../lib/mosquitto.js";
import { makeServer, type ServerFiles } from "../lib/server-files.js";
import { type Ran, runProgram } from "./daemon-parts.js";
import { Shared, until } from "./kill-parts.js";

const program = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const BROKER = program("tools/broker/main.js");
const AGENT = program("tools/agent/main.js");
const SHELL = program("src/shell/main.js");

const shared = new Shared();
let directory: string;
let mosquitto: Mosquitto;
let server: ServerFiles;
let bridge: TestBridge;

/** The same folder that the test bridge's configuration has the public key of. */
const broker = (...args: string[]): Promise<Ran> => runProgram(BROKER, [...brokerHome(), ...args]);
const brokerHome = (): string[] => [
  "--home",
  join(directory, "broker"),
  "--url",
  `mqtt://127.0.0.1:${mosquitto.port}`,
  "--wait",
  "10",
];
const shell = (...args: string[]): Promise<Ran> => runProgram(SHELL, ["--socket", socketPath(), ...args]);
const socketPath = (): string => join(directory, "state", "gantry.sock");
const listFile = (): string => join(directory, "made.glist");
const onTape = (...more: string[]): string[] => ["--bridge", BRIDGE, "--tape", "tape0", ...more];

/** One JSON document and nothing else. */
const json = <T>({ stdout }: Ran): T => JSON.parse(stdout) as T;

test.before(async () => {
  directory = await shared.directory();
  mosquitto = await startMosquitto();
  shared.teardown(() => mosquitto.close());
  server = await makeServer(directory, 1, 40);
  const other = join(directory, "other.img");
  writeFileSync(other, "");
  truncateSync(other, statSync(server.image).size);
  bridge = new TestBridge({
    directory,
    mqttPort: mosquitto.port,
    devices: deviceTables({
      disks: { disk0: { path: server.image }, other: { path: other } },
      tapes: { tape0: { path: join(directory, "tapes") } },
    }),
  });
  shared.teardown(() => bridge.close());
  await bridge.start();
});
test.after.always(() => shared.end());

test.serial("init makes a key pair once, and prints the line for the daemon's configuration", async (t) => {
  const home = join(directory, "another");
  const first = await runProgram(BROKER, ["--home", home, "init", "--name", "office"]);
  t.is(first.code, 0, first.stderr);
  t.regex(
    first.stdout,
    /\[keys\]\nissuers = \[\{ kid = "[0-9a-f]+", issuer = "office", public_key = "[\w-]{43}" \}\]\n$/,
  );
  t.is(statSync(join(home, "issuer.pem")).mode & 0o777, 0o600);
  const pem = readFileSync(join(home, "issuer.pem"), "utf8");
  const second = await runProgram(BROKER, ["--home", home, "--json", "init"]);
  t.is(second.code, 1);
  t.like(json(second), { error: { code: "BROKER_HOME_EXISTS" } });
  t.is(readFileSync(join(home, "issuer.pem"), "utf8"), pem);
});

test.serial("wrong use is exit code 2 with the usage's sentence; what fails is 1; help is 0", async (t) => {
  for (const [args, words] of [
    [["backup", "--bridge", BRIDGE], /required option '--tape <device>'/],
    [["nonsense"], /unknown command 'nonsense'/],
    [["status"], /required option '--bridge <id>'/],
  ] as const) {
    const { code, stdout, stderr } = await broker(...args);
    t.is(code, 2);
    t.is(stdout, "");
    t.regex(stderr, words);
  }
  t.is((await broker("--help")).code, 0);
  t.is((await shell("show", "nothing")).code, 2);
  t.is((await shell("--help")).code, 0);
  const away = await runProgram(BROKER, [...brokerHome(), "--wait", "1", "status", "--bridge", "elsewhere"]);
  t.is(away.code, 1);
  t.regex(away.stderr, /Bridge elsewhere cannot be reached/);
  const homeless = await runProgram(BROKER, ["--home", join(directory, "nobody"), "key", "issue", ...KEY]);
  t.is(homeless.code, 1);
  t.regex(homeless.stderr, /run `gantry-broker init` first/);
});

const KEY = ["--bridge", BRIDGE, "--device", "disk0", "tape0", "--right", "read", "write"];

test.serial("keys: issued and installed, listed, taken back by id", async (t) => {
  const issued = json<{ keyId: string; token: string }>(await broker("--json", "key", "issue", ...KEY, "--install"));
  t.regex(issued.keyId, /^[0-9a-f]{32}$/);
  const listed = await broker("key", "list", "--bridge", BRIDGE);
  t.is(listed.code, 0);
  t.regex(listed.stdout, /^keyId +holder +devices +rights +expiresMs\n/);
  t.true(listed.stdout.includes(`${issued.keyId}  mover   disk0,tape0  read,write  20`), listed.stdout);
  const bad = await broker("key", "issue", "--bridge", BRIDGE, "--device", "disk0", "--right", "fly");
  t.is(bad.code, 1);
  t.regex(bad.stderr, /"fly" is no right; known are read, write/);
  t.is((await broker("key", "revoke", issued.keyId, "--bridge", BRIDGE)).stdout, "1 keys are revoked.\n");
  t.is((await broker("key", "list", "--bridge", BRIDGE)).stdout, "none\n");
});

test.serial("from a list to a verified tape and back onto a disk, by commands alone", async (t) => {
  const made = await runProgram(AGENT, ["list", "--image", server.image, "--out", listFile(), "--json"]);
  t.is(made.code, 0, made.stderr);
  t.like(json(made), { members: 256 });
  const backup = await broker(
    "backup",
    ...onTape("--id", "nightly"),
    ...fromDisk(),
    "--cartridge",
    "A00001",
    "--sha256",
  );
  t.is(backup.code, 0, backup.stderr);
  t.regex(backup.stdout, /^job +nightly \(backup\)\nended +succeeded, /);
  t.regex(backup.stdout, /\ncartridge +A00001: objects 0 to \d+\n/);
  t.regex(backup.stderr, /block list delivered, 1 chunk\n/);
  const verify = await broker("--json", "verify", ...onTape("--id", "check", "--cartridge", "A00001"));
  t.is(verify.code, 0);
  t.is(verify.stderr, "");
  t.like(json(verify), { jobId: "check", state: "succeeded", membersDone: 247, miscompares: [] });
  const restore = await broker("restore", ...onTape("--id", "back"), ...fromDisk("other"), "--cartridge", "A00001");
  t.is(restore.code, 1, "the list is of another device under the same id");
  t.regex(restore.stderr, /LIST_EXISTS/);
  const again = await runProgram(AGENT, ["list", "--image", server.image, "--out", join(directory, "other.glist")]);
  t.is(again.code, 0);
  const onOther = ["--disk", "other", "--list", join(directory, "other.glist"), "--cartridge", "A00001"];
  t.is((await broker("restore", ...onTape("--id", "back-2"), ...onOther)).code, 0);
  const missing = await broker("verify", ...onTape("--id", "none", "--cartridge", "NONE"));
  t.is(missing.code, 1);
  t.regex(missing.stdout, /\nfailure +Cartridge NONE is not among those of tape0 .*\(MEDIA_MISSING\)\n$/);
});

const fromDisk = (disk = "disk0"): string[] => ["--disk", disk, "--list", listFile()];

test.serial("the log of all jobs: what failed comes first, --failed shows only that", async (t) => {
  const lines = (await broker("jobs")).stdout.trimEnd().split("\n");
  t.regex(lines[0] ?? "", /FAILED +test-bridge +none$/);
  t.regex(lines[1] ?? "", /^ {4}Cartridge NONE is not among/);
  t.true(lines.some((line) => /succeeded +test-bridge +nightly$/.test(line)));
  const failed = json<{ jobId: string; state: string }[]>(await broker("--json", "jobs", "--failed"));
  t.deepEqual(
    failed.map(({ jobId }) => jobId),
    ["none"],
  );
  const show = await broker("job", "show", "nightly", "--bridge", BRIDGE);
  t.is(show.code, 0);
  t.regex(show.stdout, /^job +nightly \(backup\)\n/);
  t.like(json(await broker("--json", "job", "show", "unknown", "--bridge", BRIDGE)), {
    error: { code: "JOB_UNKNOWN" },
  });
  const late = await broker("job", "cancel", "nightly", "--bridge", BRIDGE);
  t.is(late.code, 1);
  t.regex(late.stderr, /has ended \(succeeded\); there is nothing to cancel/);
});

test.serial("a job that runs: paused, resumed and cancelled from either side, and both show it", async (t) => {
  const args = [...onTape("--id", "long"), ...fromDisk(), "--cartridge", "A00002", "--rate-mib", "1"];
  const child = spawn(process.execPath, [BROKER, ...brokerHome(), "--json", "backup", ...args]);
  let out = "";
  child.stdout.on("data", (data) => (out += String(data)));
  const ended = once(child, "close") as Promise<[number | null]>;
  await until("it runs", () => existsSync(join(directory, "tapes", "A00002.tap")));
  t.is((await shell("job", "pause", "long")).stdout, "done\n");
  t.regex((await broker("job", "show", "long", "--bridge", BRIDGE)).stdout, /^long: paused, /);
  t.is((await broker("job", "resume", "long", "--bridge", BRIDGE)).stdout, "long: running\n");
  t.regex((await shell("show", "jobs")).stdout, /\nlong +backup +running +/);
  const cancelled = await shell("--json", "job", "cancel", "long");
  t.is(cancelled.code, 0);
  t.is(json(cancelled), null);
  const [code] = await ended;
  t.is(code, 1);
  t.like(JSON.parse(out), { jobId: "long", state: "cancelled" });
});

test.serial("the shell shows system, devices, media, keys and jobs as tables, and everything as JSON", async (t) => {
  const system = await shell("show", "system");
  t.is(system.code, 0);
  t.regex(system.stdout, /^bridge +test-bridge\n/);
  t.regex(system.stdout, /\nmqtt +connected, MQTT 5\.0\n/);
  t.regex(system.stdout, /\ndevices:\n {2}name +type +transport\n {2}disk0 +disk +virtual\n/);
  t.regex((await broker("status", "--bridge", BRIDGE)).stdout, /^bridge +test-bridge\nversion /);
  t.regex((await shell("show", "devices")).stdout, /\ntape0 +tape +virtual +GANTRY +TAPE /);
  t.regex((await shell("show", "media")).stdout, /\ntape0 +A00001,A00002 +A00002\n/);
  t.regex((await shell("show", "keys")).stdout, /job:nightly +disk0,tape0 +read,write,media-control/);
  t.regex((await shell("show", "jobs")).stdout, /^jobId +type +state +bytesDone +bytesTotal +membersDone +cartridge\n/);
  const report = (await shell("show", "job", "nightly")).stdout;
  t.regex(report, /\nbytesPerS +[\d.]+ MiB\/s\n/);
  t.regex(report, /\nvolumes:\n {2}cartridge +firstObject +endObject +from +to\n {2}A00001 +0 +\d+ /);
  for (const verb of ["system", "devices", "media", "keys", "jobs"])
    t.truthy(json(await shell("--json", "show", verb)));
  t.like(json(await shell("--json", "show", "job", "unknown")), { error: { code: "JOB_UNKNOWN" } });
});

test.serial(
  "the shell's socket is for the daemon's user and group; nonsense on it gets an answer and hurts nobody",
  async (t) => {
    t.is(statSync(socketPath()).mode & 0o777, 0o660);
    const socket = createConnection(socketPath());
    let said = "";
    socket.setEncoding("utf8").on("data", (data: string) => (said += data));
    socket.write('no json\n{"verb":"show jobs"}\n{"verb":"launch","args":[]}\n{"verb":"job pause","args":[]}\n');
    await until("four answers", () => said.split("\n").length > 4);
    socket.destroy();
    t.deepEqual(
      said
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { error: { code: string } }).error.code),
      ["SHELL_VERB", "SHELL_VERB", "SHELL_VERB", "SHELL_VERB"],
    );
    t.is((await shell("show", "jobs")).code, 0);
  },
);

test.serial("all keys of an epoch are taken back at once; jobs under them are refused, new keys hold", async (t) => {
  t.regex(
    (await broker("key", "revoke", "--epoch", "--bridge", BRIDGE)).stdout,
    /^All keys of epochs before \d+ are revoked\.\n$/,
  );
  t.is((await broker("key", "list", "--bridge", BRIDGE)).stdout, "none\n");
  t.is((await broker("key", "issue", ...KEY, "--install")).code, 0);
  t.is((await broker("--json", "key", "list", "--bridge", BRIDGE)).stdout.split("keyId").length, 2);
});

test.serial(
  "after kill -9 the shell says that nobody is there; the next daemon takes the socket that was left",
  async (t) => {
    await bridge.kill();
    t.true(existsSync(socketPath()));
    const away = await shell("show", "system");
    t.is(away.code, 3);
    t.regex(away.stderr, /The daemon cannot be asked over .*Is gantryd running\?/);
    t.like(json(await shell("--json", "show", "system")), { error: { code: "SHELL_SOCKET" } });
    bridge.launch();
    await until("the shell is back", async () => (await shell("show", "jobs")).code === 0);
    t.regex((await shell("show", "jobs")).stdout, /\nnightly +backup +succeeded /);
  },
);

test.serial("serve keeps reports in the log, whoever started the job, once each", async (t) => {
  const home = join(directory, "listener");
  t.is((await runProgram(BROKER, ["--home", home, "init"])).code, 0);
  const args = ["--home", home, "--url", `mqtt://127.0.0.1:${mosquitto.port}`, "serve", "--bridge", BRIDGE];
  const child = spawn(process.execPath, [BROKER, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (data) => (out += String(data)));
  t.teardown(() => child.kill("SIGKILL"));
  await until("the retained reports are in", () => out.includes("job long ended: cancelled"));
  child.kill("SIGTERM");
  t.deepEqual(await once(child, "close"), [0, null]);
  const logged = json<{ jobId: string }[]>(await runProgram(BROKER, ["--home", home, "--json", "jobs"]));
  const ids = logged.map(({ jobId }) => jobId).sort();
  t.deepEqual(ids, ["back-2", "check", "long", "nightly", "none"]);
});
