// ROD tokens over the wire (SPC-4 5.17.6, SBC-3 4.28): what they stand for, where it is written, and all that ends them.
import test, { type ExecutionContext } from "ava";
import type { Right } from "../../src/admit/key.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeTokenInformation, STATUS_LID4, type TokenInformation } from "../../src/wire/xcopy/copy-results.js";
import type { BlockRange } from "../../src/wire/xcopy/ranges.js";
import { decodeAllTokens, decodeRodToken, ROD_TYPE, zeroToken } from "../../src/wire/xcopy/rod-token.js";
import {
  encodePopulateToken,
  encodeWriteUsingToken,
  type PopulateToken,
  type WriteUsingToken,
} from "../../src/wire/xcopy/token-lists.js";
import { type CopyHost, type CopyPlant, type Name, startCopyPlant, words } from "../lib/copy-plant.js";

const ALL: readonly Right[] = ["read", "write", "exclusive", "media-control"];
const MINUTE_MS = 60_000;
const LIST_ID = 0x0102_0304;
const [UNKNOWN, CORRUPT, EXPIRED, CANCELLED, DELETED] = ["5/23/4", "5/23/5", "5/23/7", "5/23/8", "5/23/9"];

const range = (lba: number, blocks: number): BlockRange => ({ lba: BigInt(lba), blocks });

/** Orders it, and says with what it ends. */
async function ordered(host: CopyHost, at: Name, more: Partial<PopulateToken>): Promise<string> {
  const out = encodePopulateToken({ immediate: false, inactivitySeconds: 0, ranges: [range(0, 8)], ...more });
  const cdb = encodeCopyCommand({ kind: "populate-token", listId: LIST_ID, length: out.length });
  return words(await host.send(at, cdb, { out }));
}

async function information(host: CopyHost, at: Name): Promise<TokenInformation> {
  const cdb = encodeCopyCommand({ kind: "token-information", listId: LIST_ID, length: 4096 });
  return decodeTokenInformation((await host.send(at, cdb, { in: 4096 })).data);
}

async function populate(
  t: ExecutionContext<unknown>,
  host: CopyHost,
  at: Name,
  ranges: readonly BlockRange[],
  more: Partial<PopulateToken> = {},
): Promise<Uint8Array> {
  t.is(await ordered(host, at, { ranges, ...more }), "good");
  let told = await information(host, at);
  while (told.status === STATUS_LID4.BACKGROUND) told = await information(host, at);
  const [made] = told.tokens;
  if (made === undefined) throw new Error("no token was made");
  return made.token;
}

async function write(
  host: CopyHost,
  at: Name,
  token: Uint8Array,
  ranges: readonly BlockRange[],
  more: Partial<WriteUsingToken> = {},
): Promise<string> {
  const out = encodeWriteUsingToken({ immediate: false, deleteToken: false, offset: 0n, token, ranges, ...more });
  const cdb = encodeCopyCommand({ kind: "write-using-token", listId: LIST_ID, length: out.length });
  return words(await host.send(at, cdb, { out }));
}

const write10 = (host: CopyHost, name: Name, lba: number) =>
  host.send(name, Uint8Array.of(0x2a, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, 1, 0), { out: new Uint8Array(512) });

const bytes = (disk: Buffer, block: number, ranges: readonly BlockRange[]): Buffer =>
  Buffer.concat(ranges.map(({ lba, blocks }) => disk.subarray(Number(lba) * block, (Number(lba) + blocks) * block)));

test("a token's blocks are written to other ranges, of its disk and of others, whatever their blocks, from any offset", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const from = [range(1000, 24), range(8, 8), range(5000, 100)];
  const token = await populate(t, host, "disk0", from);
  const source = bytes(plant.disk("disk0"), 512, from);
  t.is(source.length, 132 * 512);
  const cases: readonly (readonly [Name, number, readonly BlockRange[], number])[] = [
    ["disk1", 512, [range(0, 132)], 0],
    ["disk1", 512, [range(300, 1), range(200, 31)], 100],
    ["big0", 4096, [range(20, 2), range(3, 14)], 0],
    ["big0", 4096, [range(40, 3)], 2],
    ["disk0", 512, [range(9000, 132)], 0],
  ];
  for (const [at, block, to, offset] of cases) {
    t.is(await write(host, at, token, to, { offset: BigInt(offset) }), "good");
    const wanted = to.reduce((sum, { blocks }) => sum + blocks, 0);
    const written = bytes(plant.disk(at), block, to);
    t.true(written.equals(source.subarray(offset * block, (offset + wanted) * block)), `${at} from ${offset}`);
    const told = await information(host, at);
    t.like(told, { status: STATUS_LID4.DONE, units: 0xf1, count: BigInt(wanted), tokens: [] });
  }
  // More than it stands for: what there is, in whole blocks, and no more.
  const before = plant.disk("big0");
  t.is(await write(host, "big0", token, [range(100, 20)]), "good");
  t.like(await information(host, "big0"), { status: STATUS_LID4.PARTIAL_TOKEN, count: 16n });
  t.true(bytes(plant.disk("big0"), 4096, [range(100, 16)]).equals(source.subarray(0, 16 * 4096)));
  t.true(bytes(plant.disk("big0"), 4096, [range(116, 4)]).equals(bytes(before, 4096, [range(116, 4)])));
  t.is(await write(host, "disk1", token, [range(0, 8)], { offset: 133n }), "5/26/0", "behind its end");
  t.is(await write(host, "disk1", token, [range(16_380, 8)]), "5/21/0");
  t.is(await ordered(host, "disk0", { ranges: [range(16_380, 8)] }), "5/21/0");
});

test("a token tells what it is of, and RECEIVE ROD TOKEN INFORMATION hands it over once", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  t.is(await ordered(host, "disk0", { ranges: [range(0, 8), range(100, 8)] }), "good");
  const told = await information(host, "disk0");
  t.like(told, { action: 0x10, status: STATUS_LID4.DONE, units: 0xf1, count: 16n });
  const token = decodeRodToken(told.tokens[0]?.token ?? new Uint8Array(0));
  t.like(token, { type: ROD_TYPE.POINT_IN_TIME_VULNERABLE, byteCount: 16n * 512n });
  t.deepEqual(token.creator.designator, (await host.cscd("disk0")).designator);
  const again = encodeCopyCommand({ kind: "token-information", listId: LIST_ID, length: 4096 });
  t.is(words(await host.send("disk0", again, { in: 4096 })), "5/24/0");
  for (const name of ["tape0"] as const) t.is(await ordered(host, name, {}), "5/24/0", "disks have tokens");
});

test("IMMED: a token is written in the background, and one is made", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const token = await populate(t, host, "disk0", [range(0, 4096)], { immediate: true });
  plant.devices.emulated("disk1")?.pace(4n << 20n);
  t.is(await write(host, "disk1", token, [range(0, 4096)], { immediate: true }), "good");
  let [told, seen] = [await information(host, "disk1"), 0];
  for (; told.status === STATUS_LID4.BACKGROUND; told = await information(host, "disk1")) seen++;
  t.true(seen > 0);
  t.like(told, { status: STATUS_LID4.DONE, count: 4096n });
  t.true(
    plant
      .disk("disk1")
      .subarray(0, 2 << 20)
      .equals(plant.disk("disk0").subarray(0, 2 << 20)),
  );
});

test("the zero token is zeros, as many as are wanted", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a", { big0: ["write"] });
  const before = plant.disk("big0");
  t.is(await write(host, "big0", zeroToken(), [range(5, 100), range(0, 1)], { offset: 1n << 40n }), "good");
  const after = plant.disk("big0");
  t.true(after.subarray(5 * 4096, 105 * 4096).every((byte) => byte === 0));
  t.true(after.subarray(0, 4096).every((byte) => byte === 0));
  t.true(after.subarray(4096, 5 * 4096).equals(before.subarray(4096, 5 * 4096)));
});

test("a change of one of its blocks cancels a token, whoever makes it: a server, another's copy, a token, a job", async (t) => {
  const plant = await startCopyPlant(t);
  const [host, other] = [await plant.host("a"), await plant.host("b")];
  const zeros = async () => t.is(await write(other, "disk0", zeroToken(), [range(105, 1)]), "good");
  const copy = async () => {
    const ends = { source: 0, destination: 1, sourceLba: 0n, destinationLba: 99n };
    const segment = {
      kind: "block-block",
      hold: false,
      cat: false,
      destinationCount: false,
      blocks: 1,
      ...ends,
    } as const;
    const cscds = [await other.cscd("disk1"), await other.cscd("disk0")];
    const longer = { ...segment, blocks: 2 };
    t.is(words(await other.copy("disk1", cscds, [segment])), "good");
    t.is(await write(host, "disk1", token, [range(0, 8)]), "good", "the block before it");
    t.is(words(await other.copy("disk1", cscds, [longer])), "good");
  };
  const job = async () => plant.servers.wrote("disk0", [{ lba: 107n, blocks: 1n }]);
  const server = async () => {
    t.is(words(await write10(other, "disk0", 99)), "good");
    t.is(words(await write10(other, "disk0", 108)), "good");
    t.is(await write(host, "disk1", token, [range(0, 8)]), "good", "the blocks beside it");
    t.is(words(await write10(other, "disk0", 100)), "good");
  };
  let token: Uint8Array = new Uint8Array(0);
  for (const change of [server, copy, zeros, job]) {
    // What was written before is what it stands for.
    t.is(words(await write10(other, "disk0", 101)), "good");
    token = await populate(t, host, "disk0", [range(0, 8), range(100, 8)]);
    t.is(await write(host, "disk1", token, [range(0, 8)]), "good");
    await change();
    const before = plant.disk("disk1");
    t.is(await write(host, "disk1", token, [range(0, 8)]), CANCELLED, change.name);
    t.true(plant.disk("disk1").equals(before));
  }
  // Itself, too: what it was written over is not what it stands for any more.
  token = await populate(t, host, "disk0", [range(0, 8)]);
  t.is(await write(host, "disk0", token, [range(4, 4)]), "good");
  t.is(await write(host, "disk1", token, [range(0, 8)]), CANCELLED);
});

test("a token expires when nobody has used it for its timeout; each use begins it anew; none lives longer than a day", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const use = (token: Uint8Array) => write(host, "disk1", token, [range(0, 8)]);
  const [short, long] = [
    await populate(t, host, "disk0", [range(0, 8)]),
    await populate(t, host, "disk0", [range(0, 8)], { inactivitySeconds: 3600 }),
  ];
  for (let turn = 0; turn < 3; turn++) {
    plant.later(MINUTE_MS / 2);
    t.is(await use(short), "good");
  }
  plant.later(MINUTE_MS);
  t.is(await use(short), EXPIRED);
  t.is(await use(long), "good");
  for (let hour = 0; hour < 23; hour++) {
    plant.later(59 * MINUTE_MS);
    t.is(await use(long), "good");
  }
  plant.later(59 * MINUTE_MS);
  t.is(await use(long), "good");
  plant.later(30 * MINUTE_MS);
  t.is(await use(long), EXPIRED);
  t.is(await ordered(host, "disk0", { inactivitySeconds: 3601 }), "5/26/0");
});

test("a token that was deleted, forged, changed or of before a restart is none", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const to = [range(0, 8)];
  const token = await populate(t, host, "disk0", to);
  const before = plant.disk("disk1");
  const changed = (at: number): Uint8Array => {
    const copy = Uint8Array.from(token);
    copy[at] = (copy[at] ?? 0) ^ 0x01;
    return copy;
  };
  for (const [at, wanted] of [
    [0, "5/23/1"],
    [7, "5/23/a"],
    [8, UNKNOWN],
    [15, UNKNOWN],
    // Its creator, its size, and the secret.
    [24, CORRUPT],
    [63, CORRUPT],
    [130, CORRUPT],
    [256, CORRUPT],
    [287, CORRUPT],
    [511, CORRUPT],
  ] as const)
    t.is(await write(host, "disk1", changed(at), to), wanted, `byte ${at}`);
  t.is(await write(host, "disk1", new Uint8Array(512), to), "5/23/a");
  // What REPORT ALL ROD TOKENS tells of a token does not make one.
  const told = Uint8Array.from(token);
  told.fill(0, 96);
  t.is(await write(host, "disk1", told, to), CORRUPT);
  t.true(plant.disk("disk1").equals(before));
  t.is(await write(host, "disk1", token, to, { deleteToken: true }), "good");
  t.is(await write(host, "disk1", token, to), DELETED);
  const next = await populate(t, host, "disk0", to);
  await plant.restart();
  t.is(await write(host, "disk1", next, to), UNKNOWN);
});

test("a token that was stolen gives nothing to who may not read its blocks, and makes nothing writable", async (t) => {
  const plant = await startCopyPlant(t);
  const owner = await plant.host("a");
  const token = await populate(t, owner, "disk0", [range(0, 8)]);
  const media = plant.media();
  const to = [range(0, 8)];
  for (const [name, rights, wanted] of [
    ["blind", { disk1: ALL }, UNKNOWN],
    ["writer", { disk1: ALL, disk0: ["write", "exclusive", "media-control"] }, UNKNOWN],
    ["reader", { disk1: ["read"], disk0: ALL }, "7/27/0"],
    ["excluder", { disk1: ["exclusive"], disk0: ALL }, "7/27/0"],
  ] as const) {
    const thief = await plant.host(name, rights);
    t.is(await write(thief, "disk1", token, to), wanted, name);
    // The same, from the unit of which it is.
    if (name === "writer") t.is(await write(thief, "disk0", token, [range(1000, 8)]), UNKNOWN);
  }
  const writer = await plant.host("populates", { disk0: ["write"] });
  t.is(await ordered(writer, "disk0", {}), "5/20/2");
  t.is(plant.media(), media, "not one byte is another");
  // Who may read and write both may use it, whoever made it.
  const friend = await plant.host("friend", { disk0: ["read"], disk1: ["write"] });
  t.is(await write(friend, "disk1", token, to), "good");
  await plant.revoke(owner, "disk0");
  const after = plant.media();
  t.is(await write(owner, "disk1", token, to), UNKNOWN, "its maker, who may not read them any more");
  t.is(plant.media(), after);
});

test("REPORT ALL ROD TOKENS tells of tokens of disks that the server may read, and nothing that could be presented", async (t) => {
  const plant = await startCopyPlant(t);
  const owner = await plant.host("a");
  const [one, two] = [
    await populate(t, owner, "disk0", [range(0, 8)]),
    await populate(t, owner, "big0", [range(0, 1)]),
  ];
  const all = async (host: CopyHost, at: Name): Promise<readonly bigint[]> => {
    const cdb = encodeCopyCommand({ kind: "all-tokens", listId: 0, length: 4096 });
    const { data } = await host.send(at, cdb, { in: 4096 });
    t.false(Buffer.from(data).includes(Buffer.from(one.subarray(256, 288))), "the secret");
    return decodeAllTokens(data).map(({ identifier }) => identifier);
  };
  const ids = [one, two].map((token) => decodeRodToken(token).identifier);
  t.deepEqual(await all(owner, "disk1"), ids);
  t.deepEqual(await all(owner, "tape0"), ids, "whichever unit is asked");
  const reader = await plant.host("b", { disk0: ["read"], big0: ["write"] });
  t.deepEqual(await all(reader, "big0"), ids.slice(0, 1));
  t.deepEqual(await all(await plant.host("c", { disk1: ALL }), "disk1"), []);
  plant.later(MINUTE_MS);
  t.deepEqual(await all(owner, "disk0"), [], "none that has expired");
});

test("what is written with a token while its blocks change is told: the token is cancelled", async (t) => {
  const plant: CopyPlant = await startCopyPlant(t, { tables: "[jobs]\nio_kib = 64\ndepth = 2\n" });
  const [host, other] = [await plant.host("a"), await plant.host("b")];
  const token = await populate(t, host, "disk0", [range(0, 4096)]);
  plant.devices.emulated("disk1")?.pace(2n << 20n);
  t.is(await write(host, "disk1", token, [range(0, 4096)], { immediate: true }), "good");
  while ((await information(host, "disk1")).count === 0n);
  t.is(words(await write10(other, "disk0", 4095)), "good");
  let told = await information(host, "disk1");
  for (; told.status === STATUS_LID4.BACKGROUND; told = await information(host, "disk1"));
  t.is(told.status, STATUS_LID4.FAILED);
  t.is(words({ status: told.completion, sense: told.sense }), CANCELLED);
});
