// What iscsi-test-cu says about one suite, read line by line. CUnit counts a test that skipped itself as passed; it is
// one that passed and printed [SKIPPED] on the way.

export type Result = "passed" | "skipped" | "failed";

export interface TestOutcome {
  /** Suite.Test */
  readonly test: string;
  readonly result: Result;
  /** Why it was skipped or what failed, as the program says it; empty when it passed. */
  readonly said: string;
}

const SUITE = /^Suite: (\S+)/;
const TEST = /^ {2}Test: (\S+) \.\.\.(.*)$/;
/**
 * The verdict ends a line, with messages before it, or begins one, with what the clean-up of the suite says behind it;
 * messages are indented and tagged.
 */
const VERDICT = /^(passed|FAILED)|(?<!\[)(passed|FAILED)$/;
/** Total, run, passed, failed. */
const SUMMARY = /^ +tests +\d+ +\d+ +(\d+) +(\d+)/m;
/** The numbered assertions that follow FAILED. */
const ASSERTION = /^ {4}\d+\. (.*)$/;

interface Open {
  readonly test: string;
  readonly lines: string[];
}

/** Reads the output of one run with `-v`; a test without a verdict, after which the program died, has failed. */
export function readOutput(output: string): TestOutcome[] {
  const outcomes: TestOutcome[] = [];
  let suite = "";
  let open: Open | undefined;
  const close = (verdict: string): void => {
    if (open !== undefined) outcomes.push(judge(open, verdict));
    open = undefined;
  };
  for (const line of output.split("\n")) {
    const begun = TEST.exec(line);
    if (begun !== null) {
      close("");
      open = { test: `${suite}.${begun[1]}`, lines: [] };
    }
    const rest = begun?.[2] ?? line;
    const [, begins, ends] = VERDICT.exec(rest) ?? [];
    if (open === undefined) note(outcomes, line);
    else {
      if (begins === undefined) open.lines.push(rest);
      const verdict = begins ?? ends;
      if (verdict !== undefined) close(verdict);
    }
    suite = SUITE.exec(line)?.[1] ?? suite;
  }
  close("");
  return outcomes;
}

function judge({ test, lines }: Open, verdict: string): TestOutcome {
  const tagged = (tag: string): string | undefined =>
    lines
      .find((line) => line.includes(tag))
      ?.split(tag)[1]
      ?.trim();
  const skipped = tagged("[SKIPPED]");
  if (verdict === "passed")
    return skipped === undefined ? { test, result: "passed", said: "" } : { test, result: "skipped", said: skipped };
  const said = tagged("[FAILED]") ?? (verdict === "" ? "the program ended in the middle of it" : "");
  return { test, result: "failed", said };
}

/** An assertion explains a failure that said nothing itself. */
function note(outcomes: TestOutcome[], line: string): void {
  const last = outcomes.at(-1);
  const assertion = ASSERTION.exec(line)?.[1];
  if (last?.result === "failed" && last.said === "" && assertion !== undefined)
    outcomes[outcomes.length - 1] = { ...last, said: assertion };
}

/** Whether CUnit counts the same; it has no word for what was skipped, and none at all when it was ended. */
export function agrees(output: string, outcomes: readonly TestOutcome[]): boolean {
  const [, passed, failed] = SUMMARY.exec(output) ?? [];
  if (passed === undefined) return outcomes.some(({ result }) => result === "failed");
  const ours = outcomes.filter(({ result }) => result === "failed").length;
  return Number(passed) === outcomes.length - ours && Number(failed) === ours;
}

/** The tests of each suite, as `iscsi-test-cu --list` names them: ALL, ALL.Suite, ALL.Suite.Test, and other families. */
export function readList(listed: string): Map<string, string[]> {
  const suites = new Map<string, string[]>();
  for (const line of listed.split("\n")) {
    const [family, suite, test] = line.trim().split(".");
    if (family !== "ALL" || suite === undefined) continue;
    const tests = suites.get(suite) ?? [];
    suites.set(suite, tests);
    if (test !== undefined) tests.push(`${suite}.${test}`);
  }
  return suites;
}
