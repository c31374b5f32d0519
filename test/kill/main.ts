#!/usr/bin/env node
// npm run test:kill -- [--seed N] [--kills N] [--groups N] [--rounds N] [--json]: kill -9 of the daemon, and of all of a
// machine, at random moments and at named steps; a closing table; exit code 1 when anything did not hold, or when a
// state was never hit.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import cliProgress from "cli-progress";
import { messageOf } from "../../src/sys/errors.js";
import { campaign, type RoundTold } from "./campaign.js";
import { makeOrigin } from "./origin.js";
import type { Tally } from "./tally.js";

const KILLS_PER_ROUND = 6;
const MIB = 1;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    kills: { type: "string", default: "200" },
    groups: { type: "string", default: "50" },
    rounds: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is a whole number`);
  return value;
}

const kills = whole("kills", values.kills);
const groups = whole("groups", values.groups);
const rounds = values.rounds === undefined ? undefined : whole("rounds", values.rounds);
const directory = mkdtempSync(join(tmpdir(), "gantry-kill-"));
const bar =
  values.json || !process.stderr.isTTY || rounds !== undefined
    ? undefined
    : new cliProgress.SingleBar({ format: "{bar} {value}/{total} kills, seed {seed}" });

function told({ seed, about, group, seconds, failure }: RoundTold, tally: Tally): void {
  bar?.update(Math.min(tally.kills, kills) + Math.min(tally.groups, groups), { seed });
  if (bar !== undefined && failure === undefined) return;
  const what = `seed ${seed}  ${about.padEnd(8)} ${group ? "group " : "daemon"} ${seconds.toFixed(1).padStart(6)} s`;
  const counts = `${tally.kills} + ${tally.groups} kills`;
  process.stderr.write(
    `${what}  ${counts}${failure === undefined ? "" : `\nFAILED (--seed ${seed} --rounds 1): ${failure}\n`}\n`,
  );
}

process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));
try {
  process.stderr.write("what undisturbed jobs make …\n");
  const origin = await makeOrigin(directory, MIB);
  bar?.start(kills + groups, 0, { seed: values.seed });
  const seed = whole("seed", values.seed);
  const tally = await campaign({
    origin,
    directory,
    seed,
    kills,
    groups,
    ...(rounds === undefined ? {} : { rounds }),
    killsPerRound: KILLS_PER_ROUND,
    onRound: told,
  });
  bar?.stop();
  const missed = rounds === undefined ? tally.missed : [];
  if (values.json) {
    const phases = Object.fromEntries(tally.phases);
    console.log(JSON.stringify({ seed, ...tally.facts, phases, missed, failed: tally.failures }));
  } else {
    console.log(tally.table());
    for (const failure of tally.failures) console.log(`FAILED ${failure}`);
    if (missed.length > 0) console.log(`never hit: ${missed.join(", ")}`);
    console.log(`seed ${seed}: ${tally.failures.length === 0 && missed.length === 0 ? "all held" : "FAILED"}`);
  }
  process.exitCode = tally.failures.length > 0 || missed.length > 0 ? 1 : 0;
} catch (error) {
  bar?.stop();
  console.error(`test:kill: ${messageOf(error)}`);
  process.exitCode = 1;
} finally {
  if (process.exitCode === 0) rmSync(directory, { recursive: true, force: true });
  else process.stderr.write(`what failed is kept in ${directory}\n`);
}
