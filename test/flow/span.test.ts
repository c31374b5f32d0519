// Archives over 2 to 20 cartridges, cut on purpose in every kind of place, for tape blocks of 512 bytes to 1 MiB:
// restored by `tar -M` and by Gantry alike, verified, scrubbed as a set and one by one.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { contentOf, type TestMember } from "../lib/archives.js";
import { type TapeBench, tapeBench, tapObjects } from "../lib/tape-bench.js";
import { untarVolumes } from "../lib/tar-tape.js";

const LEAD = 16384;
const MEMBERS: readonly TestMember[] = [
  { name: "first", at: [[0, 8, 90]], size: 46_000n },
  { name: `folder/${"long-folder/".repeat(50)}name`, at: [[0, 100, 5]], size: 2500n },
  { name: "empty", size: 0n },
  { name: "sparse", at: Array.from({ length: 100 }, (_, i) => [3 * i, 120 + i, 1] as const), size: BigInt(301 * 512) },
  { name: "large", at: [[0, 300, 700]] },
  { name: "last", at: [[0, 1000, 40]], size: 20_001n },
];
const BYTES = 1100 * 512;

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `V${index + 1}`);
const backupOf = (bench: TapeBench, cartridges: readonly string[], tapeBlockBytes: number) =>
  bench.run(
    {
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: [...cartridges] },
      options: { tapeBlockBytes, position: "overwrite" },
    },
    MEMBERS,
  );

/** Offsets of everything, from an archive on one cartridge; they do not depend on where it is cut but behind the list. */
async function placesOf(t: ExecutionContext, bench: TapeBench, block: number): Promise<ReadonlyMap<string, number>> {
  const whole = await backupOf(bench, ["WHOLE"], block);
  t.is(whole.state, "succeeded", whole.failure?.message);
  const archive = Buffer.concat(tapObjects(readFileSync(bench.tap("WHOLE"))).filter((each) => each !== undefined));
  const { offset = 0n, bytes = 0n } = whole.manifest ?? {};
  const lines = archive
    .subarray(Number(offset), Number(offset + bytes))
    .toString()
    .trim()
    .split("\n");
  const member = (name: string) =>
    JSON.parse(lines.find((line) => line.includes(`"name":"${name}`)) ?? "{}") as {
      header: number;
      data: number;
      bytes: number;
    };
  const [first, long, sparse, large, last] = ["first", "folder/", "sparse", "large", "last"].map(member) as [
    ReturnType<typeof member>,
    ReturnType<typeof member>,
    ReturnType<typeof member>,
    ReturnType<typeof member>,
    ReturnType<typeof member>,
  ];
  const list = (
    JSON.parse(lines.find((line) => line.includes('"volumes"')) ?? "{}") as {
      blocks: { offset: number; count: number };
    }
  ).blocks;
  return new Map([
    ["data of the first member", first.data + 30_000],
    ["between members", long.header],
    ["a pax header's data", long.header + 512],
    ["the ustar header behind a pax header", long.data - 512],
    ["the header of a sparse member", sparse.header + 1024],
    ["the sparse map", sparse.data - 512],
    ["the first data byte of a sparse member", sparse.data],
    ["data of a sparse member", sparse.data + 5120],
    ["the first data byte", large.data],
    ["data", large.data + 100 * 512],
    ["the last block of a member", last.data + last.bytes - (last.bytes % 512)],
    ["the header of the list of checksums", last.data + Math.ceil(last.bytes / 512) * 512],
    ["the checksums", list.offset + 512],
    ["the manifest's header", Number(offset) - 512],
    ["the manifest", Number(offset) + 512],
    ["the trailer", Number(offset + bytes) - 512],
    ["the end of the archive", Number(offset + bytes)],
    ["the last block", archive.length - block],
  ]);
}

/** Backs up with these blocks on each cartridge but the last, and does everything with it. */
async function span(
  t: ExecutionContext,
  bench: TapeBench,
  title: string,
  block: number,
  blocks: readonly number[],
  count = blocks.length + 1,
) {
  const cartridges = names(Math.max(count, blocks.length + 1));
  bench.limit(new Map(blocks.map((each, index) => [cartridges[index] ?? "", each * block])));
  const backup = await backupOf(bench, cartridges, block);
  t.is(backup.state, "succeeded", `${title}: ${backup.failure?.message}`);
  const volumes = backup.volumes ?? [];
  const used = volumes.map(({ cartridge }) => cartridge);
  bench.limit(new Map());
  const tape = { device: "tape0", cartridges: used };
  const options = { tapeBlockBytes: block };
  const verify = await bench.run({ type: "verify", tape, options });
  t.is(verify.state, "succeeded", `${title}: ${verify.failure?.message}`);
  writeFileSync(join(bench.directory, "target.img"), Buffer.alloc(BYTES), { flag: "r+" });
  const restore = await bench.run({ type: "restore", disk: { device: "target" }, tape, options }, MEMBERS);
  t.is(restore.state, "succeeded", `${title}: ${restore.failure?.message}`);
  const target = readFileSync(join(bench.directory, "target.img"));
  for (const member of MEMBERS) {
    const wanted = contentOf(member, { blockBytes: 512, data: bench.content });
    t.true(contentOf(member, { blockBytes: 512, data: target }).equals(wanted), `${title}: ${member.name}`);
  }
  const scrub = await bench.run({ type: "scrub", tape });
  t.is(scrub.state, "succeeded", `${title}: ${scrub.failure?.message}`);
  const middle = await bench.run({ type: "scrub", tape: { ...tape, cartridges: used.slice(1, 2) } });
  t.is(middle.state, "succeeded", `${title}, the second alone: ${middle.failure?.message}`);
  const out = join(bench.directory, `out-${title.replace(/\W/g, "-")}`);
  mkdirSync(out);
  await bench.devices.load("tape0", "OTHER", true);
  await untarVolumes(
    used.map((name) => bench.tap(name)),
    join(out, "files"),
  );
  for (const member of MEMBERS)
    t.true(
      readFileSync(join(out, "files", member.name)).equals(contentOf(member, { blockBytes: 512, data: bench.content })),
      `${title}: ${member.name} by tar`,
    );
  return { volumes, used };
}

test("a cartridge may end in any kind of place", async (t) => {
  const bench = await tapeBench(t, BYTES);
  for (const [place, offset] of await placesOf(t, bench, 512)) {
    const { volumes } = await span(t, bench, place, 512, [Math.floor(offset / 512)]);
    t.is(volumes[0]?.to, BigInt(Math.floor(offset / 512) * 512), `the cut is where the test wants it: ${place}`);
  }
});

test("any tape block size, and 2, 3, 7 and 20 cartridges, several of them in one member", async (t) => {
  const bench = await tapeBench(t, BYTES);
  for (const [block, cartridges] of [
    [512, 20],
    [1024, 7],
    [4096, 20],
    [10_240, 7],
    [65_536, 3],
    [262_144, 2],
    [1_048_576, 2],
  ] as const) {
    const lead = Math.ceil(LEAD / block);
    const archive = Math.ceil(430_000 / block);
    const each = Math.max(1, Math.floor(archive / cartridges));
    const blocks = Array.from({ length: cartridges - 1 }, (_, index) =>
      index === 0 ? Math.max(each, lead) : lead + each,
    );
    const { used } = await span(t, bench, `${block}x${cartridges}`, block, blocks);
    t.true(used.length >= Math.min(2, cartridges), `${used.length} cartridges of ${block}`);
  }
});

test("a cartridge that holds only its lead and one block, and cartridges that are not the right ones", async (t) => {
  const bench = await tapeBench(t, BYTES);
  const { used } = await span(t, bench, "one block", 4096, [10, 5, 5, 20]);
  t.true(used.length >= 4);
  const tried = async (cartridges: readonly string[]) => {
    const tape = { device: "tape0", cartridges: [...cartridges] };
    const { failure } = await bench.run(
      { type: "restore", disk: { device: "target" }, tape, options: { tapeBlockBytes: 4096 } },
      MEMBERS,
    );
    return failure;
  };
  const [a = "", b = "", c = "", ...rest] = used;
  for (const [cartridges, code] of [
    [[a, c, b, ...rest], "ARCHIVE_INVALID"],
    [[a, c, ...rest], "ARCHIVE_INVALID"],
    [[a, b, b, ...rest], "ARCHIVE_INVALID"],
    [[a, "WHOLE", c, ...rest], "MEDIA_MISSING"],
    [used.slice(0, -1), "ARCHIVE_INVALID"],
  ] as const) {
    const failure = await tried(cartridges);
    t.is(failure?.code, code, `${cartridges}: ${failure?.message}`);
  }
});

test("early warning with the last block of an archive, with one and with another cartridge to go on with", async (t) => {
  const bench = await tapeBench(t, BYTES);
  const whole = await backupOf(bench, ["WHOLE"], 4096);
  const bytes = Number(whole.volumes?.[0]?.to);
  for (const cartridges of [["LAST"], ["FIRST", "SPARE"]]) {
    const [only = ""] = cartridges;
    bench.limit(new Map([[only, bytes]]));
    const { state, failure, volumes = [] } = await backupOf(bench, cartridges, 4096);
    t.is(state, "succeeded", `${only}: ${failure?.code} ${failure?.message}`);
    t.deepEqual(
      volumes.map(({ cartridge }) => cartridge),
      [only],
    );
    bench.limit(new Map());
    const verify = await bench.run({ type: "verify", tape: { device: "tape0", cartridges: [only] } });
    t.is(verify.state, "succeeded", verify.failure?.message);
  }
});

test("a further cartridge that has no room for its lead and a block behind it ends the job, and says so", async (t) => {
  const bench = await tapeBench(t, BYTES);
  for (const blocks of [1, 3, 4]) {
    const [first, second] = [`A${blocks}`, `B${blocks}`];
    bench.limit(
      new Map([
        [first, 20 * 4096],
        [second, blocks * 4096],
      ]),
    );
    const { state, failure } = await backupOf(bench, [first, second, "SPARE"], 4096);
    t.is(state, "failed", `${blocks} blocks`);
    t.is(failure?.code, "MEDIA_TOO_SMALL", failure?.message);
    t.regex(failure?.message ?? "", new RegExp(`Cartridge ${second} is too small`));
  }
});
