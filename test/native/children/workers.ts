// Every step of steps.ts in worker threads that end each in its own way, several at a time, beside a main
// thread that uses the data plane too: node workers.js <folder> with-main|workers-only
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { openTestDisk, ready, testAddon } from "../support.js";
import { LASTING_STEPS, STEPS } from "./steps.js";

const ALL = { ...STEPS, ...LASTING_STEPS };

async function inWorker(): Promise<void> {
  const { folder, step, ending } = workerData as { folder: string; step: string; ending: string };
  await ALL[step]?.({ plane: testAddon(), folder });
  parentPort?.postMessage("reached");
  if (ending === "exit") process.exit(0);
}

/** Resolves when the worker has ended after its step. */
function one(folder: string, step: string, ending: string): Promise<void> {
  mkdirSync(folder);
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { folder, step, ending } });
  return new Promise((resolve, reject) => {
    let reached = false;
    worker.on("error", reject);
    worker.on("exit", () => (reached ? resolve() : reject(new Error(`"${step}" was not reached`))));
    worker.on("message", () => {
      reached = true;
      if (ending === "terminate") worker.terminate().catch(reject);
    });
  });
}

async function inMain(folder: string, withMain: boolean): Promise<void> {
  const disk = withMain ? await openTestDisk(testAddon(), join(folder, "main"), 1024n) : undefined;
  let number = 0;
  for (const step of Object.keys(ALL)) {
    const endings = step in STEPS ? ["exit", "natural", "terminate"] : ["exit", "terminate"];
    await Promise.all(endings.map((ending) => one(join(folder, `${number++}`), step, ending)));
    if (disk !== undefined) await ready(disk.lu);
  }
  await disk?.lu.close();
  process.stdout.write(`${number} workers\n`);
}

const [, , folder = "", mode = ""] = process.argv;
if (isMainThread) await inMain(folder, mode === "with-main");
else await inWorker();
