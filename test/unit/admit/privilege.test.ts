// One writer of a shared disk: who gets it, how it changes hands, and that there are never two.
import test from "ava";
import { type PrivilegeFacts, WritePrivileges } from "../../../src/admit/privilege.js";
import { ServerGrants } from "../../../src/admit/server-grants.js";
import { silentLogger } from "../../../src/sys/log.js";
import { HOUR_MS, request, type Scene, START_MS, scene } from "./helpers.js";

const [A, B, C] = ["a", "b", "c"].map((name) => `iqn.2024-01.org.example:${name}`) as [string, string, string];

interface Made {
  readonly from: Scene;
  readonly privileges: WritePrivileges;
  /** What happened, in order. */
  readonly seen: string[];
  readonly told: PrivilegeFacts[];
  settle: () => Promise<void>;
}

function make(from = scene()): Made {
  const seen: string[] = [];
  const told: PrivilegeFacts[] = [];
  const grants = new ServerGrants(from.ring);
  const made: Made = {
    from,
    seen,
    told,
    settle: () => Promise.resolve(),
    privileges: new WritePrivileges({
      grants,
      devices: ["disk-a"],
      ...from,
      timers: from.clock,
      log: silentLogger(),
      settle: () => {
        seen.push(`settle, writer ${writers().join()}`);
        return made.settle();
      },
      changed: () => seen.push(`writer ${writers().join()}`),
      onChange: (facts) => told.push(facts),
    }),
  };
  const writers = (): string[] => [A, B, C].filter((name) => made.privileges.mayWrite("disk-a", name));
  grants.start((initiators) => made.privileges.keysChanged(initiators));
  made.privileges.start();
  return made;
}

async function grant({ from }: Made, name: string, issuedMs = START_MS, expiresMs = START_MS + HOUR_MS) {
  const key = from.broker.issue(request({ holder: { kind: "initiator", name }, expiresMs }), issuedMs);
  await from.ring.install(key.token);
  return key;
}

const revoke = ({ from }: Made, id: Uint8Array) =>
  from.ring.revoke(from.broker.revoke({ audience: ["bridge-7"], ids: [id] }, START_MS).token);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("who comes first writes, and keeps it when an older key comes; another disk is not asked about", async (t) => {
  const made = make();
  await grant(made, B, START_MS - 1000);
  t.true(made.privileges.mayWrite("disk-a", B));
  await grant(made, A, START_MS - 2000);
  t.true(made.privileges.mayWrite("disk-a", B));
  t.false(made.privileges.mayWrite("disk-a", A));
  t.true(made.privileges.mayWrite("disk-b", A), "a disk with many writers");
  t.like(made.privileges.list()[0], { device: "disk-a", writer: B, waiting: [A] });
});

test("after a restart the same one writes, and of new ones the one with the oldest key", async (t) => {
  const made = make();
  await grant(made, B, START_MS - 1000);
  await grant(made, A, START_MS - 2000);
  await turn();
  t.true(make(made.from).privileges.mayWrite("disk-a", B));
  await made.from.store.batch([{ deleteUnder: ["privileges"] }]);
  t.true(make(made.from).privileges.mayWrite("disk-a", A));
});

test("a move stops the old writer, waits for the boundary, stores, and only then lets the new one write", async (t) => {
  const made = make();
  await grant(made, A);
  await grant(made, B);
  made.seen.length = 0;
  let settled = (): void => {};
  made.settle = () => new Promise((resolve) => (settled = resolve));
  const move = made.privileges.move("disk-a", A, B);
  await turn();
  t.deepEqual(made.seen, ["writer ", "settle, writer "]);
  t.true(made.privileges.list()[0]?.moving);
  settled();
  t.like(await move, { writer: B, waiting: [A], moving: false });
  t.deepEqual(made.seen.slice(2), [`writer ${B}`]);
  t.true(make(made.from).privileges.mayWrite("disk-a", B), "it is stored");
  t.like(await made.privileges.move("disk-a", A, B), { writer: B }, "the same again changes nothing");
});

test("a move that fails leaves everything as it was", async (t) => {
  const made = make();
  await grant(made, A);
  const key = await grant(made, B);
  await t.throwsAsync(
    made.privileges.move("disk-a", B, A).then(() => made.privileges.move("disk-a", B, C)),
    {
      code: "PRIVILEGE_HOLDER_WRONG",
    },
  );
  await t.throwsAsync(made.privileges.move("disk-a", A, C), { code: "PRIVILEGE_NO_KEY" });
  await t.throwsAsync(made.privileges.move("tape-a", A, B), { code: "PRIVILEGE_NOT_SHARED" });
  made.settle = () => Promise.reject(new Error("the cache is not empty"));
  await t.throwsAsync(made.privileges.move("disk-a", A, B), { code: "PRIVILEGE_NOT_MOVED", message: /cache/ });
  t.true(made.privileges.mayWrite("disk-a", A));
  made.settle = async () => {
    await revoke(made, key.content.id);
  };
  await t.throwsAsync(made.privileges.move("disk-a", A, B), { code: "PRIVILEGE_NO_KEY" });
  t.true(made.privileges.mayWrite("disk-a", A));
});

test("when the writer's key is revoked or ends the next one writes, after the boundary", async (t) => {
  const made = make();
  const first = await grant(made, A);
  await grant(made, B, START_MS - 1000, START_MS + 60_000);
  await grant(made, C);
  await turn();
  made.seen.length = 0;
  await revoke(made, first.content.id);
  await turn();
  t.deepEqual(made.seen, ["writer ", "settle, writer ", `writer ${B}`]);
  made.seen.length = 0;
  made.from.clock.advance(60_000);
  await turn();
  t.deepEqual(made.seen, ["writer ", "settle, writer ", `writer ${C}`]);
  t.is(made.told.at(-1)?.writer, C);
});

test("when thousands of keys end at once they are looked at a slice at a time, and nobody new writes before the last", async (t) => {
  const names = Array.from({ length: 1000 }, (_, index) => `iqn.2024-01.org.example:${index}`);
  const [first = "", last = ""] = [names[0], names[999]];
  const keys = new Map(names.map((name, index) => [name, START_MS + index]));
  const from = scene();
  const looked: string[] = [];
  const told: PrivilegeFacts[] = [];
  let nowMs = 0;
  const privileges = new WritePrivileges({
    grants: {
      names: () => names,
      of: (name) => {
        nowMs += 0.1;
        looked.push(name);
        const writeSinceMs = keys.get(name);
        return { rights: new Map(), ...(writeSinceMs !== undefined && { writeSinceMs }) };
      },
    },
    devices: ["disk-a"],
    ...from,
    clock: { nowMs: () => START_MS, monotonicMs: () => nowMs },
    timers: from.clock,
    log: silentLogger(),
    settle: () => Promise.resolve(),
    changed: () => {},
    onChange: (facts) => told.push(facts),
  });
  privileges.start();
  t.true(looked.length < 200, "a slice of them");
  while (looked.length < 1000) from.clock.advance(1);
  t.true(privileges.mayWrite("disk-a", first), "the oldest of all");
  looked.length = told.length = 0;

  for (const name of names.slice(0, 999)) keys.delete(name);
  privileges.keysChanged(new Set(names));
  t.is(looked[0], first, "who has the privilege is looked at first");
  t.true(looked.length < 200);
  t.is(privileges.list()[0]?.writer, undefined);
  await turn();
  t.deepEqual(told, [], "nobody gets it whose key may have ended too");
  while (looked.length < 1000) from.clock.advance(1);
  for (let turns = 0; turns < 5; turns++) await turn();
  t.true(privileges.mayWrite("disk-a", last));
  t.is(told.length, 1, "and it went from hand to hand once");
  privileges.stop();
});
