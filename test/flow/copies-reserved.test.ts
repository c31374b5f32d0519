// Reservations and third-party copies (SPC-4 5.13): of sources, of destinations and of the unit that has the command, by
// others and by who asks, before the copy and while it runs; and the segments that register.
import test, { type ExecutionContext } from "ava";
import { writeFilemarks } from "../../src/wire/cdb.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { STATUS_LID1 } from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import {
  CLEAR,
  prIn,
  prOut,
  READ_FULL_STATUS,
  READ_KEYS,
  READ_RESERVATION,
  REGISTER,
  RELEASE_6,
  RESERVE,
  RESERVE_6,
  TEST_UNIT_READY,
} from "../conformance/bridge/words.js";
import { type KindRow, VARIANTS, type Wants } from "../lib/copy-kinds.js";
import { type CopyHost, type Name, pattern, startCopyPlant, words } from "../lib/copy-plant.js";
import { type RawAnswer, type RawCopyHost, rawHost } from "../lib/raw-copies.js";
import { copied, endOf, startSlow, statusOf } from "../lib/slow-copies.js";

const ENTRY = "big0";
const NAMES = ["disk0", "disk1", "big0", "tape0", "tape1"] as const;
const FROM = { disk: "disk0", tape: "tape0" } as const;
const TO = { disk: "disk1", tape: "tape1" } as const;
type Role = "source" | "destination";
const ROLES = ["source", "destination"] as const;
const REWIND = Uint8Array.of(1, 0, 0, 0, 0, 0);
const KEY = 0x77;
const CONFLICT = 0x18;

/** RESERVE(6), and the types of SPC-4 table 69. */
const RESERVATIONS = ["RESERVE", 1, 3, 5, 6, 7, 8] as const;
type Reservation = (typeof RESERVATIONS)[number];
const isWriteExclusive = (kind: Reservation): boolean => kind === 1 || kind === 5 || kind === 7;

/** SPC-4 table 66, SBC-3 table 13, SSC-4 table 13: whether another's reservation leaves this to who asks. */
function leaves(kind: Reservation, type: "disk" | "tape", wants: Wants): boolean {
  if (kind === "RESERVE") return false;
  if (wants === "look") return true;
  return wants === "read" && type === "disk" && isWriteExclusive(kind);
}

/** Registrations are tests of their own: with one, reservations leave more. */
const TABLE = VARIANTS.filter(({ row }) => row.destination?.[1] !== "reserve");

type Send = (name: Name, cdb: Uint8Array, out?: Uint8Array) => Promise<Pick<RawAnswer, "status" | "sense">>;
const sendOf =
  (host: CopyHost): Send =>
  (name, cdb, out) =>
    host.send(name, cdb, out && { out });
const rawSendOf =
  (raw: RawCopyHost): Send =>
  (name, cdb, out) =>
    raw.send(name, cdb, out && { out });

async function hold(t: ExecutionContext<unknown>, send: Send, name: Name, kind: Reservation): Promise<void> {
  if (kind === "RESERVE") {
    t.is(words(await send(name, RESERVE_6)), "good");
    return;
  }
  for (const [action, fields] of [
    [REGISTER, { actionKey: KEY }],
    [RESERVE, { key: KEY, type: kind }],
  ] as const) {
    const { cdb, out } = prOut(action, fields);
    t.is(words(await send(name, cdb, out)), "good", `${action} of ${kind}`);
  }
}

async function letGo(t: ExecutionContext<unknown>, send: Send, name: Name, kind: Reservation): Promise<void> {
  const { cdb, out } = prOut(CLEAR, { key: KEY });
  t.is(words(await (kind === "RESERVE" ? send(name, RELEASE_6) : send(name, cdb, out))), "good");
}

async function prepare(host: CopyHost): Promise<ReadonlyMap<Name, IdentificationCscd>> {
  for (let block = 0; block < 20; block++)
    await host.send("tape0", Uint8Array.of(0x0a, 0, 0, 2, 0, 0), { out: pattern(512, block) });
  await host.send("tape0", writeFilemarks(2));
  const cscds = new Map<Name, IdentificationCscd>();
  for (const name of NAMES) cscds.set(name, await host.cscd(name));
  return cscds;
}

function cscdsFor(all: ReadonlyMap<Name, IdentificationCscd>, row: KindRow): readonly IdentificationCscd[] {
  const names = [row.source ? FROM[row.source[0]] : ENTRY, row.destination ? TO[row.destination[0]] : ENTRY] as const;
  return names.flatMap((name) => all.get(name) ?? []);
}

const inline = { inline: new Uint8Array(512) };

/** What the failing device said: "conflict". */
const said = (sense: Uint8Array, role: Role): string | undefined => {
  const answer = decodeCopySense(sense)[role];
  return answer && words(answer);
};

for (const role of ROLES)
  test(`a ${role} that another has reserved: what its reservation leaves is copied, and nothing else, for every kind of segment`, async (t) => {
    const plant = await startCopyPlant(t);
    const [owner, asker] = [await plant.host("a"), await plant.host("b")];
    const cscds = await prepare(owner);
    let refusals = 0;
    for (const type of ["disk", "tape"] as const) {
      const device = (role === "source" ? FROM : TO)[type];
      for (const kind of RESERVATIONS) {
        for (const name of ["tape0", "tape1"] as const) t.is(words(await owner.send(name, REWIND)), "good");
        await hold(t, sendOf(owner), device, kind);
        const before = plant.media();
        let written = false;
        for (const { words: what, row, hold: held } of TABLE) {
          const [of, wants] = row[role] ?? [];
          if (of !== type || wants === undefined) continue;
          const answer = await asker.copy(ENTRY, cscdsFor(cscds, row), [row.make(0, 1, held)], inline);
          const which = `${what} with ${kind}`;
          if (leaves(kind, type, wants)) {
            t.is(words(answer), "good", which);
            written = true;
            continue;
          }
          refusals++;
          t.deepEqual([words(answer), said(answer.sense, role)], ["a/d/1", "conflict"], which);
        }
        if (!written) t.is(plant.media(), before, `${device} with ${kind}`);
        await letGo(t, sendOf(owner), device, kind);
      }
    }
    t.true(refusals > 40, `${refusals}`);
  });

test("what the asking nexus has reserved itself it copies, for every kind of segment and reservation", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = await prepare(host);
  await host.close();
  const raw = await rawHost(t, plant, host);
  for (const name of NAMES) await raw.send(name, TEST_UNIT_READY);
  for (const kind of RESERVATIONS) {
    for (const name of NAMES) await hold(t, rawSendOf(raw), name, kind);
    for (const { words: what, row, hold: held } of TABLE) {
      for (const name of ["tape0", "tape1"] as const) t.is(words(await raw.send(name, REWIND)), "good");
      const answer = await raw.copy(ENTRY, cscdsFor(cscds, row), [row.make(0, 1, held)], inline).answer;
      t.is(answer && words(answer), "good", `${what} with ${kind}`);
    }
    for (const name of NAMES) await letGo(t, rawSendOf(raw), name, kind);
  }
});

test("the unit that has the command is reserved by another: it conflicts, and can be asked and aborted all the same", async (t) => {
  const slow = await startSlow(t);
  const { plant, raw, cscds } = slow;
  const owner = sendOf(await plant.host("b"));
  const kinds = ["copy-lid1", "copy-lid4", "populate-token", "write-using-token"] as const;
  for (const kind of RESERVATIONS) {
    await hold(t, owner, ENTRY, kind);
    t.is((await raw.copy(ENTRY, cscds, slow.segments()).answer)?.status, CONFLICT, `${kind}`);
    for (const command of kinds) {
      const cdb = encodeCopyCommand({ kind: command, listId: 1, length: 600 });
      t.is((await raw.send(ENTRY, cdb, { out: new Uint8Array(600) })).status, CONFLICT, `${command}, ${kind}`);
    }
    await letGo(t, owner, ENTRY, kind);
  }
  const before = plant.disk("disk1");
  const copy = await slow.begin();
  await hold(t, owner, ENTRY, 3);
  t.is((await statusOf(raw, ENTRY)).status, STATUS_LID1.RUNNING, "it has the right to go on with what it began");
  t.is(words(await raw.send(ENTRY, encodeCopyCommand({ kind: "abort", listId: 1, length: 0 }))), "good");
  const answer = await copy.answer;
  t.is(answer && words(answer), "a/d/0");
  t.true(copied(plant, before).restAsBefore);
});

for (const kind of RESERVATIONS)
  test(`another reserves the destination with ${kind} while it is copied to: the copy ends, and what it had done is told`, async (t) => {
    const slow = await startSlow(t);
    const { plant, raw } = slow;
    const owner = sendOf(await plant.host("b"));
    await owner("disk1", TEST_UNIT_READY);
    const before = plant.disk("disk1");
    const copy = await slow.begin();
    await hold(t, owner, "disk1", kind);
    const answer = await copy.answer;
    t.deepEqual(answer && [words(answer), said(answer.sense, "destination")], ["a/d/1", "conflict"]);
    const status = await endOf(raw, ENTRY);
    t.is(status.count * 1024 ** status.units, copied(plant, before).bytes);
    t.true(copied(plant, before).restAsBefore);
    await letGo(t, owner, "disk1", kind);
    slow.hurry();
    const again = await raw.copy(ENTRY, slow.cscds, slow.segments()).answer;
    t.is(again && words(again), "good");
  });

test("another reserves the source while it is read: Write Exclusive lets it go on, Exclusive Access ends it", async (t) => {
  const slow = await startSlow(t);
  const { plant, raw } = slow;
  const owner = sendOf(await plant.host("b"));
  const copy = await slow.begin();
  await hold(t, owner, "disk0", 1);
  await letGo(t, owner, "disk0", 1);
  t.is((await statusOf(raw, ENTRY)).status, STATUS_LID1.RUNNING);
  await hold(t, owner, "disk0", 3);
  const answer = await copy.answer;
  t.deepEqual(answer && [words(answer), said(answer.sense, "source")], ["a/d/1", "conflict"]);
});

test("REGISTER KEY registers who asks, and later segments have what that brings", async (t) => {
  const plant = await startCopyPlant(t);
  const [owner, host] = [await plant.host("a"), await plant.host("b")];
  const cscds = [await owner.cscd("disk0"), await owner.cscd("disk1")];
  const isid = "400001370009";
  const raw = await rawHost(t, plant, host, isid);
  for (const name of NAMES) await raw.send(name, TEST_UNIT_READY);
  await hold(t, sendOf(owner), "disk1", 6);
  const blocks: Segment = {
    ...{ kind: "block-block", hold: false, cat: false, destinationCount: false, source: 0, destination: 1 },
    ...{ blocks: 8, sourceLba: 0n, destinationLba: 0n },
  };
  const register = (key: bigint, actionKey: bigint): Segment => ({
    kind: "register-key",
    destination: 1,
    key,
    actionKey,
  });
  const refused = await raw.copy(ENTRY, cscds, [blocks]).answer;
  t.is(refused && words(refused), "a/d/1");
  const done = await raw.copy(ENTRY, cscds, [register(0n, 0xabcn), blocks]).answer;
  t.is(done && words(done), "good", "Exclusive Access - Registrants Only");
  t.true(plant.disk("disk1").subarray(0, 4096).equals(plant.disk("disk0").subarray(0, 4096)));
  const keys = Buffer.from((await owner.send("disk1", prIn(READ_KEYS), { in: 8192 })).data);
  t.deepEqual([keys.readBigUInt64BE(8), keys.readBigUInt64BE(16)].sort(), [BigInt(KEY), 0xabcn].sort());
  const full = Buffer.from((await owner.send("disk1", prIn(READ_FULL_STATUS), { in: 8192 })).data);
  t.true(full.includes(`${host.initiator},i,0x${isid}`), "the nexus that the copy came by");
  // With a key that is not its own it is refused as PERSISTENT RESERVE OUT is.
  const wrong = await raw.copy(ENTRY, cscds, [register(1n, 2n)]).answer;
  t.deepEqual(wrong && [words(wrong), said(wrong.sense, "destination")], ["a/d/1", "conflict"]);
  const ended = await raw.copy(ENTRY, cscds, [register(0xabcn, 0n), blocks]).answer;
  t.deepEqual(ended && [words(ended), decodeCopySense(ended.sense).segment], ["a/d/1", 1]);
});

test("THIRD PARTY PERSISTENT RESERVATIONS SOURCE I_T NEXUS moves the reservation of who asks to whom it names", async (t) => {
  const plant = await startCopyPlant(t);
  const [giver, taker] = [await plant.host("a"), await plant.host("b")];
  const cscds = [await giver.cscd("disk0"), await giver.cscd("disk1")];
  const isid = "400001370009";
  const [from, to] = [await rawHost(t, plant, giver), await rawHost(t, plant, taker, isid)];
  for (const raw of [from, to]) for (const name of NAMES) await raw.send(name, TEST_UNIT_READY);
  await hold(t, rawSendOf(from), "disk1", 3);
  const move: Segment = {
    ...{
      kind: "source-nexus",
      destination: 1,
      key: BigInt(KEY),
      actionKey: 0x99n,
      unregister: true,
      aptpl: false,
      port: 1,
    },
    transportId: { protocol: "iscsi", name: taker.initiator, isid },
  };
  const moved = await from.copy(ENTRY, cscds, [move]).answer;
  t.is(moved && words(moved), "good");
  const held = (await to.send("disk1", prIn(READ_RESERVATION), { room: 256 })).data;
  t.is(held.readBigUInt64BE(8), 0x99n);
  const keys = (await to.send("disk1", prIn(READ_KEYS), { room: 256 })).data;
  t.deepEqual([keys.readUInt32BE(4), keys.readBigUInt64BE(8)], [8, 0x99n], "who gave it is not registered any more");
  const read10 = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
  t.is((await from.send("disk1", read10, { room: 512 })).status, CONFLICT);
  t.is((await to.send("disk1", read10, { room: 512 })).status, 0);
  const again = await from.copy(ENTRY, cscds, [move]).answer;
  t.deepEqual(again && [words(again), said(again.sense, "destination")], ["a/d/1", "conflict"]);
});
