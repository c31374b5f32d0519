// How fast a right that is taken away is gone, with one key and with ten thousand: what is under way ends, the next
// command is refused. Times are told, not judged: the machine of a test may be busy. What is judged is that the daemon
// answers others meanwhile, and that nothing succeeds after the first refusal.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { keyRecordName, packKey } from "../../src/admit/key-records.js";
import type { Lu, ScsiAnswer } from "../../src/native/types.js";
import { openStore } from "../../src/sys/store.js";
import { STATUS } from "../../src/wire/names.js";
import { BrokerHome } from "../../tools/broker/home.js";
import { allKeys } from "../../tools/broker/key-commands.js";
import { BRIDGE, type TestBridge } from "../lib/bridge.js";
import { attentions, GOOD, grant, ONE, revoke, startGate, TWO, until, write } from "../lib/gate-plant.js";

const MANY = 10_000;
const LIFE_MS = 6000;
/** Of several sessions: at every moment some write is under way on a disk that takes so much a second. */
const WRITERS = 6;
const SLOW = "pace_kib_s = 1024";

interface Answered extends ScsiAnswer {
  readonly sentMs: number;
  readonly atMs: number;
}

/** One write after the other until one is refused, told when each was sent and answered. */
async function writing(lu: Lu, blocks = 8): Promise<readonly Answered[]> {
  const answers: Answered[] = [];
  for (let lba = 0; ; lba = (lba + blocks) % 1024) {
    const sentMs = Date.now();
    const answer = await write(lu, lba, blocks);
    answers.push({ ...answer, sentMs, atMs: Date.now() });
    if (answer.status === STATUS.CHECK_CONDITION) return answers;
  }
}

/** Nothing that began after the right was gone succeeded; how long that took. */
function judge(t: ExecutionContext, what: string, fromMs: number, answers: readonly Answered[]): void {
  const good = answers.filter(({ status }) => status === GOOD);
  const ended = answers.find(({ atMs, status }) => status !== GOOD && atMs >= fromMs - 1000);
  t.truthy(ended, what);
  t.true(good.length > 0, "it could write before");
  t.true(
    good.every(({ sentMs }) => sentMs <= (ended?.atMs ?? 0)),
    "nothing is written after the first refusal",
  );
  t.log(
    `${what}: the last write that succeeded was sent ${Math.max(...good.map(({ sentMs }) => sentMs)) - fromMs} ms after, the first refusal came ${(ended?.atMs ?? 0) - fromMs} ms after`,
  );
}

const many = async (directory: string): Promise<void> => {
  const home = new BrokerHome(join(directory, "broker"));
  home.init("test-broker");
  const state = join(directory, "state");
  mkdirSync(state, { recursive: true });
  const store = openStore(state);
  const issuer = home.issuer();
  const { epoch } = home.facts();
  const nowMs = Date.now();
  const changes = Array.from({ length: MANY }, (_, index) => {
    const { content, token } = issuer.issue(
      {
        holder: { kind: "initiator", name: `iqn.2024-01.org.example:n${index}` },
        audience: [BRIDGE],
        devices: [{ kind: "class", deviceClass: "disk" }],
        rights: ["read", "write"],
        expiresMs: nowMs + 3_600_000,
        epoch,
      },
      nowMs,
    );
    return { put: keyRecordName(content.id), value: packKey({ token, aliases: [] }) };
  });
  await store.batch(changes);
  await store.close();
};

/** Asks the daemon all the time; how long it was busy with other things at the longest. */
function asking(bridge: TestBridge): () => Promise<number> {
  let [going, longestMs] = [true, 0];
  const run = (async () => {
    while (going) {
      const fromMs = performance.now();
      await bridge.session.client.send("session.list", {});
      longestMs = Math.max(longestMs, performance.now() - fromMs);
    }
  })();
  return async () => {
    going = false;
    await run;
    return longestMs;
  };
}

test.serial("a key is revoked over MQTT, or ends: what is under way is aborted, and nothing new begins", async (t) => {
  const { bridge, open } = await startGate(t, { more: `writers = "many"\n${SLOW}` });
  const id = await grant(bridge, ONE);
  const lus = await Promise.all(Array.from({ length: WRITERS }, () => open(ONE)));
  for (const lu of lus) await attentions(lu);
  const running = lus.map((lu) => writing(lu, 128));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const fromMs = Date.now();
  await revoke(bridge, id);
  const answers = (await Promise.all(running)).flat().sort((a, b) => a.atMs - b.atMs);
  judge(t, "revoked", fromMs, answers);
  t.true(
    answers.some(({ status }) => status === STATUS.TASK_ABORTED),
    "what was in flight is aborted",
  );

  const keyed = Date.now();
  const key = await grant(bridge, TWO, { lifeMs: LIFE_MS });
  t.truthy(key);
  const two = await open(TWO);
  await attentions(two);
  judge(t, "ended", Math.floor((keyed + LIFE_MS) / 1000) * 1000, await writing(two));
});

test.serial("with ten thousand keys one is revoked, and then all of an epoch at once", async (t) => {
  const { bridge, open } = await startGate(t, { prepare: many });
  const { client } = bridge.session;
  const [first, second] = [await grant(bridge, ONE), await grant(bridge, TWO)];
  t.truthy(second);
  const listed = (await allKeys(client)).map(({ keyId }) => keyId);
  t.is(new Set(listed).size, MANY + 2, "all are listed, page by page");

  // Who writes on the disk is the one with the oldest of so many keys, who is not here.
  const { privileges } = await client.send("privilege.list", {});
  const writer = String(privileges[0]?.writer);
  await client.send("privilege.move", { device: "disk0", from: writer, to: ONE });
  const one = await open(ONE);
  await attentions(one);
  const running = writing(one);
  await new Promise((resolve) => setTimeout(resolve, 300));
  let fromMs = Date.now();
  await revoke(bridge, first);
  judge(t, `one of ${MANY + 2} keys revoked`, fromMs, await running);

  const again = await client.send("privilege.list", {});
  await client.send("privilege.move", { device: "disk0", from: String(again.privileges[0]?.writer), to: TWO });
  const two = await open(TWO);
  await attentions(two);
  const last = writing(two);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stop = asking(bridge);
  fromMs = Date.now();
  const order = bridge.home.issuer().revoke({ audience: [BRIDGE], ids: [], epoch: 2 }, fromMs);
  await client.send("key.revoke", { order: order.token });
  t.log(`the order was acknowledged after ${Date.now() - fromMs} ms`);
  judge(t, `all ${MANY + 1} keys revoked`, fromMs, await last);
  t.log(`the longest that anybody waited for the daemon: ${Math.round(await stop())} ms`);
  t.deepEqual(await allKeys(client), []);
  const left = await until(
    async () => (await client.send("privilege.list", {})).privileges,
    (found) => found.length === 0,
  );
  t.deepEqual(left, [], "and nobody has a privilege, nor waits for one");
});
