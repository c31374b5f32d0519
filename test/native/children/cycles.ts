// Opens and closes everything many times over: node cycles.js <folder> <cycles>. Prints one JSON object with
// what the process has after a third of them and at the end.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ProgramBuilder } from "../../../src/native/index.js";
import { openTestDisk, openTestTape, run, TAPE_BLOCK, testAddon } from "../support.js";

const [, , folder = "", cycles = "0"] = process.argv;
const plane = testAddon();

/** One life: devices, units, arena, a copy that is run to its end or closed somewhere in the middle. */
async function cycle(number: number): Promise<void> {
  const disk = await openTestDisk(plane, join(folder, "disk"), 1024n);
  const tape = await openTestTape(plane, join(folder, `tape-${number % 4}`));
  const arena = plane.createArena(8n << 20n);
  const size = 1024n * 512n;
  const program = new ProgramBuilder().extent("gather", 0, 0n, size, 1).tape("scatter", 1, size).take();
  const { copy, done } = run(plane, arena, [disk.unit, tape.unit], { checkpointBytes: BigInt(TAPE_BLOCK) });
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  if (number % 3 === 0) await done;
  else if (number % 3 === 1) await sleep(number % 7);
  await copy.close();
  await Promise.all([disk.lu.close(), tape.lu.close()]);
  arena.close();
  disk.device.close();
  tape.device.close();
}

const counts = () => ({
  threads: readdirSync("/proc/self/task").length,
  files: readdirSync("/proc/self/fd").length,
  rss: process.memoryUsage.rss(),
});

const total = Number(cycles);
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});
let early = counts();
for (let i = 1; i <= total; i++) {
  await cycle(i);
  if (i === Math.ceil(total / 3)) {
    collect();
    early = counts();
  }
}
collect();
process.stdout.write(`${JSON.stringify({ early, late: counts() })}\n`);
