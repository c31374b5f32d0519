// One step of steps.ts, then an end: node ends.js <folder> <step> exit|natural|throw
import { testAddon } from "../support.js";
import { LASTING_STEPS, STEPS } from "./steps.js";

const [, , folder = "", step = "", ending = ""] = process.argv;
const work = STEPS[step] ?? LASTING_STEPS[step];
if (work === undefined) throw new Error(`no step "${step}"`);
await work({ plane: testAddon(), folder });
process.stdout.write(`reached ${step}\n`);
if (ending === "exit") process.exit(0);
if (ending === "throw")
  setImmediate(() => {
    throw new Error("the end that was ordered");
  });
