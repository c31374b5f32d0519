// Every decoder against bytes that go wrong: 2000 inputs each, with a seed that is told when one fails.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { fuzz, type Outcomes } from "./harness.js";
import { corpusFolder } from "./target.js";
import { TARGETS } from "./targets.js";

/** GANTRY_FUZZ_SEED repeats a run. */
const SEED = Number(process.env.GANTRY_FUZZ_SEED ?? Date.now() % 2 ** 31);
/** `npm test` takes fewer on its second Node: other inputs, and little that depends on the version. */
const RUNS = Number(process.env.GANTRY_FUZZ_RUNS ?? 2000);

for (const target of TARGETS) {
  // One after the other: what one does to the objects of all must not be laid at another's door.
  test.serial(`only a right value or an error of ours comes out of ${target.name}`, async (t) => {
    const outcomes: Outcomes = new Map();
    const finding = await fuzz(target, SEED, RUNS, outcomes);
    if (finding !== undefined) {
      const input = finding.input === undefined ? "" : `input (hex): ${Buffer.from(finding.input).toString("hex")}\n`;
      t.fail(`GANTRY_FUZZ_SEED=${SEED}\n${input}${finding.message}`);
      return;
    }
    // A target that refuses or takes everything looks at nothing. In a short run a rare value may not come up.
    if (RUNS < 2000) {
      t.pass();
      return;
    }
    t.true((outcomes.get("taken") ?? 0) > 0, "nothing was taken");
    t.true(target.codes.length === 0 || outcomes.size > 1, "nothing was refused");
  });

  test(`the corpus of ${target.name} is what the encoders make today (dist/test/fuzz/main.js --write-corpus)`, async (t) => {
    const folder = corpusFolder(target.name);
    t.true(existsSync(folder));
    const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
    const files = readdirSync(folder).filter((file) => file.startsWith("seed-"));
    const kept = files.sort().map((file) => digest(readFileSync(join(folder, file))));
    t.deepEqual(kept, (await target.seeds()).map(digest));
  });
}
