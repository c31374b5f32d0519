// The benchmark of the bridge works, whatever it measures; and its load generator, which is also the judge of long runs,
// notices what is wrong.
import { execFile } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { buildLoad, type LoadOptions, runLoad } from "../../tools/bench/bridge-load.js";
import type { Row } from "../../tools/bench/row.js";
import { startTgtd, type Tgtd } from "../lib/tgtd.js";

const BENCH = fileURLToPath(new URL("../../tools/bench/main.js", import.meta.url));
const DISK_MIB = 16;
const MIX = { mode: "mix", order: "random", verify: true, sessions: 4, depth: 4, span: 4 } as const;
/** More than any of this takes. */
const LONG_S = 60;

async function target(t: ExecutionContext): Promise<{ readonly tgtd: Tgtd; readonly where: LoadOptions }> {
  await buildLoad();
  const tgtd = await startTgtd({ disks: [DISK_MIB] });
  t.teardown(() => tgtd.close());
  const port = Number(tgtd.portal.split(":")[1]);
  return { tgtd, where: { port, target: tgtd.target, lun: 1, seconds: LONG_S } };
}

test("the benchmark of the bridge measures every point on both targets", async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, "bridge", "--quick", "--json"]);
  const { suite, rows } = JSON.parse(stdout) as { suite: string; rows: Row[] };
  t.is(suite, "bridge");
  const points = rows.filter(({ name }) => /^(4|256) KiB|^1 MiB/.test(name));
  t.is(points.length, 16);
  for (const { name, ours, peer } of points) t.true(ours > 0 && (peer ?? 0) > 0, name);
  t.is(rows.filter(({ name }) => name.startsWith("loopback")).length, 2);
  t.is(rows.filter(({ name }) => name.includes(" keys: ")).length, 2);
});

test("the load generator reads back what it wrote, in small and in large commands", async (t) => {
  const { where } = await target(t);
  for (const bytes of [512, 4096, 256 * 1024]) {
    const { commands, verified } = await runLoad({ ...where, ...MIX, bytes, commands: 600 });
    t.is(commands, 600);
    t.true(verified > 100, `${verified} reads of ${bytes} bytes were verified`);
  }
});

test("the load generator notices a disk that changes what was written", async (t) => {
  const { where, tgtd } = await target(t);
  const file = openSync(tgtd.units[0]?.file ?? "", "r+");
  t.teardown(() => closeSync(file));
  let ended = false;
  const load = runLoad({ ...where, ...MIX, bytes: 4096 }).finally(() => (ended = true));
  const outcome = t.throwsAsync(load, { message: /byte \d+ of the disk is wrong/ });
  for (let at = 0; !ended; at = (at + 4096) % (DISK_MIB << 20)) {
    writeSync(file, Buffer.alloc(4096), 0, 4096, at);
    if (at % (256 * 1024) === 0) await sleep(1);
  }
  await outcome;
});

test("the load generator ends with a sentence when a command fails, and when nobody lets it in", async (t) => {
  const { where, tgtd } = await target(t);
  await t.throwsAsync(runLoad({ ...where, target: "iqn.2024-01.test.gantry:other", commands: 1 }), {
    message: /login refused/,
  });
  const load = runLoad({ ...where, ...MIX });
  const outcome = t.throwsAsync(load, { message: /the target closed the connection|Connection reset/ });
  await sleep(200);
  await tgtd.kill();
  await outcome;
});
