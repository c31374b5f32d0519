#!/usr/bin/env node
// npm run -s bench:vm -- copy|bridge [--json] [--mib N] [--runs N]: what is measured on a real kernel, with the peers
// in alternation. The guest is emulated, so that only ratios mean anything.
import { parseArgs } from "node:util";
import { messageOf } from "../../../src/sys/errors.js";
import { type Row, table } from "../../../tools/bench/row.js";
import { measureBridge } from "./bridge.js";
import { measureCopy, type VmBenchOptions } from "./copy.js";

const SUITES: Readonly<Record<string, (options: VmBenchOptions) => Promise<readonly Row[]>>> = {
  bridge: measureBridge,
  copy: measureCopy,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    mib: { type: "string", default: "256" },
    runs: { type: "string", default: "5" },
  },
});
try {
  const [suite = ""] = positionals;
  const measure = SUITES[suite];
  if (measure === undefined) throw new Error(`usage: npm run -s bench:vm -- ${Object.keys(SUITES).join("|")} [--json]`);
  const rows = await measure({
    mib: Number(values.mib),
    runs: Number(values.runs),
    say: (text) => void process.stderr.write(`${text}\n`),
  });
  console.log(values.json ? JSON.stringify({ suite, rows }) : table(rows));
} catch (error) {
  console.error(`bench: ${messageOf(error)}`);
  process.exitCode = 1;
}
