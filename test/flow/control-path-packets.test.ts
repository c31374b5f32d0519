// Packets that come twice, in another order, or never: a command acts once, one that comes too early is refused in
// words, and reports say one thing only.
import { randomUUID } from "node:crypto";
import test, { type ExecutionContext } from "ava";
import { BridgeClient } from "../../src/control/client.js";
import { decode } from "../../src/control/codec.js";
import { Link } from "../../src/control/link.js";
import { Glist } from "../../tools/agent/glist.js";
import { BRIDGE } from "../lib/bridge.js";
import { PUBACK, PUBLISH, swapped, twice, typeOf } from "../lib/control-proxy.js";
import { succeeded } from "../lib/job-plant.js";
import { rawList } from "../lib/raw-disk.js";
import { allIsRight, backup, connected, MIB, moves, shell, startPath } from "./control-path-parts.js";
import { until } from "./kill-parts.js";

const RATE = BigInt(2 * MIB);

for (const dup of [false, true]) {
  test(`every message comes twice, ${dup ? "with" : "without"} the DUP flag: each acts once, and one thing is said of a job`, async (t) => {
    const path = await startPath(t);
    const { bridge, directory, proxy, witness } = path;
    const replies = await repliesAt(t, path.mosquitto.port);
    proxy.edit("to-bridge", twice(dup));
    proxy.edit("to-server", twice(dup));
    const reported = bridge.session.run(await backup(bridge, "double", RATE));
    const list = await rawList(directory, "again", [{ name: "file", at: [[0, 0, 2048]] }]);
    await bridge.sendList(list, "disk0");
    await moves(directory, "double");
    const { client } = bridge.session;
    t.is((await client.send("job.pause", { jobId: "double" })).state, "paused");
    t.is((await client.send("job.resume", { jobId: "double" })).state, "running");
    succeeded(t, await reported);
    await until("the witness has heard it twice", () => witness.reports.length >= 2);
    const jobs = (await client.send("job.list", {})).jobs;
    t.deepEqual(
      jobs.map(({ jobId }) => jobId),
      ["double"],
    );
    await allIsRight(t, path, ["double"]);
    // The second clearing finds nothing, and the job is not missed by the second forgetting.
    const id = randomUUID();
    t.like(await client.send("job.forget", { jobId: "double" }, { id }), { jobId: "double" });
    await allIsRight(t, path, []);
    // The command came twice, and each of the two replies went out twice.
    await until("four replies", () => replies(id).length >= 4);
    t.is(new Set(replies(id)).size, 1, "the first reply is given again");
  });
}

/** Hears all replies of the bridge; returns those to one command. */
async function repliesAt(t: ExecutionContext, port: number): Promise<(id: string) => readonly string[]> {
  const seen: { readonly to: unknown; readonly bytes: string }[] = [];
  const link = new Link({
    host: "127.0.0.1",
    port,
    clientId: "listener",
    clean: true,
    subscriptions: [`gantry/1/${BRIDGE}/reply/+`],
    onMessage: async ({ payload }) => {
      const { to } = decode(payload) as { to?: unknown };
      seen.push({ to, bytes: Buffer.from(payload).toString("hex") });
    },
  });
  t.teardown(() => link.stop(100));
  link.start();
  await until("the listener is connected", () => link.state.connected);
  return (id) => seen.filter(({ to }) => to === id).map(({ bytes }) => bytes);
}

test("a command that was delivered and lost its reply is sent again after a cut, and is carried out once", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, proxy } = path;
  const spec = await backup(bridge, "once", RATE);
  // Neither replies nor acknowledgements get out: the server delivers the command again.
  proxy.edit("to-server", (packet) => ([PUBLISH, PUBACK].includes(typeOf(packet)) ? [] : [packet]));
  const reported = bridge.session.run(spec);
  await moves(directory, "once");
  proxy.edit("to-server", undefined);
  proxy.cut();
  succeeded(t, await reported);
  const { jobs } = (await shell(directory, "show system")) as { jobs: Record<string, number> };
  t.deepEqual(jobs, { succeeded: 1 });
  await allIsRight(t, path, ["once"]);
});

test("commands in the wrong order: what comes too early is refused in words, and works when it is sent again", async (t) => {
  const { bridge, directory, proxy, mosquitto } = await startPath(t);
  const { client } = bridge.session;
  const list = await Glist.open(await rawList(directory, "early", [{ name: "file", at: [[0, 0, 2048]] }]));
  t.teardown(() => list.close());
  const { shared: _shared, ...header } = list.header;
  let data: Uint8Array = new Uint8Array();
  for await (const only of list.encodedChunks()) data = only;
  const spec = await backup(bridge, "early", 0n);
  const job = { jobId: "early" };

  // Of each pair the second arrives first.
  proxy.edit("to-bridge", swapped());
  const opened = client.send("list.open", { ...header, device: "disk0" });
  const chunk = client.send("list.chunk", { listId: "early", index: 0, data });
  await t.throwsAsync(chunk, { code: "LIST_UNKNOWN" });
  t.like(await opened, { state: "open", stored: 0 });

  const submitted = client.send("job.submit", spec);
  const cancelled = client.send("job.cancel", job);
  await t.throwsAsync(cancelled, { code: "JOB_UNKNOWN" });
  await submitted;

  // A job is cleared before it is there, and one id stands for two commands.
  const id = randomUUID();
  const rate = client.send("job.rate", { jobId: "none", bytesPerS: 1n }, { id });
  const reply = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port: mosquitto.port, clientId: "other" },
  });
  t.teardown(() => reply.stop());
  reply.start();
  await reply.online();
  const other = reply.send("job.rate", { jobId: "none", bytesPerS: 2n }, { id });
  // Another sender's ids are its own.
  await t.throwsAsync(other, { code: "JOB_UNKNOWN" });
  await t.throwsAsync(rate, { code: "JOB_UNKNOWN" });

  proxy.edit("to-bridge", undefined);
  t.like(await client.send("list.chunk", { listId: "early", index: 0, data }), { state: "whole" });
  await until("the job has ended", async () => (await client.send("job.get", job)).report !== undefined);
  succeeded(t, (await client.send("job.get", job)).report ?? t.fail());
  t.true(await connected(directory));
});
