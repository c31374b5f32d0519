// What is known of the suite's results: tests that may be skipped, and where a disk behind the bridge may differ from the
// same disk alone; each with its reason. A line that is no longer needed fails the run, so that the lists only shrink.
import type { Result, TestOutcome } from "./cu-output.js";

export interface Known {
  /** A disk's name, or "*": all of them. */
  readonly disk: string;
  readonly test: string;
  readonly reason: string;
}

const WORSE: Readonly<Record<Result, number>> = { passed: 0, skipped: 1, failed: 2 };

/** Lines of "disk Suite.Test reason"; "#" begins a comment. */
export function readKnown(text: string, file: string): Known[] {
  const known: Known[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, disk, test, reason] = /^(\S+)\s+(\w+\.\w+)\s+(\S.*)$/.exec(line) ?? [];
    if (disk === undefined || test === undefined || reason === undefined)
      throw new Error(`${file}:${index + 1}: a line is "disk Suite.Test reason", not "${line}"`);
    known.push({ disk, test, reason });
  }
  return known;
}

const concerns = (known: readonly Known[], disk: string, test: string): boolean =>
  known.some((entry) => (entry.disk === disk || entry.disk === "*") && entry.test === test);

/** What is wrong with the results of an emulated disk; empty: nothing. */
export function judgeDisk(disk: string, outcomes: readonly TestOutcome[], known: readonly Known[]): string[] {
  const problems: string[] = [];
  for (const { test, result, said } of outcomes) {
    const listed = concerns(known, disk, test);
    if (result === "failed") problems.push(`${test} failed: ${said}`);
    else if (result === "skipped" && !listed) problems.push(`${test} skipped itself and is not listed: ${said}`);
    else if (result === "passed" && listed) problems.push(`${test} passes and is still listed as skipped`);
  }
  return problems;
}

/**
 * What is wrong with a disk that is reached through the bridge, against the same kind of disk reached directly.
 * @param worse tests that may do worse, for a reason @param repaired tests that fail directly and have to pass here
 */
export function judgeThrough(
  disk: string,
  outcomes: readonly TestOutcome[],
  alone: readonly TestOutcome[],
  { worse, repaired }: { readonly worse: readonly Known[]; readonly repaired: readonly Known[] },
): string[] {
  const problems: string[] = [];
  const before = new Map(alone.map(({ test, result }) => [test, result]));
  for (const { test, result, said } of outcomes) {
    const was = before.get(test);
    if (was === undefined) problems.push(`${test} did not run on the disk alone`);
    else if (concerns(repaired, disk, test)) {
      if (result !== "passed") problems.push(`${test} is repaired by the bridge and ${result} now: ${said}`);
    } else {
      const lost = WORSE[result] > WORSE[was];
      const listed = concerns(worse, disk, test);
      if (lost && !listed) problems.push(`${test} ${was} on the disk alone and ${result} through the bridge: ${said}`);
      if (!lost && listed) problems.push(`${test} is no worse than on the disk alone and is still listed`);
    }
  }
  return problems;
}
