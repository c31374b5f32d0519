// How gantryd starts, and how it does not: configuration, the state directory, its lock, the service manager.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { openStore } from "../../src/sys/store.js";
import { tmpDir } from "../lib/tmp.js";
import { DaemonProcess, GANTRYD, runProgram, smallConfig } from "./daemon-parts.js";
import { until } from "./kill-parts.js";

test("a configuration with errors: exit code 78, and a sentence with file, line and key for each", async (t) => {
  const file = join(await tmpDir(t, "daemon"), "gantry.toml");
  writeFileSync(file, '[bridge]\nid = "b"\n[control]\nurl = "http://x"\n[jobs]\ndepth = 0\nspeed = 3\n');
  for (const args of [
    ["--config", file],
    ["--check", "--config", file],
  ]) {
    const { code, stdout, stderr } = await runProgram(GANTRYD, args);
    t.is(code, 78);
    t.is(stdout, "");
    t.deepEqual(
      stderr
        .trimEnd()
        .split("\n")
        .map((line) => line.replace(file, "F")),
      [
        "F:1: `bridge.state_dir` is missing.",
        'F:4: `control.url` must look like "mqtt://host:1883" or "mqtts://host:8883", got "http://x".',
        "F:6: `jobs.depth` must be at least 1, got 0.",
        "F:7: `jobs.speed` is no key that Gantry knows; remove it or mend its spelling.",
      ],
    );
  }
  writeFileSync(file, "[bridge\n");
  t.regex((await runProgram(GANTRYD, ["--config", file])).stderr, /gantry\.toml:2: /);
  const missing = await runProgram(GANTRYD, ["--config", `${file}.not`]);
  t.is(missing.code, 78);
  t.regex(missing.stderr, /cannot be read/);
});

test("--check: a configuration in order is said to be, and nothing is started or made", async (t) => {
  const directory = await tmpDir(t, "daemon");
  const file = join(directory, "gantry.toml");
  writeFileSync(file, smallConfig(directory));
  const { code, stdout } = await runProgram(GANTRYD, ["--check", "--config", file]);
  t.is(code, 0);
  t.is(stdout, `${file} is in order: bridge daemon-test, 0 devices.\n`);
  t.throws(() => readFileSync(join(directory, "state", "gantry.mdb")), { code: "ENOENT" });
});

test("a second daemon on the same state directory is refused before it touches anything; kill -9 of the first frees it", async (t) => {
  const directory = await tmpDir(t, "daemon");
  const configuration = smallConfig(directory);
  const first = new DaemonProcess(t, directory, configuration);
  await first.logged("ready");
  // Even with a socket of its own.
  const second = new DaemonProcess(
    t,
    directory,
    `${configuration}\n[shell]\nsocket = "${join(directory, "other.sock")}"`,
  );
  t.is(await second.exited, 1);
  t.true(second.has(`Another gantryd (process ${first.process.pid}) uses the state directory`), second.output);
  t.is(first.process.exitCode, null);
  first.process.kill("SIGKILL");
  await first.exited;
  const third = new DaemonProcess(t, directory, configuration);
  await third.logged("ready");
  t.is(await third.stop(), 0);
  const store = openStore(join(directory, "state"));
  t.truthy(store.get(["control", "bdSeq"]));
  await store.close();
});

test("a socket that another daemon answers on: the daemon does not start, and ends", async (t) => {
  const [one, two] = [await tmpDir(t, "daemon"), await tmpDir(t, "daemon")];
  const first = new DaemonProcess(t, one, smallConfig(one));
  await first.logged("ready");
  const socket = join(one, "state", "gantry.sock");
  const second = new DaemonProcess(t, two, `${smallConfig(two)}\n[shell]\nsocket = "${socket}"`);
  t.is(await second.exited, 1);
  t.true(second.has("Another gantryd answers on"), second.output);
});

test("a state directory that cannot be written: exit code 1, and a sentence", async (t) => {
  const directory = await tmpDir(t, "daemon");
  // A file where the directory should be stops root, too, whom permissions do not.
  writeFileSync(join(directory, "state"), "");
  const daemon = new DaemonProcess(t, directory, smallConfig(directory));
  t.is(await daemon.exited, 1);
  t.true(
    daemon.has(/^gantryd does not start: The state directory .* cannot be used: .*Give the daemon/),
    daemon.output,
  );
});

test("what is in the state directory is no store: exit code 1, and a sentence", async (t) => {
  const directory = await tmpDir(t, "daemon");
  mkdirSync(join(directory, "state"));
  writeFileSync(join(directory, "state", "gantry.mdb"), Buffer.alloc(65536, 7));
  chmodSync(join(directory, "state", "gantry.mdb"), 0o600);
  const daemon = new DaemonProcess(t, directory, smallConfig(directory));
  t.is(await daemon.exited, 1);
  t.true(daemon.has(/^gantryd does not start: .*gantry\.mdb is damaged or no store of Gantry's/), daemon.output);
});

test("a device that cannot be opened: exit code 1, and a sentence with the device's name", async (t) => {
  const directory = await tmpDir(t, "daemon");
  const device = `[[device]]\nname = "d9"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, "none.img")}"\n`;
  const daemon = new DaemonProcess(t, directory, smallConfig(directory, device));
  t.is(await daemon.exited, 1);
  t.true(daemon.has(/gantryd does not start: Device d9 cannot be opened: /), daemon.output);
});

/** A service manager's end of the protocol: prints each datagram on a line of its own. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

test("the service manager hears READY, WATCHDOG, RELOADING and STOPPING, over a real datagram socket", async (t) => {
  const directory = await tmpDir(t, "daemon");
  const path = join(directory, "notify");
  const receiver = spawn("python3", ["-c", RECEIVER, path], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  const heard = (): string[] => text.trimEnd().split("\n");
  receiver.stdout.on("data", (data) => (text += String(data)));
  t.teardown(async () => {
    receiver.kill("SIGKILL");
    if (receiver.exitCode === null && receiver.signalCode === null) await once(receiver, "exit");
  });
  await until("the receiver is there", () => heard().includes("bound"));
  const daemon = new DaemonProcess(t, directory, smallConfig(directory), {
    NOTIFY_SOCKET: path,
    WATCHDOG_USEC: "200000",
  });
  await until("READY", () => heard().includes("READY=1"));
  await until("the watchdog's second sign of life", () => heard().filter((line) => line === "WATCHDOG=1").length >= 2);
  daemon.process.kill("SIGHUP");
  await until("READY again", () => heard().filter((line) => line === "READY=1").length === 2);
  t.is(heard().filter((line) => /^RELOADING=1 MONOTONIC_USEC=\d+$/.test(line)).length, 1);
  t.is(await daemon.stop(), 0);
  await until("STOPPING", () => heard().includes("STOPPING=1"));
  t.is(heard()[1], "READY=1");
});

test("a service manager that is gone stops nothing", async (t) => {
  const directory = await tmpDir(t, "daemon");
  const daemon = new DaemonProcess(t, directory, smallConfig(directory), { NOTIFY_SOCKET: join(directory, "none") });
  await daemon.logged("ready");
  t.true(daemon.has("the service manager could not be told"));
  t.is(await daemon.stop(), 0);
});

test("SIGTERM while the daemon starts is a clean stop; SIGHUP then is a reload once it has started", async (t) => {
  const directory = await tmpDir(t, "early");
  const stopped = new DaemonProcess(t, directory, smallConfig(directory));
  await stopped.logged("starting");
  t.is(await stopped.stop(), 0, stopped.output);

  const reread = new DaemonProcess(t, directory, smallConfig(directory));
  await reread.logged("starting");
  reread.process.kill("SIGHUP");
  await reread.logged("configuration reloaded");
  t.is(await reread.stop(), 0, reread.output);
});
