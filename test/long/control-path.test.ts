// The long forms of test/flow/control-path-cut.test.ts: minutes without a server, and many jobs among disturbances in
// a row. Run by npm run test:long.
import test from "ava";
import { allIsRight, backup, bytesDone, connected, MIB, moves, shell, startPath } from "../flow/control-path-parts.js";
import { until } from "../flow/kill-parts.js";
import { twice } from "../lib/control-proxy.js";
import { succeeded } from "../lib/job-plant.js";

const MINUTE = 60_000;
const CUT_MS = 4 * MINUTE;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const how of ["refused", "frozen", "killed"] as const) {
  test(`minutes without the server (${how}): every look finds more bytes, attempts stay few, and all is right afterwards`, async (t) => {
    t.timeout(15 * MINUTE);
    const path = await startPath(t, { diskMib: 64 });
    const { bridge, directory, proxy, mosquitto } = path;
    // About five minutes and a half.
    const reported = bridge.session.run(await backup(bridge, "long", BigInt(Math.round(0.19 * MIB))));
    await moves(directory, "long");
    const before = proxy.arrivals.length;
    if (how === "frozen") proxy.freeze();
    else if (how === "killed") await mosquitto.kill();
    else {
      proxy.door = "refuse";
      proxy.cut();
    }
    const end = performance.now() + CUT_MS;
    let looks = 0;
    for (let last = await bytesDone(directory, "long"); performance.now() < end; looks++) {
      await wait(10_000);
      const now = await bytesDone(directory, "long");
      t.true(now > last, `look ${looks}: ${now} bytes after ${last}`);
      last = now;
    }
    t.false(await connected(directory));
    // Up to 30 s apart, at least 15: some eight while they double, and then one every 15 s at the most.
    const attempts = proxy.arrivals.length - before;
    t.log(`${looks} looks, ${attempts} attempts in ${CUT_MS / 1000} s`);
    t.true(attempts <= 8 + CUT_MS / 15_000, `${attempts} attempts`);
    if (how === "frozen") proxy.thaw();
    else if (how === "killed") await mosquitto.start();
    else proxy.door = "open";
    const report = await reported;
    succeeded(t, report);
    t.is(report.resumes, 0);
    await allIsRight(t, path, ["long"]);
  });
}

test("two hundred jobs among cuts, doubled packets and a server that is killed and stopped: each ends once, and is told once", async (t) => {
  t.timeout(15 * MINUTE);
  const path = await startPath(t);
  const { bridge, directory, proxy, mosquitto } = path;
  const names = Array.from({ length: 200 }, (_, index) => `job-${String(index).padStart(3, "0")}`);
  let going = true;
  const disturb = (async () => {
    for (let round = 0; going; round++) {
      // Now close together, now so far apart that a connection counts as a good one, and back-off begins anew.
      await wait(round % 4 === 3 ? 6000 : 300 + ((round * 7919) % 1500));
      const kind = round % 5;
      if (kind === 0) proxy.cut("reset");
      else if (kind === 1) proxy.cut("end");
      else if (kind === 2)
        for (const way of ["to-bridge", "to-server"] as const) proxy.edit(way, twice(round % 2 === 0));
      else if (kind === 3) {
        mosquitto.freeze();
        await wait(700);
        mosquitto.thaw();
      } else {
        for (const way of ["to-bridge", "to-server"] as const) proxy.edit(way, undefined);
        await mosquitto.kill();
        await wait(300);
        await mosquitto.start();
      }
    }
  })();
  const run = async (mine: readonly string[], tape: string): Promise<void> => {
    for (const name of mine)
      succeeded(t, await patiently(async () => bridge.session.run(await backup(bridge, name, 0n, tape))));
  };
  const halves = [0, 1].map((half) => names.filter((_, index) => index % 2 === half));
  try {
    await Promise.all(halves.map((half, tape) => run(half, `tape${tape}`)));
  } finally {
    going = false;
    await disturb;
  }
  for (const way of ["to-bridge", "to-server"] as const) proxy.edit(way, undefined);
  await until("the bridge is connected", () => connected(directory));
  const { jobs } = (await shell(directory, "show system")) as { jobs: Record<string, number> };
  t.deepEqual(jobs, { succeeded: names.length });
  await allIsRight(t, path, names);
});

/** A bridge that backs off from a server which keeps going away may leave a command without its answer for a while. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if ((error as { code?: string }).code !== "COMMAND_TIMED_OUT") throw error;
    }
  }
}
