// Of those who may write on a disk, whose turn it is.

type Candidate = readonly [name: string, issuedMs: number];

/** The oldest key first; of two of the same second the name decides, so that it is the same after every start. */
const older = (a: Candidate, b: Candidate): number => a[1] - b[1] || (a[0] < b[0] ? -1 : 1);

export const byAge = (candidates: ReadonlyMap<string, number>): readonly string[] =>
  [...candidates].sort(older).map(([name]) => name);

export function oldest(candidates: ReadonlyMap<string, number>): string | undefined {
  let found: Candidate | undefined;
  for (const candidate of candidates) if (found === undefined || older(candidate, found) < 0) found = candidate;
  return found?.[0];
}
