// Servers at the whole daemon: keys come over MQTT, initiators are libiscsi's and QEMU's, and between them stand the
// gate and the arbiter.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { native } from "../../src/native/index.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE, type TestBridge } from "../lib/bridge.js";
import { deviceTables, startPlant } from "../lib/job-plant.js";
import { freePort } from "../lib/mosquitto.js";

const run = promisify(execFile);
const TARGET = "iqn.2024-01.org.example:shared";
const WRITER = "iqn.2024-01.org.example:writer";
const READER = "iqn.2024-01.org.example:reader";
const TIMEOUT_MS = 30_000;
const TEST_UNIT_READY = new Uint8Array(6);
const CHECK_CONDITION = 2;
const RESERVATION_CONFLICT = 0x18;

async function start(t: ExecutionContext) {
  const port = await freePort();
  const plant = await startPlant(t, {
    devices: (directory) => `${deviceTables({ disks: { disk0: { path: join(directory, "disk0") } } }).replace(
      "block_bytes = 512",
      "block_bytes = 512\nsize_mib = 16",
    )}
[iscsi]
portals = ["127.0.0.1:${port}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }]
`,
  });
  const portal = `127.0.0.1:${port}`;
  const tool = async (program: string, ...args: string[]): Promise<string> =>
    (await run(program, args, { timeout: TIMEOUT_MS })).stdout;
  const open = async (initiator: string) => {
    const lu = await native.openLu({ transport: "iscsi", portal, target: TARGET, lun: 0, initiator });
    t.teardown(() => lu.close());
    return lu;
  };
  return { ...plant, portal, url: `iscsi://${portal}/${TARGET}/0`, tool, open };
}

async function grant(bridge: TestBridge, initiator: string, right: readonly string[]): Promise<Uint8Array> {
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${initiator}`,
    device: ["disk0"],
    right,
    priority: 100,
    lifeMs: 3_600_000,
  });
  await bridge.session.install(key);
  return key.content.id;
}

test("who has no key finds no LUN; a key to its name gives it one, while it is logged in", async (t) => {
  const { bridge, portal, tool, open } = await start(t);
  const lu = await open(WRITER);
  const refused = await lu.execute(TEST_UNIT_READY);
  t.is(refused.status, CHECK_CONDITION);
  t.is(refused.sense[12], 0x25, "LOGICAL UNIT NOT SUPPORTED");
  t.notRegex(await tool("iscsi-ls", "-i", WRITER, "-s", `iscsi://${portal}`), /Lun:0/);

  await grant(bridge, WRITER, ["read", "write"]);
  const told = [await lu.execute(TEST_UNIT_READY), await lu.execute(TEST_UNIT_READY)];
  t.deepEqual(
    told.map(({ sense }) => [sense[12], sense[13]]),
    [
      [0x29, 0x00],
      [0x3f, 0x0e],
    ],
    "a new path, and REPORTED LUNS DATA HAS CHANGED",
  );
  t.is((await lu.execute(TEST_UNIT_READY)).status, 0);
  t.regex(await tool("iscsi-ls", "-i", WRITER, "-s", `iscsi://${portal}`), /Lun:0 .*DIRECT_ACCESS/);
  t.notRegex(await tool("iscsi-ls", "-i", READER, "-s", `iscsi://${portal}`), /Lun:0/, "and nobody else");
});

test("what a server writes another with a key reads, and may not overwrite", async (t) => {
  const { bridge, tool, portal } = await start(t);
  await grant(bridge, WRITER, ["read", "write"]);
  await grant(bridge, READER, ["read"]);
  const options = (initiator: string): string =>
    `driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=${portal},file.target=${TARGET},file.lun=0,file.initiator-name=${initiator}`;
  await tool("qemu-io", "--image-opts", "-c", "write -P 0xab 1M 3M", "-c", "flush", options(WRITER));
  const read = await tool("qemu-io", "-r", "--image-opts", "-c", "read -P 0xab 1M 3M", options(READER));
  t.regex(read, /read 3145728\/3145728/);
  await t.throwsAsync(tool("qemu-io", "--image-opts", "-c", "write -P 0xcd 1M 1M", options(READER)));
  t.regex(
    await tool("qemu-io", "-r", "--image-opts", "-c", "read -P 0xab 1M 3M", options(WRITER)),
    /read 3145728\/3145728/,
  );
});

test("a reservation keeps another server out, is told of, and is cleared by the broker", async (t) => {
  const { bridge, open } = await start(t);
  await grant(bridge, WRITER, ["read", "write", "exclusive"]);
  await grant(bridge, READER, ["read", "write", "exclusive"]);
  const [one, two] = [await open(WRITER), await open(READER)];
  for (const lu of [one, two]) await lu.execute(TEST_UNIT_READY);
  const reserve = Uint8Array.of(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  t.is((await one.execute(reserve)).status, 0);
  t.is((await two.execute(reserve)).status, RESERVATION_CONFLICT);
  t.is((await two.execute(TEST_UNIT_READY)).status, RESERVATION_CONFLICT);
  t.is((await one.execute(TEST_UNIT_READY)).status, 0);

  const { reservations } = await bridge.session.client.send("reservation.list", {});
  const [facts] = reservations as readonly { kind: string; holders: readonly string[] }[];
  t.is(facts?.kind, "reserve");
  t.regex(facts?.holders.join() ?? "", new RegExp(WRITER));

  await bridge.session.client.send("reservation.clear", { device: "disk0" });
  t.is((await two.execute(TEST_UNIT_READY)).status, 0);
  const told = await one.execute(TEST_UNIT_READY);
  t.is(told.sense[12], 0x2a, "RESERVATIONS PREEMPTED");
  t.is(told.sense[13], 0x03);
});
