// ROD tokens over the wire (SPC-4 5.17.6, SBC-3 4.28): what they stand for, and where it is written.
import test from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { STATUS_LID4 } from "../../src/wire/xcopy/copy-results.js";
import type { BlockRange } from "../../src/wire/xcopy/ranges.js";
import { decodeRodToken, ROD_TYPE, zeroToken } from "../../src/wire/xcopy/rod-token.js";
import { type Name, startCopyPlant, words } from "../lib/copy-plant.js";
import { bytes, information, LIST_ID, NONE, ordered, populate, range, write, write10 } from "../lib/copy-tokens.js";

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
    t.is(await write(host, "disk1", token, [range(0, 8)]), NONE.cancelled, change.name);
    t.true(plant.disk("disk1").equals(before));
  }
  // Itself, too: what it was written over is not what it stands for any more.
  token = await populate(t, host, "disk0", [range(0, 8)]);
  t.is(await write(host, "disk0", token, [range(4, 4)]), "good");
  t.is(await write(host, "disk1", token, [range(0, 8)]), NONE.cancelled);
});

test("what is written with a token while its blocks change is told: the token is cancelled", async (t) => {
  const plant = await startCopyPlant(t, { tables: "[jobs]\nio_kib = 64\ndepth = 2\n" });
  const [host, other] = [await plant.host("a"), await plant.host("b")];
  const token = await populate(t, host, "disk0", [range(0, 4096)]);
  plant.devices.emulated("disk1")?.pace(2n << 20n);
  t.is(await write(host, "disk1", token, [range(0, 4096)], { immediate: true }), "good");
  while ((await information(host, "disk1")).count === 0n);
  t.is(words(await write10(other, "disk0", 4095)), "good");
  let told = await information(host, "disk1");
  for (; told.status === STATUS_LID4.BACKGROUND; told = await information(host, "disk1"));
  t.is(told.status, STATUS_LID4.FAILED);
  t.is(words({ status: told.completion, sense: told.sense }), NONE.cancelled);
});
