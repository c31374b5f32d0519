// Runs targets: in `npm test` a fixed number of inputs, in `npm run test:fuzz` for as long as is wanted.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { mutants } from "./mutate.js";
import { materialOf, outcomeOf, type Target } from "./target.js";

export interface Finding {
  readonly target: string;
  readonly seed: number;
  /** Shrunk; undefined when the round trip failed. */
  readonly input: Uint8Array | undefined;
  readonly message: string;
}

/** How many inputs were taken, and how many refused with which code. */
export type Outcomes = Map<string, number>;

/** Corpus as it is, round trips, then mutants. */
export async function fuzz(
  target: Target,
  seed: number,
  runs: number,
  outcomes: Outcomes,
): Promise<Finding | undefined> {
  const material = await materialOf(target);
  const numRuns = Math.ceil(runs / (target.cost ?? 1));
  for (const input of material.seeds) {
    const fault = await faultOf(target, input, outcomes);
    if (fault !== undefined) return { target: target.name, seed, input, message: fault };
  }
  if (target.roundTrip !== undefined) {
    const result = await fc.check(target.roundTrip as fc.IAsyncProperty<[unknown]>, {
      seed,
      numRuns: Math.ceil(numRuns / 10),
    });
    if (result.failed) return { target: target.name, seed, input: undefined, message: report(result) };
  }
  const property = fc.asyncProperty(mutants(material), async (input) => {
    const outcome = await outcomeOf(target, input);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  });
  const result = await fc.check(property, { seed, numRuns });
  if (!result.failed) return undefined;
  return { target: target.name, seed, input: result.counterexample?.[0], message: report(result) };
}

async function faultOf(target: Target, input: Uint8Array, outcomes: Outcomes): Promise<string | undefined> {
  try {
    const outcome = await outcomeOf(target, input);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    return undefined;
  } catch (error) {
    return inFull(error);
  }
}

type Failed = Pick<fc.RunDetails<unknown>, "seed" | "counterexamplePath" | "errorInstance">;

const report = (result: Failed): string =>
  `seed ${result.seed}, path ${result.counterexamplePath}: ${inFull(result.errorInstance)}`;

function inFull(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = (error.stack ?? error.message).split("\n").slice(0, 4).join("\n");
  return `${stack}${error.cause === undefined ? "" : `\n  because of ${inFull(error.cause)}`}`;
}

/** Name of the corpus file that keeps an input. */
export const findingFile = (input: Uint8Array): string =>
  `found-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`;
