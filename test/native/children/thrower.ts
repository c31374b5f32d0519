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
const done = new Promise<void>((resolve) => {
  const copy = plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit] }, () => {
    const last = copy.take().at(-1);
    if (calls++ === 0) {
      copy.finish();
      throw new Error("from the callback");
    }
    if (last?.type === "done") resolve();
  });
  const program = new ProgramBuilder().extent("gather", 0, 0n, 512n, 1).discard(512n).take();
  copy.append(program.gather, program.scatter, program.inline);
});
// A run that waits for segments does not keep the process alive, and until finish() this one may be taken for such.
const stay = setInterval(() => {}, 1000);
await done;
clearInterval(stay);
process.stdout.write(`${caught.join()}\n`);
