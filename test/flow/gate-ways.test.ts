// Ways to hold a key besides a plain login, and what holds without one: CHAP that comes with a key, in-band on a device
// behind another bridge, zones that the copy engine shares, and a daemon that is no more.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import {
  asc,
  attentions,
  GOOD,
  grant,
  keyFor,
  ONE,
  revoke,
  startGate,
  TARGET,
  TEST_UNIT_READY,
  TWO,
  until,
  write,
} from "../lib/gate-plant.js";
import { startPlant, succeeded } from "../lib/job-plant.js";
import { freePort } from "../lib/mosquitto.js";
import { rawList, VOLUME } from "../lib/raw-disk.js";

const run = promisify(execFile);
const TIMEOUT_MS = 30_000;
const SECRET = "secret-of-one-0123";

/** INQUIRY by libiscsi; "" when it does not get in. */
async function inquiry(portal: string, initiator: string, credentials = ""): Promise<string> {
  try {
    const url = `iscsi://${credentials}${portal}/${TARGET}/0`;
    return (await run("iscsi-inq", ["-i", initiator, url], { timeout: TIMEOUT_MS })).stdout;
  } catch {
    return "";
  }
}

for (const authentication of ["chap", "none-on-loopback"] as const) {
  test.serial(
    `a CHAP secret that comes with a key proves a name, until the key is revoked: ${authentication}`,
    async (t) => {
      const { bridge, portal } = await startGate(t, { iscsi: `authentication = "${authentication}"` });
      const id = await grant(bridge, ONE, { chap: { name: "one", secret: new TextEncoder().encode(SECRET) } });
      await grant(bridge, TWO);
      t.regex(await inquiry(portal, ONE, `one%${SECRET}@`), /Vendor:GANTRY/);
      t.is(await inquiry(portal, ONE, "one%another-secret@"), "");
      t.is(await inquiry(portal, ONE), "", "the name alone proves nothing");
      t.is(await inquiry(portal, TWO, `one%${SECRET}@`), "", "the secret is another's");
      // A name without a secret gets in only where nobody has to prove anything.
      t.is((await inquiry(portal, TWO)) !== "", authentication === "none-on-loopback");

      await revoke(bridge, id);
      t.notRegex(await inquiry(portal, ONE, `one%${SECRET}@`), /Vendor:GANTRY/);
    },
  );
}

test.serial(
  "a job uses what zones share with the copy engine, which may be in several; a server sees its own",
  async (t) => {
    const zones = (second: string): string => `[[zone]]
name = "one"
initiators = ["${ONE}", "mover"]
devices = ["disk0"]
[[zone]]
name = "two"
initiators = [${second}]
devices = ["disk1"]`;
    const clone = async ({ bridge, directory }: Awaited<ReturnType<typeof startGate>>, jobId: string) => {
      const file = await rawList(directory, "blocks", [{ name: "m", at: [[0, 100, 8]] }]);
      const job = { type: "clone", disk: { device: "disk0" }, toDisk: { device: "disk1" }, volume: VOLUME } as const;
      return bridge.run({ ...job, jobId }, { file, device: "disk0" });
    };
    const apart = await startGate(t, { tables: zones(`"${TWO}"`) });
    const error = await t.throwsAsync(clone(apart, "job-1"), { code: "GATE_ZONE" });
    t.regex(error?.message ?? "", /disk1.*mover/);
    const shared = await startGate(t, { tables: zones(`"${TWO}", "mover"`) });
    succeeded(t, await clone(shared, "job-2"));
  },
);

test.serial("a key is presented in-band on a disk behind another target", async (t) => {
  const back = await startGate(t);
  await grant(back.bridge, TWO);
  const portal = `127.0.0.1:${await freePort()}`;
  const { bridge } = await startPlant(t, {
    devices: () => `[[device]]
name = "disk0"
type = "disk"
transport = "iscsi"
portal = "${back.portal}"
target = "${TARGET}"
lun = 0
initiator = "${TWO}"
[iscsi]
portals = ["${portal}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }]
`,
  });
  const file = join(bridge.options.directory, "key");
  writeFileSync(file, keyFor(bridge, ONE).token);
  t.is(await inquiry(portal, ONE), "", "without a key there is no device");
  const { stdout } = await run(
    process.execPath,
    [
      "dist/tools/agent/main.js",
      "key",
      "present",
      file,
      "--device",
      `iscsi://${portal}/${TARGET}/0`,
      "--initiator",
      ONE,
    ],
    { timeout: TIMEOUT_MS },
  );
  t.regex(stdout, /installed/i);
  t.regex(
    await until(
      () => inquiry(portal, ONE),
      (told) => told !== "",
    ),
    /Vendor:GANTRY/,
  );
});

test.serial("without a daemon nothing is admitted: what is open breaks, and nobody gets in", async (t) => {
  const { bridge, portal, open } = await startGate(t);
  await grant(bridge, ONE);
  const lu = await open(ONE);
  await attentions(lu);
  t.is((await write(lu, 0)).status, GOOD);
  await bridge.kill();
  const lost = await lu.execute(TEST_UNIT_READY).catch(() => undefined);
  t.not(lost?.outcome, "delivered");
  t.is(await inquiry(portal, ONE), "");
  await bridge.start();
  const again = await open(ONE);
  await attentions(again);
  t.is((await write(again, 0)).status, GOOD, "its key is still there");
  t.deepEqual(asc(await write(again, 40_000)).slice(1), [0x21, 0x00], "LOGICAL BLOCK ADDRESS OUT OF RANGE");
});
