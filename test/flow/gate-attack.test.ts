// Attacks on the gate of the whole daemon: nobody without a key reaches a device, whatever is sent and to whatever LUN,
// and it costs the daemon no memory.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { Lu } from "../../src/native/types.js";
import { asc, attentions, GOOD, grant, keyFor, ONE, read, revoke, startGate, TWO, write } from "../lib/gate-plant.js";
import { rawDisk } from "../lib/raw-disk.js";

const SESSIONS = 8;
const COMMANDS = 100_000;
const GROWTH_MAX = 64 * 1024 * 1024;
const NO_UNIT = [0x05, 0x25, 0x00];

/** Repeatable: xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Every opcode with a length that fits its group, and data in either direction or none. */
async function flood(lu: Lu, count: number, seed: number): Promise<number> {
  const next = random(seed);
  let good = 0;
  for (let turn = 0; turn < count; turn++) {
    const cdb = Uint8Array.from({ length: 16 }, () => next(256));
    const way = next(3);
    const data = way === 0 ? {} : way === 1 ? { dataIn: 512 } : { dataOut: new Uint8Array(512).fill(0xff) };
    const { status } = await lu.execute(cdb, data).catch(() => ({ status: -1 }));
    // INQUIRY, REPORT LUNS and REQUEST SENSE are answered to anybody (SPC-4 6.6.1, 6.33, 6.39), by the bridge itself.
    if (status === GOOD && ![0x12, 0xa0, 0x03].includes(cdb[0] ?? 0)) good++;
  }
  return good;
}

test.serial("a hundred thousand random commands without a key reach no device, and cost no memory", async (t) => {
  const disks: Buffer[] = [];
  const { bridge, directory, open } = await startGate(t, {
    prepare: (dir) => {
      for (const name of ["disk0", "disk1"]) disks.push(rawDisk(join(dir, name), 16, name));
    },
  });
  const { client } = bridge.session;
  const lus = await Promise.all(Array.from({ length: SESSIONS }, (_, index) => open(ONE, index % 2 === 0 ? 0 : 3)));
  const rss = async () => Number((await client.send("status.get", {})).rssBytes);
  for (const lu of lus) await flood(lu, 200, 1);
  const before = await rss();
  const good = await Promise.all(lus.map((lu, index) => flood(lu, COMMANDS / SESSIONS, 1000 + index)));
  t.deepEqual(good, new Array(SESSIONS).fill(0));
  const after = await rss();
  t.log(`memory of the daemon: ${before >> 20} MiB before, ${after >> 20} MiB after`);
  t.true(after - before < GROWTH_MAX);
  for (const [index, name] of ["disk0", "disk1"].entries())
    t.true(readFileSync(join(directory, name)).equals(disks[index] ?? Buffer.alloc(0)), `${name} is as it was`);
  const { refusals } = await client.send("refusal.list", {});
  const count = refusals.reduce((sum, refusal) => sum + Number(refusal.count), 0);
  t.true(count > COMMANDS / 2, `${count} refusals are counted`);
  t.true(
    refusals.every(({ initiator }) => initiator === ONE),
    "and who it was",
  );
  // Who has a key is served as ever.
  await grant(bridge, TWO);
  const two = await open(TWO);
  await attentions(two);
  t.is((await write(two, 0)).status, GOOD);
});

test.serial("LUNs that are guessed are not there, near and far, for who has a key for another one too", async (t) => {
  const { bridge, open } = await startGate(t);
  await grant(bridge, ONE, { device: ["disk1"] });
  const three = await open(ONE, 3);
  await attentions(three);
  t.is((await write(three, 0)).status, GOOD);
  const guesses = [...Array.from({ length: 256 }, (_, lun) => lun).filter((lun) => lun !== 3), 256, 259, 1000, 16383];
  for (const lun of guesses) {
    const lu = await open(ONE, lun);
    const answers = [await write(lu, 0), await read(lu, 0)];
    await lu.close();
    for (const answer of answers)
      if (answer.status === GOOD || lun < 256) t.deepEqual(asc(answer), NO_UNIT, `LUN ${lun}`);
  }
});

test.serial(
  "a key that was taken back opens nothing when it is sent again, and another's opens nothing here",
  async (t) => {
    const { bridge, open } = await startGate(t);
    const key = keyFor(bridge, ONE);
    await bridge.session.install(key);
    const [one, two] = [await open(ONE), await open(TWO)];
    await attentions(one);
    t.is((await write(one, 0)).status, GOOD);
    t.deepEqual(asc(await write(two, 0)), NO_UNIT, "the key is for another name");
    await revoke(bridge, key.content.id);
    await t.throwsAsync(bridge.session.install(key), { code: "KEY_REVOKED" });
    await attentions(one);
    t.deepEqual(asc(await write(one, 0)), NO_UNIT);
    await bridge.kill();
    await bridge.start();
    await t.throwsAsync(bridge.session.install(key), { code: "KEY_REVOKED" }, "over kill -9 too");
    const again = await open(ONE);
    t.deepEqual(asc(await write(again, 0)), NO_UNIT);
  },
);

test.serial("sixteen sessions with keys of their own on one disk: each has what its key gives", async (t) => {
  const { bridge, open } = await startGate(t, { more: 'writers = "many"' });
  const name = (index: number): string => `iqn.2024-01.org.example:host${index}`;
  const rights = [["read"], ["read", "write"], undefined] as const;
  const lus: Lu[] = [];
  for (let index = 0; index < 16; index++) {
    const right = rights[index % 3];
    if (right !== undefined) await grant(bridge, name(index), { right });
    lus.push(await open(name(index)));
  }
  for (const lu of lus) await attentions(lu);
  await Promise.all(
    lus.map(async (lu, index) => {
      const [wrote, got] = [await write(lu, index * 8), await read(lu, index * 8)];
      if (index % 3 === 1) t.is(wrote.status, GOOD, name(index));
      else t.deepEqual(asc(wrote), index % 3 === 0 ? [0x07, 0x27, 0x00] : NO_UNIT, name(index));
      t.is(got.status === GOOD, index % 3 !== 2, name(index));
    }),
  );
});
