// Handles that nobody closes: what they had is free again after garbage collection. Run with --expose-gc.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Cdb, openTestDisk, openTestTape, RING, TAPE_BLOCK, testAddon } from "../support.js";

const [, , folder = ""] = process.argv;
const plane = testAddon();
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error("run with --expose-gc");

/** Threads of the data plane, and descriptors of this process. */
const threads = () =>
  readdirSync("/proc/self/task").filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, "utf8").startsWith("gantry");
    } catch {
      return false;
    }
  }).length;
const files = () => readdirSync("/proc/self/fd").length;

async function settled(condition: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < 400; tries++) {
    collect?.();
    await sleep(5);
    if (condition()) return true;
  }
  return false;
}

async function litter(number: number): Promise<void> {
  const disk = await openTestDisk(plane, join(folder, `disk-${number}`), 1024n);
  const tape = await openTestTape(plane, join(folder, `tape-${number}`));
  const arena = plane.createArena(8n << 20n);
  plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit, tape.unit] }, () => {});
}

await (await openTestDisk(plane, join(folder, "warm"), 1024n)).lu.close();
await settled(() => threads() === 0);
const before = files();
for (let i = 0; i < 5; i++) await litter(i);
const most = threads();
if (most < 10) throw new Error(`only ${most} threads: the test sees nothing`);
if (!(await settled(() => threads() === 0))) throw new Error(`${threads()} threads were left`);
if (!(await settled(() => files() <= before))) throw new Error(`${files()} files are open, not ${before}`);
process.stdout.write("garbage gone\n");

/** A command whose unit nobody holds any more ends as if somebody did. */
async function orphan(): Promise<Promise<{ outcome: string; data: Uint8Array }>[]> {
  const disk = await openTestDisk(plane, join(folder, "orphan"), 1024n);
  disk.device.inject({ opcode: 0x28, delayMs: 100 });
  return [disk.lu.execute(Cdb.read10(0, 1), { dataIn: 512 })];
}
const [pending] = await orphan();
for (let i = 0; i < 10; i++) {
  collect();
  await sleep(5);
}
const answer = await pending;
if (answer?.outcome !== "delivered" || answer.data.byteLength !== 512) throw new Error("the command was given up");
process.stdout.write("orphan answered\n");

/** A run whose callback holds the copy is kept until it is done. */
let ended = "";
async function detached(): Promise<void> {
  const disk = await openTestDisk(plane, join(folder, "detached"), 1024n);
  const arena = plane.createArena(8n << 20n);
  const copy = plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit] }, () => {
    const last = copy.take().at(-1);
    if (last?.type === "done") ended = last.result;
  });
  setTimeout(() => copy.finish(), 50);
}
await detached();
if (!(await settled(() => ended === "ok"))) throw new Error(`the run ended as "${ended}"`);
if (!(await settled(() => threads() === 0))) throw new Error("the run's threads were left");
process.stdout.write("detached run done\n");
