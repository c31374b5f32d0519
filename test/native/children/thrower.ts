// A callback that throws: the exception is the process's, the events after it still come.
import { join } from "node:path";
import { ProgramBuilder } from "../../../src/native/index.js";
import { openTestDisk, RING, TAPE_BLOCK, testAddon } from "../support.js";

const [, , folder = ""] = process.argv;
const plane = testAddon();
const disk = await openTestDisk(plane, join(folder, "disk"), 1024n);
const arena = plane.createArena(8n << 20n);
const caught: string[] = [];
process.on("uncaughtException", (error) => caught.push(error.message));
let calls = 0;
await new Promise<void>((resolve) => {
  const copy = plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit] }, () => {
    if (calls++ === 0) {
      copy.finish();
      throw new Error("from the callback");
    }
    if (copy.take().at(-1)?.type === "done") resolve();
  });
  const program = new ProgramBuilder().extent("gather", 0, 0n, 512n, 1).discard(512n).take();
  copy.append(program.gather, program.scatter, program.inline);
});
process.stdout.write(`${caught.join()}\n`);
