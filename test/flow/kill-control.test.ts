// kill -9 of the daemon while it is told what to do: what was acknowledged is there afterwards, what was not is sent
// again, and nothing that was taken back comes back.
import { join } from "node:path";
import test from "ava";
import { ListTally } from "../../src/control/list-tally.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE } from "../lib/bridge.js";
import { makeServer, type ServerFiles } from "../lib/server-files.js";
import { KillBench, Shared } from "./kill-parts.js";

const shared = new Shared();
let server: ServerFiles;
let bench: KillBench;

test.before(async () => {
  const directory = await shared.directory();
  server = await makeServer(directory, 1, 40);
  bench = await KillBench.make(shared, join(directory, "bench"), server.image, "");
  await bench.bridge.start();
});
test.after.always(() => shared.end());

/** A list of files of eight blocks each, one in a chunk. */
function listOf(listId: string, chunks: number) {
  const tally = new ListTally();
  const encoded = Array.from({ length: chunks }, (_, index) => {
    const extents = {
      fileOffset: BigUint64Array.of(0n),
      lba: BigUint64Array.of(BigInt(index * 8)),
      blocks: Uint32Array.of(8),
    };
    const member = { name: `file-${index}`, type: "file" as const, size: 4096n, mode: 0o600, uid: 0, gid: 0 };
    return tally.add({ index, members: [{ ...member, mtimeNs: 0n, extents: 1 }], extents });
  });
  return { header: tally.header(listId, { id: "v", generation: "g", sequence: 1n }, 512), chunks: encoded };
}

test.serial(
  "kill -9 three times while a list comes in: what was acknowledged stays, the sender sends the rest, and a job runs from it",
  async (t) => {
    const { header, chunks } = listOf("killed-list", 600);
    const { client } = bench.bridge.session;
    let acknowledged = 0;
    const sending = client.sendList(header, "disk0", chunks, { onChunk: () => acknowledged++ });
    for (const least of [20, 200, 400]) {
      await bench.killWhen(`${least} chunks are acknowledged`, () => acknowledged >= least);
      bench.bridge.launch();
      const before = acknowledged;
      const { stored } = await client.send("list.status", { listId: "killed-list" });
      t.true(stored >= before, `${stored} chunks are stored, ${before} were acknowledged`);
    }
    t.like(await sending, { state: "whole", stored: 600 });
    await bench.bridge.kill();
    bench.bridge.launch();
    t.like(await client.send("list.status", { listId: "killed-list" }), { state: "whole", stored: 600 });
    const report = await bench.bridge.session.run({
      jobId: "from-killed-list",
      type: "backup",
      keys: [await bench.bridge.key("from-killed-list", ["disk0", "tape0"])],
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: ["L00001"] },
      listId: "killed-list",
      volume: header.volume,
    });
    t.is(report.state, "succeeded", report.failure?.message);
    t.is(report.membersDone, 600);
  },
);

test.serial(
  "kill -9 right after a key was installed, or revoked, by id or by epoch: it is installed, or revoked, ever after",
  async (t) => {
    const { home, session } = bench.bridge;
    const keyFor = (holder: string) =>
      issueKey(home, {
        bridge: BRIDGE,
        holder,
        device: ["disk0"],
        right: ["read"],
        priority: 100,
        lifeMs: 3_600_000,
      });
    const installed = async (): Promise<string[]> =>
      (await session.client.send("key.list", {})).keys.map(({ keyId }) => String(keyId));
    const idOf = ({ content }: ReturnType<typeof keyFor>): string => Buffer.from(content.id).toString("hex");
    const again = async (): Promise<void> => {
      await bench.bridge.kill();
      bench.bridge.launch();
    };
    const [stays, goes] = [keyFor("job:stays"), keyFor("job:goes")];
    await session.install(stays);
    await session.install(goes);
    await again();
    const first = await installed();
    t.true(first.includes(idOf(stays)) && first.includes(idOf(goes)));
    const order = home.issuer().revoke({ audience: [BRIDGE], ids: [goes.content.id] }, Date.now());
    await session.client.send("key.revoke", { order: order.token });
    await again();
    const second = await installed();
    t.true(second.includes(idOf(stays)));
    t.false(second.includes(idOf(goes)));
    await t.throwsAsync(session.client.send("key.install", { key: goes.token }), { code: "KEY_REVOKED" });
    const epoch = home.facts().epoch + 1;
    const old = keyFor("job:old");
    home.setEpoch(epoch);
    const all = home.issuer().revoke({ audience: [BRIDGE], ids: [], epoch }, Date.now());
    await session.client.send("key.revoke", { order: all.token });
    await again();
    t.deepEqual(await installed(), []);
    await t.throwsAsync(session.client.send("key.install", { key: old.token }), { code: "KEY_EPOCH_OLD" });
  },
);
