// The long run over the TypeScript decoders, as a process of its own with little memory:
// node --max-old-space-size=256 dist/test/fuzz/main.js [--seconds N] [--only name,…] [--seed N] [--write-corpus]
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Finding, findingFile, fuzz, type Outcomes } from "./harness.js";
import { corpusFolder, type Target } from "./target.js";
import { TARGETS } from "./targets.js";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    only: { type: "string" },
    seed: { type: "string" },
    list: { type: "boolean" },
    "write-corpus": { type: "boolean" },
  },
});
const only = values.only?.split(",");
const targets = TARGETS.filter(({ name }) => only === undefined || only.includes(name));

if (values.list === true) for (const { name } of targets) console.log(name);
else if (values["write-corpus"] === true) for (const target of targets) await writeCorpus(target);
else process.exitCode = (await run()) ? 0 : 1;

/** Replaces what the encoders made; what once went wrong stays. */
async function writeCorpus(target: Target): Promise<void> {
  const folder = corpusFolder(target.name);
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(folder)) if (file.startsWith("seed-")) rmSync(join(folder, file));
  for (const [index, bytes] of (await target.seeds()).entries())
    writeFileSync(join(folder, `seed-${String(index).padStart(2, "0")}`), bytes);
}

async function run(): Promise<boolean> {
  const first = Number(values.seed ?? Date.now() % 2 ** 31);
  const end = performance.now() + Number(values.seconds) * 1000;
  const all = new Map<string, Outcomes>(targets.map(({ name }) => [name, new Map()]));
  const failed = new Set<string>();
  for (let seed = first; performance.now() < end; seed++) {
    for (const target of targets) {
      if (failed.has(target.name)) continue;
      // Whoever waits for this process learns from it what hung.
      console.log(`at ${target.name} seed ${seed}`);
      const finding = await fuzz(target, seed, 500, all.get(target.name) ?? new Map());
      if (finding === undefined) continue;
      failed.add(target.name);
      tell(finding);
    }
    if (failed.size === targets.length) break;
  }
  for (const [name, outcomes] of all)
    console.log(`${name}: ${[...outcomes].map(([code, n]) => `${n} ${code}`).join(", ")}`);
  return failed.size === 0;
}

function tell({ target, seed, input, message }: Finding): void {
  console.log(`FOUND in ${target} with --seed ${seed}:\n${message}`);
  if (input === undefined) return;
  const folder = join("build", "fuzz", "findings", target);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, findingFile(input));
  writeFileSync(file, input);
  console.log(`the input is kept in ${file}; mend the decoder, then move it to test/fuzz/corpus/${target}/`);
}
