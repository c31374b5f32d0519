// Traces of a real server's commands: decoded on the console, followed at a terminal, and as a file; never their data.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { asc, grant, ONE, read, startGate, TEST_UNIT_READY, TWO, write } from "../lib/gate-plant.js";
import { succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList, VOLUME } from "../lib/raw-disk.js";
import { TerminalProcess } from "../lib/terminal.js";
import { runProgram } from "./daemon-parts.js";
import { SHELL } from "./shell-parts.js";

/** One verb a call, which succeeds. */
function shellOf(t: ExecutionContext, directory: string) {
  const socket = join(directory, "state", "gantry.sock");
  const gantry = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runProgram(SHELL, ["--socket", socket, ...args]);
    t.is(code, 0, stderr);
    return stdout;
  };
  return { socket, gantry };
}

test("the commands of one server, decoded, with sense in words; those of another are not there", async (t) => {
  const { bridge, directory, open } = await startGate(t);
  const { socket, gantry } = shellOf(t, directory);
  await grant(bridge, ONE);
  await grant(bridge, TWO, { right: ["read"] });
  const [one, two] = [await open(ONE), await open(TWO)];
  await gantry("--role", "technician", "trace", "on", ONE, "--seconds", "120");
  t.deepEqual(asc(await one.execute(TEST_UNIT_READY)), [0x06, 0x29, 0]);
  await two.execute(TEST_UNIT_READY);
  t.is((await write(one, 16, 8)).status, 0);
  t.is((await read(one, 17)).status, 0);
  t.is((await one.execute(Uint8Array.of(0xd0, 0, 0, 0, 0, 0))).status, 2);
  const text = await gantry("trace", "show");
  t.regex(text, /one LUN 0 disk0: TEST UNIT READY; UNIT ATTENTION: power on, reset, .*\(29h\/00h\), \d+ us/);
  t.regex(text, /WRITE\(10\) LBA 16, 8 blocks; GOOD, 4096 bytes out, \d+ us/);
  t.regex(text, /READ\(10\) LBA 17, 1 blocks; GOOD, 512 bytes in/);
  t.regex(text, /command D0h; ILLEGAL REQUEST: invalid command operation code \(20h\/00h\)/);
  t.notRegex(text, /:two /);

  const file = join(directory, "trace.pcap");
  await gantry("trace", "show", "--file", file);
  const bytes = readFileSync(file);
  t.is(bytes.readUInt32LE(20), 101);
  t.true(bytes.includes(Buffer.from("2a000000001000000800", "hex")), "the CDB");
  t.false(bytes.includes(Buffer.alloc(16, 0x5a)), "not a byte of what was written");
  const lines = JSON.parse(await gantry("trace", "show", "--json")) as { lines: unknown[]; on: string[] };
  t.is(lines.lines.length, 4);
  t.deepEqual(lines.on, [ONE]);
  t.false(JSON.stringify(lines).includes("5a5a5a5a"));

  // A device: whoever sends to it; and what is off is off.
  await gantry("trace", "off");
  await one.execute(TEST_UNIT_READY);
  t.is((JSON.parse(await gantry("trace", "show", "--json")) as { lines: unknown[] }).lines.length, 4);
  await gantry("trace", "on", "disk0");
  const terminal = new TerminalProcess(t, [process.execPath, SHELL, "--socket", socket]);
  await terminal.sees(/> /);
  terminal.type("trace show --last 1 --follow\r");
  await terminal.sees(/command D0h/);
  await two.execute(TEST_UNIT_READY);
  await one.execute(TEST_UNIT_READY);
  await terminal.sees(/:two LUN 0 disk0: TEST[\s\S]*:one LUN 0\s+disk0: TEST UNIT READY; GOOD/);
  terminal.type("\x03");
  await terminal.sees(/\^C[\s\S]*> /);
});

test("the commands of a copy job to a device, beside those of servers", async (t) => {
  const { bridge, directory, open } = await startGate(t, {
    prepare: (dir) => void rawDisk(join(dir, "disk1"), 16, "x"),
  });
  const { gantry } = shellOf(t, directory);
  await grant(bridge, ONE);
  const one = await open(ONE);
  await one.execute(TEST_UNIT_READY);
  const clone = async (jobId: string): Promise<void> => {
    const file = await rawList(directory, jobId, [
      {
        name: "m",
        at: [
          [0, 100, 50],
          [50, 3000, 8],
        ],
      },
    ]);
    const job = { type: "clone", disk: { device: "disk1" }, toDisk: { device: "disk0" }, volume: VOLUME } as const;
    succeeded(t, await bridge.run({ ...job, jobId }, { file, device: "disk1" }));
  };
  await clone("unseen");
  await gantry("trace", "on", "disk0");
  t.is((await read(one, 17)).status, 0);
  await clone("seen");
  const text = await gantry("trace", "show");
  t.regex(text, /one LUN 0 disk0: READ\(10\) LBA 17, 1 blocks; GOOD/);
  t.regex(text, /bridge disk0: WRITE\(1[06]\) LBA 100, 50 blocks; GOOD, 25600 bytes out/);
  t.regex(text, /bridge disk0: WRITE\(1[06]\) LBA 3000, 8 blocks; GOOD, 4096 bytes out/);
  t.is(text.match(/WRITE\(1[06]\) LBA 3000/g)?.length, 1, "one of the two jobs");
  t.notRegex(text, /disk1/);
  const { lines } = JSON.parse(await gantry("trace", "show", "--json")) as { lines: Record<string, unknown>[] };
  const own = lines.filter(({ nexus }) => nexus === undefined);
  t.true(
    own.length > 0 &&
      own.every(({ device, lun, initiator }) => device === "disk0" && lun === undefined && initiator === ""),
  );
  t.is(lines.filter(({ nexus }) => nexus !== undefined).length, lines.length - own.length);
  const file = join(directory, "trace.pcap");
  await gantry("trace", "show", "--file", file);
  t.true(readFileSync(file).length > 24 + 200 * own.length);
});
