// What ends ROD tokens, who may not use them, and who is told of them.
import test from "ava";
import type { Right } from "../../src/admit/key.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeAllTokens, decodeRodToken } from "../../src/wire/xcopy/rod-token.js";
import { type CopyHost, type Name, startCopyPlant } from "../lib/copy-plant.js";
import { NONE, ordered, populate, range, write } from "../lib/copy-tokens.js";

const ALL: readonly Right[] = ["read", "write", "exclusive", "media-control"];
const MINUTE_MS = 60_000;

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
  t.is(await use(short), NONE.expired);
  t.is(await use(long), "good");
  for (let hour = 0; hour < 23; hour++) {
    plant.later(59 * MINUTE_MS);
    t.is(await use(long), "good");
  }
  plant.later(59 * MINUTE_MS);
  t.is(await use(long), "good");
  plant.later(30 * MINUTE_MS);
  t.is(await use(long), NONE.expired);
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
    [8, NONE.unknown],
    [15, NONE.unknown],
    // Its creator, its size, and the secret.
    [24, NONE.corrupt],
    [63, NONE.corrupt],
    [130, NONE.corrupt],
    [256, NONE.corrupt],
    [287, NONE.corrupt],
    [511, NONE.corrupt],
  ] as const)
    t.is(await write(host, "disk1", changed(at), to), wanted, `byte ${at}`);
  t.is(await write(host, "disk1", new Uint8Array(512), to), "5/23/a");
  // What REPORT ALL ROD TOKENS tells of a token does not make one.
  const told = Uint8Array.from(token);
  told.fill(0, 96);
  t.is(await write(host, "disk1", told, to), NONE.corrupt);
  t.true(plant.disk("disk1").equals(before));
  t.is(await write(host, "disk1", token, to, { deleteToken: true }), "good");
  t.is(await write(host, "disk1", token, to), NONE.deleted);
  const next = await populate(t, host, "disk0", to);
  await plant.restart();
  t.is(await write(host, "disk1", next, to), NONE.unknown);
});

test("a token that was stolen gives nothing to who may not read its blocks, and makes nothing writable", async (t) => {
  const plant = await startCopyPlant(t);
  const owner = await plant.host("a");
  const token = await populate(t, owner, "disk0", [range(0, 8)]);
  const media = plant.media();
  const to = [range(0, 8)];
  for (const [name, rights, wanted] of [
    ["blind", { disk1: ALL }, NONE.unknown],
    ["writer", { disk1: ALL, disk0: ["write", "exclusive", "media-control"] }, NONE.unknown],
    ["reader", { disk1: ["read"], disk0: ALL }, "7/27/0"],
    ["excluder", { disk1: ["exclusive"], disk0: ALL }, "7/27/0"],
  ] as const) {
    const thief = await plant.host(name, rights);
    t.is(await write(thief, "disk1", token, to), wanted, name);
    // The same, from the unit of which it is.
    if (name === "writer") t.is(await write(thief, "disk0", token, [range(1000, 8)]), NONE.unknown);
  }
  const writer = await plant.host("populates", { disk0: ["write"] });
  t.is(await ordered(writer, "disk0", {}), "5/20/2");
  t.is(plant.media(), media, "not one byte is another");
  // Who may read and write both may use it, whoever made it.
  const friend = await plant.host("friend", { disk0: ["read"], disk1: ["write"] });
  t.is(await write(friend, "disk1", token, to), "good");
  await plant.revoke(owner, "disk0");
  const after = plant.media();
  t.is(await write(owner, "disk1", token, to), NONE.unknown, "its maker, who may not read them any more");
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
