// Rounds until there were as many kills as wanted. A round is its seed: what it is about, who is killed and when.
import { join } from "node:path";
import { messageOf } from "../../src/sys/errors.js";
import type { Origin } from "./origin.js";
import { Lot } from "./random.js";
import { Round } from "./round.js";
import { SCENARIOS, type Scenario } from "./scenarios.js";
import { Tally } from "./tally.js";

export interface CampaignOptions {
  readonly origin: Origin;
  readonly directory: string;
  readonly seed: number;
  /** Of the daemon, and of the whole process group. */
  readonly kills: number;
  readonly groups: number;
  /** Instead of as many as the kills need. */
  readonly rounds?: number;
  /** Kills in one round, besides those that its checks need. */
  readonly killsPerRound: number;
  /** Stops at the first failure. */
  readonly onRound: (told: RoundTold, tally: Tally) => void;
}

export interface RoundTold {
  readonly seed: number;
  readonly about: string;
  readonly group: boolean;
  readonly seconds: number;
  readonly failure?: string;
}

/** Every fifth round, by lot, kills the whole group. */
const GROUP_SHARE = 0.2;

export async function campaign(options: CampaignOptions): Promise<Tally> {
  const tally = new Tally();
  const enough = (): boolean =>
    options.rounds === undefined
      ? tally.kills >= options.kills && tally.groups >= options.groups
      : tally.rounds >= options.rounds;
  for (let seed = options.seed; !enough(); seed++) {
    const { about, scenario, group, lot } = roundOf(seed);
    const needed = group ? tally.groups < options.groups : tally.kills < options.kills;
    if (options.rounds === undefined && !needed) continue;
    const started = performance.now();
    const failure = await run(options, tally, { scenario, group, lot, seed });
    const seconds = (performance.now() - started) / 1000;
    tally.rounds++;
    if (failure !== undefined) tally.failures.push(`seed ${seed} (${about}${group ? ", group" : ""}): ${failure}`);
    options.onRound({ seed, about, group, seconds, ...(failure === undefined ? {} : { failure }) }, tally);
  }
  return tally;
}

function roundOf(seed: number): { about: string; scenario: Scenario; group: boolean; lot: Lot } {
  const names = Object.keys(SCENARIOS);
  const about = names[seed % names.length] ?? "";
  const scenario = SCENARIOS[about];
  if (scenario === undefined) throw new Error("a seed is a whole number, 0 or more");
  const lot = new Lot(seed);
  return { about, scenario, group: lot.next() < GROUP_SHARE, lot };
}

async function run(
  { origin, killsPerRound: kills }: CampaignOptions,
  tally: Tally,
  { scenario, group, lot, seed }: { scenario: Scenario; group: boolean; lot: Lot; seed: number },
): Promise<string | undefined> {
  const round = new Round({ origin, lot, tally, group, kills, name: join(`round-${seed}`) });
  let failure: string | undefined;
  try {
    await scenario(round);
  } catch (error) {
    failure = messageOf(error);
  }
  await round.end(failure !== undefined);
  return failure;
}
