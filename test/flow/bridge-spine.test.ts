// The bridge below the gate, with initiators that are not ours: libiscsi's tools and QEMU. Who may do what is not asked
// here: the keeper lets everybody do everything that its table knows.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { DeviceRegistry } from "../../src/device/registry.js";
import { Bridge } from "../../src/fabric/bridge.js";
import type { FabricSettings } from "../../src/fabric/lun-map.js";
import { native } from "../../src/native/index.js";
import { systemClock, systemTimers } from "../../src/sys/clock.js";
import { type Config, parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { DISK_ROWS, OpenKeeper } from "../lib/bridge-rows.js";
import { freePort } from "../lib/mosquitto.js";
import { startTgtd } from "../lib/tgtd.js";
import { tmpDir } from "../lib/tmp.js";

const run = promisify(execFile);
const TARGET = "iqn.2024-01.org.example:disks";
const INITIATOR = "iqn.2024-01.org.example:server-7";
const TIMEOUT_MS = 30_000;

interface Spine {
  readonly directory: string;
  readonly port: number;
  readonly bridge: Bridge;
  readonly keeper: OpenKeeper;
  readonly settings: (fabric: string) => FabricSettings;
  tool(program: string, ...args: string[]): Promise<string>;
  url(lun: number): string;
}

const fabricOf = ({ iscsi, target, zone }: Config): FabricSettings => {
  if (iscsi === undefined) throw new Error("no [iscsi]");
  return { iscsi, target, zone };
};

async function start(t: ExecutionContext, devicesToml: (directory: string) => string, fabric: string): Promise<Spine> {
  const directory = await tmpDir(t, "spine");
  const port = await freePort();
  const parse = (more: string): Config =>
    parseConfig(
      `[bridge]\nid = "b1"\nstate_dir = "/s"\n[control]\nurl = "mqtt://127.0.0.1:1883"\n${devicesToml(directory)}\n[iscsi]\nportals = ["127.0.0.1:${port}"]\n${more}`,
      "gantry.toml",
    );
  const config = parse(fabric);
  const devices = new DeviceRegistry(native, config.device);
  devices.start();
  let keeper: OpenKeeper | undefined;
  const bridge = await Bridge.start({
    native,
    devices,
    settings: fabricOf(config),
    classes: DISK_ROWS,
    keeper: (plane) => (keeper = new OpenKeeper(plane)),
    clock: systemClock,
    timers: systemTimers,
    log: silentLogger(),
  });
  t.teardown(async () => {
    await bridge.stop();
    await devices.stop();
  });
  if (keeper === undefined) throw new Error("no keeper was made");
  return {
    directory,
    port,
    bridge,
    keeper,
    settings: (more) => fabricOf(parse(more)),
    url: (lun) => `iscsi://127.0.0.1:${port}/${TARGET}/${lun}`,
    tool: async (program, ...args) => (await run(program, args, { timeout: TIMEOUT_MS })).stdout,
  };
}

const disk = (name: string, directory: string): string =>
  `[[device]]\nname = "${name}"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, name)}"\nsize_mib = 16\n`;
const twoDisks = (directory: string): string => disk("disk0", directory) + disk("disk1", directory);
const MAP = `[[target]]\nname = "${TARGET}"\nluns = [{ lun = 0, device = "disk0" }, { lun = 7, device = "disk1" }]\n`;

test("stock initiators find a disk, and read what they wrote", async (t) => {
  const { tool, url, port, directory, keeper } = await start(t, twoDisks, MAP);
  const list = await tool("iscsi-ls", "-s", `iscsi://127.0.0.1:${port}`);
  t.regex(list, new RegExp(`Target:${TARGET} Portal:127.0.0.1:${port},1`));
  t.regex(list, /Lun:0 .*DIRECT_ACCESS/);
  t.regex(list, /Lun:7 .*DIRECT_ACCESS/);
  t.regex(await tool("iscsi-inq", url(0)), /Vendor:GANTRY/);
  t.regex(await tool("iscsi-readcapacity16", url(7)), /Total size:16777216/);
  t.regex(await tool("qemu-img", "info", url(0)), /virtual size: 16 MiB/);
  await tool("qemu-io", "-f", "raw", "-c", "write -P 0xab 1M 3M", "-c", "flush", url(0));
  t.regex(await tool("qemu-io", "-f", "raw", "-c", "read -P 0xab 1M 3M", url(0)), /read 3145728\/3145728/);
  const bytes = readFileSync(join(directory, "disk0"));
  t.true(bytes.subarray(1 << 20, 4 << 20).every((byte) => byte === 0xab));
  t.is(bytes[(1 << 20) - 1], 0);
  t.true(readFileSync(join(directory, "disk1")).every((byte) => byte === 0));
  t.deepEqual(keeper.refusals, [], "nothing was refused");
});

test("the same disk behind two targets says by which port it was asked, and which ports there are", async (t) => {
  const second = "iqn.2024-01.org.example:again";
  const both = `${MAP}[[target]]\nname = "${second}"\nluns = [{ lun = 3, device = "disk0" }]\n`;
  const { tool, url, port } = await start(t, twoDisks, both);
  const identity = (where: string): Promise<string> => tool("iscsi-inq", "-e", "1", "-c", "131", where);
  const one = await identity(url(0));
  const other = await identity(`iscsi://127.0.0.1:${port}/${second}/3`);
  for (const [page, target] of [
    [one, TARGET],
    [other, second],
  ] as const) {
    t.true(page.includes(`Designator:[${target},t,0x0001]`), page);
    t.true(page.includes(`Designator:[${target}]`), "the target's own name");
  }
  t.false(one.includes(second));
  const lus = await Promise.all(
    [
      [TARGET, 0],
      [second, 3],
    ].map(([target, lun]) =>
      native.openLu({
        transport: "iscsi",
        portal: `127.0.0.1:${port}`,
        target: String(target),
        lun: Number(lun),
        initiator: INITIATOR,
      }),
    ),
  );
  const ask = async (lu: (typeof lus)[number] | undefined, ...cdb: number[]): Promise<Buffer> => {
    await lu?.execute(new Uint8Array(6));
    const answer = await lu?.execute(Uint8Array.from(cdb), { dataIn: 255 });
    t.is(answer?.status, 0);
    return Buffer.from(answer?.data ?? []);
  };
  try {
    const pages = [];
    for (const lu of lus) pages.push(await ask(lu, 0x12, 1, 0x83, 0, 255, 0));
    const relative = pages.map((page) => page.readUInt16BE(page.indexOf("51940004", "hex") + 6));
    t.deepEqual(relative, [1, 2]);
    const group = await ask(lus[1], 0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0);
    t.is(group.subarray(0, 20).toString("hex"), "00000010000100010000000200000001".concat("00000002"));
  } finally {
    await Promise.all(lus.map((lu) => lu.close()));
  }
});

test("a LUN that the map does not have is not there", async (t) => {
  const { tool, url } = await start(t, twoDisks, MAP);
  await t.throwsAsync(tool("iscsi-readcapacity16", url(1)));
});

test("an opcode that the table does not have reaches no device", async (t) => {
  const { port, keeper } = await start(t, twoDisks, MAP);
  const lu = await native.openLu({
    transport: "iscsi",
    portal: `127.0.0.1:${port}`,
    target: TARGET,
    lun: 0,
    initiator: INITIATOR,
  });
  const answer = await lu.execute(Uint8Array.of(0x04, 0, 0, 0, 0, 0));
  await lu.close();
  t.is(answer.status, 2);
  t.is((answer.sense[2] ?? 0) & 0x0f, 5);
  t.is(answer.sense[12], 0x20);
  t.like(keeper.refusals[0], { why: "no-opcode", opcode: 0x04 });
});

test("a session whose target leaves the configuration ends; one whose LUN leaves goes on without it", async (t) => {
  const { bridge, port, settings } = await start(t, twoDisks, MAP);
  const open = (lun: number) =>
    native.openLu({ transport: "iscsi", portal: `127.0.0.1:${port}`, target: TARGET, lun, initiator: INITIATOR });
  const lu = await open(7);
  const told: string[] = [];
  const ready = async (): Promise<number> => {
    const { status, sense } = await lu.execute(new Uint8Array(6));
    told.push(status === 0 ? "ready" : `${sense[12]?.toString(16)}/${sense[13]?.toString(16)}`);
    return status;
  };
  t.is(await ready(), 2, "a new nexus has a unit attention");
  t.is(await ready(), 0, told.slice(0, 20).join());
  await bridge.reload(settings(`[[target]]\nname = "${TARGET}"\nluns = [{ lun = 0, device = "disk0" }]\n`));
  const gone = await lu.execute(new Uint8Array(6));
  t.is(gone.status, 2);
  t.is(gone.sense[12], 0x25, "LOGICAL UNIT NOT SUPPORTED");
  await bridge.reload(settings(MAP));
  t.is(await ready(), 2, "and a new path has one, too");
  // The unit itself may come a moment later than the map, and its path with it.
  for (let turn = 0; turn < 500 && (await ready()) !== 0; turn++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(await ready(), 0, told.slice(0, 20).join());
  await bridge.reload(settings(`[[target]]\nname = "iqn.2024-01.org.example:other"\nluns = []\n`));
  const lost = await lu.execute(new Uint8Array(6)).catch(() => undefined);
  t.not(lost?.outcome, "delivered");
  await lu.close();
  await t.throwsAsync(open(7));
});

test("who is in no zone does not learn of the target", async (t) => {
  const zone = `[[zone]]\nname = "z"\ninitiators = ["${INITIATOR}"]\ndevices = ["disk1"]\n`;
  const { tool, port, url } = await start(t, twoDisks, MAP + zone);
  const list = await tool("iscsi-ls", "-i", INITIATOR, "-s", `iscsi://127.0.0.1:${port}`);
  t.regex(list, /Lun:7 /);
  t.notRegex(list, /Lun:0 /);
  t.notRegex(await tool("iscsi-ls", `iscsi://127.0.0.1:${port}`), /Target:/);
  await t.throwsAsync(tool("iscsi-inq", url(7)));
});

test("a disk of another iSCSI target passes through", async (t) => {
  const tgtd = await startTgtd({ disks: [16] });
  t.teardown(() => tgtd.close());
  const [unit] = tgtd.units;
  const through = `[[device]]\nname = "disk0"\ntype = "disk"\ntransport = "iscsi"\nportal = "${tgtd.portal}"\ntarget = "${tgtd.target}"\nlun = ${unit?.lun ?? 0}\n`;
  const { bridge, tool, url } = await start(
    t,
    () => through,
    `[[target]]\nname = "${TARGET}"\nluns = [{ lun = 0, device = "disk0" }]\n`,
  );
  while (bridge.units()[0]?.ready !== true) await new Promise((resolve) => setTimeout(resolve, 10));
  t.regex(await tool("iscsi-inq", url(0)), /Vendor:IET/);
  await tool("qemu-io", "-f", "raw", "-c", "write -P 0x5c 2M 2M", "-c", "flush", url(0));
  t.regex(await tool("qemu-io", "-f", "raw", "-c", "read -P 0x5c 2M 2M", url(0)), /read 2097152\/2097152/);
  const bytes = readFileSync(unit?.file ?? "");
  t.true(bytes.subarray(2 << 20, 4 << 20).every((byte) => byte === 0x5c));
});
