// The short form of `npm run test:kill`: a fixed seed, a few rounds.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { campaign } from "../kill/campaign.js";
import { makeOrigin } from "../kill/origin.js";

const SEED = 20;
const KILLS = 12;
const GROUPS = 3;

test("kill -9 of the daemon, and of daemon, devices and MQTT server at once, at moments by lot: no job is lost or run twice, tapes and disks are the undisturbed ones", async (t) => {
  t.timeout(170_000);
  const directory = mkdtempSync(join(tmpdir(), "gantry-kill-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const origin = await makeOrigin(directory, 0);
  const tally = await campaign({
    origin,
    directory,
    seed: SEED,
    kills: KILLS,
    groups: GROUPS,
    killsPerRound: 3,
    onRound: ({ seed, about }) => t.log(`seed ${seed}: ${about}`),
  });
  t.deepEqual(tally.failures, []);
  t.true(tally.kills >= KILLS && tally.groups >= GROUPS);
  t.true(tally.tapes + tally.disks > 0);
});
