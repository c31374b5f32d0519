// Runs iscsi-test-cu of Debian's libiscsi-bin, one suite in a process of its own: in one process for all, what one suite
// leaves behind makes tests of the next ones fail.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { agrees, readList, readOutput, type TestOutcome } from "./cu-output.js";

const PROGRAM = "iscsi-test-cu";
/** Suites take some seconds, and Sanitize.Reset minutes; one that hangs has found something. */
const SUITE_MS = 300_000;
const OUTPUT_BYTES = 32 * 1024 * 1024;

/** Names that the program logs in with, both of which need a key. */
export const INITIATORS = [
  "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test",
  "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test-2",
] as const;

export interface SuiteRun {
  readonly suite: string;
  readonly outcomes: readonly TestOutcome[];
  readonly seconds: number;
}

/** All suites with their tests. */
export async function listSuites(): Promise<Map<string, string[]>> {
  return readList((await promisify(execFile)(PROGRAM, ["--list"])).stdout);
}

/** Those of a suite's tests that are wanted; each in a process of its own when it is not all of them. */
export async function runTests(
  url: string,
  suite: string,
  all: readonly string[],
  wanted: readonly string[],
): Promise<SuiteRun> {
  if (wanted.length === all.length) return runSuite(url, suite, all);
  const runs: SuiteRun[] = [];
  for (const test of wanted) runs.push(await runSuite(url, test, [test]));
  const seconds = runs.reduce((sum, each) => sum + each.seconds, 0);
  return { suite, outcomes: runs.flatMap(({ outcomes }) => outcomes), seconds };
}

/** One suite, or one test; every test of it has an outcome, also when the program ends before its turn. */
async function runSuite(url: string, suite: string, tests: readonly string[]): Promise<SuiteRun> {
  const start = performance.now();
  const { output, end } = await run(url, suite);
  const found = readOutput(output);
  const outcomes = new Map(found.map((outcome) => [outcome.test, outcome]));
  const missing = tests.some((test) => !outcomes.has(test));
  if (!missing && !agrees(output, found)) throw new Error(`the output of ${suite} was misread:\n${output}`);
  return {
    suite,
    outcomes: tests.map((test) => outcomes.get(test) ?? { test, result: "failed", said: `it did not run: ${end}` }),
    seconds: (performance.now() - start) / 1000,
  };
}

/** The suite MultipathIO wants two paths, which may be the same; to others a second one is in their way. */
function run(url: string, suite: string): Promise<{ readonly output: string; readonly end: string }> {
  const args = ["--dataloss", "--allow-sanitize", "-v", "-t", `ALL.${suite}`, url];
  if (suite.startsWith("MultipathIO")) args.push(url);
  return new Promise((resolve) => {
    const options = { timeout: SUITE_MS, killSignal: "SIGKILL", maxBuffer: OUTPUT_BYTES } as const;
    execFile(PROGRAM, args, options, (error, stdout, stderr) => {
      const last = `${stdout}\n${stderr}`.trim().split("\n").at(-1) ?? "";
      const end = error?.killed ? `it was ended after ${SUITE_MS / 1000} s` : last;
      resolve({ output: stdout, end });
    });
  });
}
