#!/usr/bin/env node
// npm run test:conformance [-- --json] [--suite X]… [--disk NAME]… [--url URL] [--quiet]: iscsi-test-cu, which others
// wrote, on emulated disks, and on a disk of tgtd through the bridge and directly. With --url it judges that target
// only, against no list. Exits with 1 when anything is worse than the lists beside this file say.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { packageRoot } from "../../src/native/addon.js";
import { judgeDisk, judgeThrough, type Known, readKnown } from "./cu-lists.js";
import type { Result, TestOutcome } from "./cu-output.js";
import { type CuPlant, DISKS, runsOn, startCuPlant } from "./cu-plant.js";
import { listSuites, runTests, type SuiteRun } from "./cu-run.js";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    suite: { type: "string", multiple: true, default: [] },
    disk: { type: "string", multiple: true, default: [] },
    url: { type: "string" },
  },
});
/** Suites that run at a time, each on a disk of its own; one of them sleeps. */
const WORKERS = 4;

type Tally = Record<Result, number>;

interface DiskRun {
  readonly disk: string;
  readonly suites: readonly SuiteRun[];
  readonly outcomes: readonly TestOutcome[];
}

function known(name: string): readonly Known[] {
  const file = join("test", "conformance", name);
  return readKnown(readFileSync(join(packageRoot(), file), "utf8"), file);
}

function tally(outcomes: readonly TestOutcome[]): Tally {
  const counts: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const { result } of outcomes) counts[result]++;
  return counts;
}

async function chosenSuites(): Promise<ReadonlyMap<string, readonly string[]>> {
  const all = await listSuites();
  const unknown = values.suite.find((name) => !all.has(name));
  if (unknown !== undefined) throw new Error(`there is no suite ${unknown}; known are ${[...all.keys()].join(", ")}`);
  if (values.suite.length === 0) return all;
  return new Map([...all].filter(([name]) => values.suite.includes(name)));
}

/** All suites on all disks; a disk has one suite at a time. */
async function runDisks(disks: readonly string[], urlOf: (disk: string) => string): Promise<DiskRun[]> {
  const suites = await chosenSuites();
  const waiting = [...disks];
  const runs: DiskRun[] = [];
  const work = async (): Promise<void> => {
    for (let disk = waiting.shift(); disk !== undefined; disk = waiting.shift()) {
      const done: SuiteRun[] = [];
      for (const [suite, tests] of suites) {
        const wanted = values.url === undefined ? tests.filter((test) => runsOn(disk, test)) : tests;
        if (wanted.length > 0) done.push(await runTests(urlOf(disk), suite, tests, wanted));
      }
      runs.push({ disk, suites: done, outcomes: done.flatMap(({ outcomes }) => outcomes) });
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return runs;
}

function judge(runs: readonly DiskRun[]): string[] {
  const skipped = known("iscsi-skipped.txt");
  const lists = { worse: known("iscsi-worse.txt"), repaired: known("iscsi-repaired.txt") };
  const alone = runs.find(({ disk }) => disk === DISKS.alone)?.outcomes ?? [];
  return runs.flatMap(({ disk, outcomes }) => {
    if (disk === DISKS.alone) return [];
    const problems =
      disk === DISKS.through ? judgeThrough(disk, outcomes, alone, lists) : judgeDisk(disk, outcomes, skipped);
    return problems.map((problem) => `${disk}: ${problem}`);
  });
}

/** How many tests pass on an emulated disk, and fail on none. */
function emulated(runs: readonly DiskRun[]): string {
  const outcomes = runs
    .filter(({ disk }) => disk !== DISKS.alone && disk !== DISKS.through)
    .flatMap((run) => run.outcomes);
  const of = (wanted: Result): Set<string> =>
    new Set(outcomes.filter(({ result }) => result === wanted).map(({ test }) => test));
  const [failed, all] = [of("failed"), new Set(outcomes.map(({ test }) => test))];
  const passed = [...of("passed")].filter((test) => !failed.has(test));
  return `${passed.length} of ${all.size} tests pass on emulated disks, ${failed.size} fail`;
}

function table(runs: readonly DiskRun[]): string {
  const names = new Set(runs.flatMap(({ suites }) => suites.map(({ suite }) => suite)));
  const counts = (outcomes: readonly TestOutcome[]): string => {
    const { passed, failed, skipped } = tally(outcomes);
    return `${passed}/${failed}/${skipped}`;
  };
  const cell = (suites: readonly SuiteRun[], name: string): string => {
    const found = suites.find(({ suite }) => suite === name);
    return found === undefined ? "" : counts(found.outcomes);
  };
  const rows = [...names].map((name) => [name, ...runs.map(({ suites }) => cell(suites, name))]);
  const seconds = runs.map(({ suites }) => `${suites.reduce((sum, each) => sum + each.seconds, 0).toFixed(1)} s`);
  const lines = [
    ["passed/failed/skipped", ...runs.map(({ disk }) => disk)],
    ...rows,
    ["all", ...runs.map(({ outcomes }) => counts(outcomes))],
    ["time", ...seconds],
  ];
  return lines
    .map(([first = "", ...rest]) => first.padEnd(24) + rest.map((text) => text.padEnd(15)).join(""))
    .join("\n");
}

async function run(): Promise<DiskRun[]> {
  const { url } = values;
  if (url !== undefined) return runDisks([url], () => url);
  // What passes through is judged by what the same disk does alone.
  const all = Object.values(DISKS);
  const wanted = values.disk.includes(DISKS.through) ? [...values.disk, DISKS.alone] : values.disk;
  const chosen = wanted.length === 0 ? all : all.filter((disk) => wanted.includes(disk));
  // The paced disk's one test sleeps for a minute, best while the others run.
  const disks = chosen.toSorted((a, b) => Number(b === DISKS.paced) - Number(a === DISKS.paced));
  if (disks.length === 0) throw new Error(`disks are ${all.join(", ")}`);
  const directory = mkdtempSync(join(tmpdir(), "gantry-conformance-"));
  let plant: CuPlant | undefined;
  try {
    plant = await startCuPlant(directory);
    const { url: urlOf } = plant;
    const order: readonly string[] = all;
    const runs = await runDisks(disks, urlOf);
    return runs.sort((a, b) => order.indexOf(a.disk) - order.indexOf(b.disk));
  } finally {
    await plant?.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

const runs = await run();
const problems = values.url === undefined ? judge(runs) : runs.flatMap(({ outcomes }) => notPassed(outcomes));
if (values.json) {
  const disks = runs.map(({ disk, outcomes }) => ({ disk, ...tally(outcomes), outcomes }));
  console.log(JSON.stringify({ disks, problems }));
} else {
  console.log(table(runs));
  if (values.url === undefined) console.log(emulated(runs));
  for (const problem of problems) console.log(problem);
}
process.exitCode = problems.length === 0 ? 0 : 1;

function notPassed(outcomes: readonly TestOutcome[]): string[] {
  return outcomes
    .filter(({ result }) => result !== "passed")
    .map(({ test, result, said }) => `${test} ${result}: ${said}`);
}
