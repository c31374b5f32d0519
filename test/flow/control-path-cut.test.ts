// The way between bridge and MQTT server is cut, frozen, narrowed, or the server itself goes: data keeps moving, and
// afterwards every report is there, once, and the retained state is right.
import { cpSync } from "node:fs";
import test from "ava";
import { BRIDGE } from "../lib/bridge.js";
import { PUBACK, without } from "../lib/control-proxy.js";
import { succeeded } from "../lib/job-plant.js";
import { allIsRight, backup, connected, MIB, moves, retained, shell, startPath } from "./control-path-parts.js";
import { until } from "./kill-parts.js";

const RATE = BigInt(2 * MIB);

for (const how of ["reset", "end"] as const) {
  test(`connections are cut again and again (${how}), and then refused: bytes keep moving, and the report comes once`, async (t) => {
    const path = await startPath(t);
    const { bridge, directory, proxy } = path;
    const reported = bridge.session.run(await backup(bridge, "cut", RATE / 2n));
    for (let cuts = 0; cuts < 3; cuts++) {
      await moves(directory, "cut");
      proxy.cut(how);
      await until("the bridge has noticed", async () => !(await connected(directory)));
      await until("the bridge is back", () => connected(directory));
    }
    proxy.door = "refuse";
    proxy.cut(how);
    await until("the bridge has noticed", async () => !(await connected(directory)));
    await moves(directory, "cut");
    proxy.door = "open";
    const report = await reported;
    succeeded(t, report);
    t.is(report.resumes, 0);
    await allIsRight(t, path, ["cut"]);
  });
}

test("the way freezes without a word: bytes keep moving, the bridge gives the connection up, and comes back", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, proxy } = path;
  const reported = bridge.session.run(await backup(bridge, "frozen", RATE / 2n));
  await moves(directory, "frozen");
  proxy.freeze();
  await moves(directory, "frozen", 2 * MIB);
  await until("the bridge has given it up", async () => !(await connected(directory)));
  proxy.thaw();
  succeeded(t, await reported);
  await allIsRight(t, path, ["frozen"]);
});

test("the server is stopped and goes on, and is killed and comes back empty: what it lost is published again", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, mosquitto } = path;
  succeeded(t, await bridge.session.run(await backup(bridge, "before", 0n, "tape1")));
  const reported = bridge.session.run(await backup(bridge, "during", RATE));
  await moves(directory, "during");
  mosquitto.freeze();
  await moves(directory, "during", MIB);
  mosquitto.thaw();
  await until("the bridge is connected", () => connected(directory));
  await moves(directory, "during");
  await mosquitto.kill();
  await moves(directory, "during");
  await until("the job has ended without a server", async () => {
    const { state } = (await shell(directory, "show job", "during")) as { state: string };
    return state === "succeeded";
  });
  await mosquitto.start();
  succeeded(t, await reported);
  await allIsRight(t, path, ["before", "during"]);
});

test("a server that comes back from an older copy of its store gets what it has forgotten, and a whole one gets nothing twice", async (t) => {
  const path = await startPath(t, { server: { persistent: true } });
  const { bridge, directory, mosquitto, witness, proxy } = path;
  succeeded(t, await bridge.session.run(await backup(bridge, "old", 0n)));
  // What is stored after it: the bridge knows by now that the server has the report.
  await bridge.key("none", ["disk0"]);
  proxy.cut();
  await until("the bridge is back", () => witness.states.at(-1)?.bdSeq === 2n);
  await bridge.session.client.send("status.get", {});
  await mosquitto.save();
  cpSync(mosquitto.store, `${directory}/copy.db`);
  t.is(witness.reports.length, 1, "a connection that was cut is no reason to publish anything again");
  succeeded(t, await bridge.session.run(await backup(bridge, "new", 0n)));
  await mosquitto.kill();
  cpSync(`${directory}/copy.db`, mosquitto.store);
  await mosquitto.start();
  await allIsRight(t, path, ["new", "old"]);
});

test("acknowledgements of the server are lost: what it has already is published again, word for word", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, proxy, witness } = path;
  const reported = bridge.session.run(await backup(bridge, "unheard", RATE));
  await moves(directory, "unheard");
  proxy.edit("to-bridge", without(PUBACK));
  succeeded(t, await reported);
  proxy.edit("to-bridge", undefined);
  proxy.cut();
  await until("it is published again", () => witness.reports.length >= 2);
  await allIsRight(t, path, ["unheard"]);
});

test("a narrow way: reports pass in pieces, late, and whole", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, proxy } = path;
  proxy.latencyMs = 10;
  proxy.pieceBytes = 64;
  const reported = bridge.session.run(await backup(bridge, "narrow", RATE));
  await moves(directory, "narrow", MIB);
  succeeded(t, await reported);
  await allIsRight(t, path, ["narrow"]);
});

test("many jobs end while the server is away: the daemon's memory stays, and all reports come", async (t) => {
  const path = await startPath(t, { diskMib: 5 });
  const { bridge, directory, proxy } = path;
  const names = Array.from({ length: 60 }, (_, index) => `job-${String(index).padStart(2, "0")}`);
  const first = await backup(bridge, "first", RATE, "tape1");
  const runs = [bridge.session.run(first)];
  await moves(directory, "first", 1);
  await bridge.session.client.send("job.pause", { jobId: "first" });
  // They wait for the tape that the first one has.
  for (const name of names) runs.push(bridge.session.run(await backup(bridge, name, 0n, "tape1")));
  await until("all are accepted", async () => jobsIn(await shell(directory, "show system"), "queued") === names.length);
  proxy.door = "refuse";
  proxy.cut();
  const rss = async (): Promise<number> => ((await shell(directory, "show system")) as { rssBytes: number }).rssBytes;
  const before = await rss();
  await shell(directory, "job resume", "first");
  await until(
    "all have ended",
    async () => jobsIn(await shell(directory, "show system"), "succeeded") === names.length + 1,
  );
  t.true((await rss()) < before + 48 * MIB, `${before} bytes before, ${await rss()} after`);
  proxy.door = "open";
  for (const report of await Promise.all(runs)) succeeded(t, report);
  await allIsRight(t, path, ["first", ...names]);
});

function jobsIn(status: unknown, state: string): number {
  return (status as { jobs: Record<string, number> }).jobs[state] ?? 0;
}

test("a will that comes late does not stand: the bridge publishes its birth again", async (t) => {
  const { bridge, mosquitto, witness } = await startPath(t);
  const { state } = await retained(mosquitto.port);
  // As a server does that notices the end of an old connection after the new one has begun.
  await publishState(mosquitto.port, { online: false, bdSeq: 0n });
  await until("the birth stands again", async () => (await retained(mosquitto.port)).state?.online === true);
  t.is((await retained(mosquitto.port)).state?.bdSeq, state?.bdSeq);
  t.true(witness.client.bridge?.online);
  t.is(await bridge.stop(), 0);
  await until("the farewell stands", () => witness.states.at(-1)?.online === false);
});

async function publishState(port: number, fields: object): Promise<void> {
  const { Link } = await import("../../src/control/link.js");
  const { encode } = await import("../../src/control/codec.js");
  const options = { host: "127.0.0.1", port, clientId: "late-will", clean: true, subscriptions: [] };
  const link = new Link({ ...options, onMessage: async () => {} });
  link.start();
  const payload = encode({ v: 1, kind: "state", id: "late", sentMs: 1, ...fields });
  await link.publish({ topic: `gantry/1/${BRIDGE}/state`, payload, qos: 1, retain: true, priority: "vital" });
  await link.stop();
}
