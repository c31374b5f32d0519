// The configuration file is replaced whole or not at all.
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { applyConfig, type ConfigFileOptions, checkConfig } from "../../src/config-file.js";
import { parseConfig } from "../../src/sys/config.js";
import { tmpDir } from "../lib/tmp.js";

const OLD = '[bridge]\nid = "b"\nstate_dir = "/s"\n[control]\nurl = "mqtt://h:1"\n';
const NEW = `${OLD}keepalive_s = 40\n[jobs]\nmib_per_s = 7\n`;

async function file(t: ExecutionContext, reload: ConfigFileOptions["reload"] = async () => []) {
  const path = join(await tmpDir(t, "config"), "gantry.toml");
  writeFileSync(path, OLD, { mode: 0o640 });
  const config = parseConfig(OLD, path);
  return { path, now: () => config, reload };
}

test("one that is in order takes the place of the other, which is kept; it is told what waits", async (t) => {
  const taken: number[] = [];
  const options = await file(t, async ({ jobs }) => {
    taken.push(jobs.mib_per_s);
    return [];
  });
  t.deepEqual(await applyConfig(options, NEW, "new.toml"), { waiting: ["control"], devices: 0 });
  t.deepEqual(taken, [7]);
  t.is(readFileSync(options.path, "utf8"), NEW);
  t.is(readFileSync(`${options.path}.previous`, "utf8"), OLD);
  t.is(statSync(options.path).mode & 0o777, 0o640);
  t.false(existsSync(`${options.path}.new`));
});

test("one with a fault changes nothing, and every fault is told under its own name", async (t) => {
  const options = await file(t, () => t.fail() as never);
  const wrong = `${OLD}colour = "red"\n[jobs]\ndepth = 0\n`;
  for (const work of [() => applyConfig(options, wrong, "x.toml"), async () => checkConfig(options, wrong, "x.toml")])
    await t.throwsAsync(work, { code: "CONFIG_INVALID", message: /x\.toml:6: [\s\S]*x\.toml:8: / });
  t.is(readFileSync(options.path, "utf8"), OLD);
  t.false(existsSync(`${options.path}.previous`));
});

test("one that cannot be taken over goes again, from the disk and from what is in force", async (t) => {
  const taken: number[] = [];
  let half = 0;
  const options = await file(t, async ({ jobs }) => {
    taken.push(jobs.mib_per_s);
    if (jobs.mib_per_s === 7) half = openSync(options.path, "r");
    if (jobs.mib_per_s === 7) throw new Error("port 3260 is in use");
    return [];
  });
  await t.throwsAsync(applyConfig(options, NEW, "new.toml"), { code: "CONFIG_NOT_APPLIED", message: /port 3260/ });
  t.is(readFileSync(options.path, "utf8"), OLD);
  t.deepEqual(taken, [7, 0]);
  t.is(
    readFileSync(half, "utf8"),
    NEW,
    "the refused one was replaced, not written over: no power cut leaves half of one",
  );
  closeSync(half);
  t.is(statSync(options.path).mode & 0o777, 0o640);
});

test("a file that cannot be replaced is as it was, and nothing is taken over", async (t) => {
  const options = await file(t, () => t.fail() as never);
  // A folder in its place stops root, too.
  const blocked = join(options.path, "..", "folder");
  await t.throwsAsync(applyConfig({ ...options, path: `${blocked}/none.toml` }, NEW, "n"), { message: /ENOENT/ });
  t.is(readFileSync(options.path, "utf8"), OLD);
});
