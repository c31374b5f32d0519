// Nothing but a run of the engine, and then nothing but its closing, keeps this process alive.
import { join } from "node:path";
import { ProgramBuilder } from "../../../src/native/index.js";
import { openTestDisk, run, testAddon } from "../support.js";

const [, , folder = ""] = process.argv;
const plane = testAddon();
const disk = await openTestDisk(plane, join(folder, "disk"), 1024n);
disk.device.inject({ delayMs: 100 });
const arena = plane.createArena(8n << 20n);
const { copy, done } = run(plane, arena, [disk.unit]);
const program = new ProgramBuilder().extent("gather", 0, 0n, 512n, 1).discard(512n).take();
copy.append(program.gather, program.scatter, program.inline);
copy.finish();
process.stdout.write(`${(await done).result}\n`);
await copy.close();
process.stdout.write("closed\n");
