#!/usr/bin/env node
// npm run -s bench -- SUITE [--json]: measures, each time with the peer in alternation on the same storage.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/sys/errors.js";
import { measureBridge } from "./bridge-suite.js";
import { measureCopy } from "./copy.js";
import { measureIdle } from "./idle.js";
import { measureList } from "./list.js";
import { type Row, table } from "./row.js";
import { measureXcopy } from "./xcopy.js";

export interface BenchOptions {
  /** A folder of the suite's own in memory. */
  readonly folder: string;
  /** Data of one copy. */
  readonly mib: number;
  readonly runs: number;
  /** Largest list, as a power of ten. */
  readonly extents: number;
  /** Only to see that it works: little of everything, and figures that say nothing. */
  readonly quick: boolean;
  readonly say: (text: string) => void;
}

const SUITES: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Row[]>>> = {
  bridge: measureBridge,
  copy: measureCopy,
  idle: measureIdle,
  list: measureList,
  xcopy: measureXcopy,
};
const MIB = { usual: 512, xcopy: 1024, quick: 32 } as const;
const RUNS_MIN = 5;
const EXTENTS_MIN = 3;
const EXTENTS_MAX = 7;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    mib: { type: "string" },
    runs: { type: "string" },
    extents: { type: "string", default: String(EXTENTS_MAX) },
  },
});

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`--${name} is a whole number from ${min} to ${max}`);
  return value;
}

const folder = mkdtempSync(join("/dev/shm", "gantry-bench-"));
try {
  const [suite = ""] = positionals;
  const { quick } = values;
  const measure = SUITES[suite];
  if (measure === undefined || positionals.length !== 1)
    throw new Error(
      `usage: npm run -s bench -- ${Object.keys(SUITES).join("|")} [--json] [--quick] [--mib N] [--runs N] [--extents POWER]`,
    );
  const rows = await measure({
    folder,
    mib: whole("mib", values.mib ?? String(MIB[quick ? "quick" : suite === "xcopy" ? "xcopy" : "usual"]), 16, 4096),
    runs: whole("runs", values.runs ?? String(quick ? 1 : RUNS_MIN), quick ? 1 : RUNS_MIN, 1000),
    quick,
    extents: whole("extents", values.extents, EXTENTS_MIN, EXTENTS_MAX),
    say: (text) => void process.stderr.write(`${text}\n`),
  });
  console.log(values.json ? JSON.stringify({ suite, rows }) : table(rows));
} catch (error) {
  console.error(`bench: ${messageOf(error)}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
