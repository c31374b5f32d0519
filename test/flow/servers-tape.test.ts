// A server at an emulated tape drive: cartridges come and go on people's word, and not from under anybody.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test from "ava";
import { native } from "../../src/native/index.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE } from "../lib/bridge.js";
import { deviceTables, startPlant } from "../lib/job-plant.js";
import { freePort } from "../lib/mosquitto.js";

const run = promisify(execFile);
const SHELL = fileURLToPath(new URL("../../src/shell/main.js", import.meta.url));
const TARGET = "iqn.2024-01.org.example:tapes";
const SERVER = "iqn.2024-01.org.example:server";
const TEST_UNIT_READY = new Uint8Array(6);
const PREVENT = Uint8Array.of(0x1e, 0, 0, 0, 1, 0);
const ALLOW = Uint8Array.of(0x1e, 0, 0, 0, 0, 0);
const RESERVE = Uint8Array.of(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const RELEASE = Uint8Array.of(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0);

test("cartridges for servers: by configuration, by MQTT, by the shell; not while the drive is used", async (t) => {
  const portal = `127.0.0.1:${await freePort()}`;
  const { bridge, directory } = await startPlant(t, {
    devices: (folder) => `${deviceTables({ tapes: { tape0: { path: join(folder, "tapes") } } })}cartridge = "A00001"
[iscsi]
portals = ["${portal}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "tape0" }]
`,
  });
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${SERVER}`,
    device: ["tape0"],
    right: ["read", "write", "media-control", "exclusive"],
    priority: 1,
    lifeMs: 3_600_000,
  });
  await bridge.session.install(key);
  const lu = await native.openLu({ transport: "iscsi", portal, target: TARGET, lun: 0, initiator: SERVER });
  t.teardown(() => lu.close());
  const { client } = bridge.session;
  const sense = async (cdb: Uint8Array): Promise<string> => {
    const answer = await lu.execute(cdb);
    if (answer.status !== 2) return `status ${answer.status}`;
    return [(answer.sense[2] ?? 0) & 15, answer.sense[12], answer.sense[13]]
      .map((byte) => byte?.toString(16))
      .join("/");
  };
  const loaded = async (): Promise<unknown> => {
    const { media } = await client.send("media.list", {});
    return (media as readonly { loaded?: string }[])[0]?.loaded;
  };
  const shell = async (...args: string[]): Promise<string> => {
    const socket = join(directory, "state", "gantry.sock");
    return (await run(process.execPath, [SHELL, "--socket", socket, ...args])).stdout;
  };

  t.is(await loaded(), "A00001");
  t.is(await sense(TEST_UNIT_READY), "6/29/0");
  t.is(await sense(TEST_UNIT_READY), "status 0", "what the configuration names is in the drive");

  await t.throwsAsync(client.send("media.load", { device: "tape0", cartridge: "A00002" }), { code: "MEDIA_MISSING" });
  await client.send("media.load", { device: "tape0", cartridge: "A00002", create: true });
  t.is(await loaded(), "A00002");
  t.is(await sense(TEST_UNIT_READY), "6/28/0", "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED");
  t.is(await sense(TEST_UNIT_READY), "status 0");

  t.is(await sense(PREVENT), "status 0");
  await t.throwsAsync(client.send("media.unload", { device: "tape0" }), { code: "DEVICE_IN_USE" });
  t.is(await sense(ALLOW), "status 0");
  t.is(await sense(RESERVE), "status 0");
  const error = await t.throwsAsync(client.send("media.unload", { device: "tape0" }), { code: "DEVICE_IN_USE" });
  t.true(error?.message.includes(SERVER), error?.message);
  t.is(await sense(RELEASE), "status 0");

  await shell("tape", "unload", "tape0");
  t.is(await sense(TEST_UNIT_READY), "2/3a/0", "MEDIUM NOT PRESENT");
  await shell("tape", "load", "tape0", "A00001");
  t.is(await loaded(), "A00001");
  await t.throwsAsync(shell("tape", "load", "tape0", "../A00001"));
  await t.throwsAsync(client.send("media.unload", { device: "disk9" }), { code: "DEVICE_UNKNOWN" });
});
