// Damage of every kind at every kind of place: nothing of it passes, and what is found is found where it is.
import { readFileSync, writeFileSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import type { Miscompare } from "../../src/job.js";
import type { TestMember } from "../lib/archives.js";
import { type TapeBench, tapeBench, tapImage, tapObjects } from "../lib/tape-bench.js";

const B = 4096;
const MEMBERS: readonly TestMember[] = [
  { name: "first", at: [[0, 8, 90]], size: 46_000n },
  { name: `folder/${"long-".repeat(40)}name`, at: [[0, 100, 5]], size: 2500n },
  { name: "empty", size: 0n },
  {
    name: "sparse",
    at: Array.from({ length: 100 }, (_, i) => [3 * i, 120 + i, 1] as const),
    size: BigInt(301 * 512),
  },
  { name: "image", type: "image", at: [[0, 300, 64]] },
  { name: "folder/d", type: "directory", size: 0n },
  { name: "last", at: [[0, 400, 40]], size: 20_001n },
];

interface Place {
  readonly what: string;
  readonly member: string;
  readonly from: number;
  readonly to: number;
}

interface Made {
  readonly bench: TapeBench;
  readonly objects: readonly (Buffer | undefined)[];
  readonly places: readonly Place[];
}

/** One archive on one cartridge, and what lies where in it. */
async function made(t: ExecutionContext): Promise<Made> {
  const bench = await tapeBench(t, 512 * 512);
  const tape = { device: "tape0", cartridges: ["GOOD"] };
  const options = { tapeBlockBytes: B };
  const backup = await bench.run({ type: "backup", disk: { device: "disk0" }, tape, options }, MEMBERS);
  t.is(backup.state, "succeeded", backup.failure?.message);
  await bench.devices.load("tape0", "OTHER", true);
  const objects = tapObjects(readFileSync(bench.tap("GOOD")));
  const archive = Buffer.concat(objects.filter((object) => object !== undefined));
  const { offset = 0n, bytes = 0n } = backup.manifest ?? {};
  const lines = archive
    .subarray(Number(offset), Number(offset + bytes))
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const places: Place[] = [{ what: "readme", member: ".gantry/README.txt", from: 0, to: 0 }];
  for (const line of lines) {
    if (typeof line.name !== "string") continue;
    const [header, data, stored] = [Number(line.header), Number(line.data), Number(line.bytes)];
    const own = { member: line.name };
    places.push({ ...own, what: "header", from: header, to: data });
    if (stored === 0) continue;
    places.push({ ...own, what: "data", from: data, to: data + stored });
    const padded = Math.ceil(stored / 512) * 512;
    if (padded > stored) places.push({ ...own, what: "padding", from: data + stored, to: data + padded });
  }
  places[0] = { ...(places[0] as Place), to: places[1]?.from ?? 0 };
  const last = places[places.length - 1]?.to ?? 0;
  const blocks = lines.find((line) => "blocks" in line)?.blocks as { offset: number; count: number };
  const listEnd = blocks.offset + 4 * blocks.count;
  const manifestHeader = Number(offset) - 512;
  const own = (what: string, member: string, from: number, to: number) => ({ what, member, from, to });
  places.push(
    own("list header", ".gantry/blocks.crc32c", last, blocks.offset),
    own("list", ".gantry/blocks.crc32c", blocks.offset, listEnd),
    own("list padding", ".gantry/blocks.crc32c", listEnd, manifestHeader),
    own("manifest header", ".gantry/manifest.jsonl", manifestHeader, Number(offset)),
    own("manifest", ".gantry/manifest.jsonl", Number(offset), Number(offset + bytes) - 512),
    own("trailer", ".gantry/manifest.jsonl", Number(offset + bytes) - 512, Number(offset + bytes)),
    own("end", "", Number(offset + bytes), archive.length),
  );
  return { bench, objects, places: places.filter(({ from, to }) => to > from) };
}

/** A small generator of numbers, the same in every run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const tape = { device: "tape0", cartridges: ["BAD"] };

async function judge(t: ExecutionContext, { bench }: Made, image: Buffer, type: "verify" | "scrub") {
  writeFileSync(bench.tap("BAD"), image);
  const outcome = await bench.run({ type, tape });
  await bench.devices.load("tape0", "OTHER", true);
  t.not(outcome.failure?.code, "INTERNAL", outcome.failure?.message);
  return outcome;
}

/** Says the finding that the tape block with this archive byte is damaged? */
const blockOf = (found: readonly Miscompare[], at: number): Miscompare | undefined =>
  found.find(({ object }) => object === BigInt(Math.floor(at / B)));

const FLIPS_EACH = 6;

test("a flipped bit, wherever it is, is found by verify and by scrub, in the right member and tape block", async (t) => {
  const all = await made(t);
  const pick = numbers(20_260);
  const whole = tapImage(all.objects);
  t.is((await judge(t, all, whole, "verify")).state, "succeeded");
  const clean = await judge(t, all, whole, "scrub");
  t.is(clean.state, "succeeded", clean.failure?.message);
  t.like(clean.files?.[0], { whole: true, checkedBy: "manifest", members: 7, restorable: 7, damaged: 0 });
  for (const place of all.places) {
    for (let each = 0; each < FLIPS_EACH; each++) {
      const at = place.from + pick(place.to - place.from);
      const bit = 1 << pick(8);
      const title = `${place.what} of ${place.member.slice(0, 20)}, archive byte ${at}, bit ${bit}`;
      const objects = [...all.objects];
      const block = Buffer.from(objects[Math.floor(at / B)] ?? Buffer.alloc(0));
      block.writeUInt8((block[at % B] ?? 0) ^ bit, at % B);
      objects[Math.floor(at / B)] = block;
      const image = tapImage(objects);
      const ended = place.what === "manifest" || place.what === "trailer" || place.what === "end";
      const verify = await judge(t, all, image, "verify");
      t.is(verify.state, "failed", title);
      t.is(verify.failure?.code, ended ? "ARCHIVE_INVALID" : "VERIFY_DIFFERS", `${title}: ${verify.failure?.message}`);
      const scrub = await judge(t, all, image, "scrub");
      t.is(scrub.state, "failed", `scrub: ${title}`);
      t.false(scrub.files?.[0]?.whole ?? true, title);
      if (ended) {
        t.true(
          (scrub.miscompares ?? []).some(({ member }) => member === ".gantry/manifest.jsonl"),
          title,
        );
        t.is(scrub.files?.[0]?.restorable, 7, `the members behind a lost manifest: ${title}`);
        continue;
      }
      for (const { miscompares = [] } of [verify, scrub]) {
        const found = blockOf(miscompares, at) ?? (place.what === "list" ? miscompares[0] : undefined);
        const words = JSON.stringify(miscompares, (_key, value) => (typeof value === "bigint" ? Number(value) : value));
        t.truthy(found, `${title}: ${words}`);
        if (place.what === "data") t.is(found?.member, place.member, `${title}: ${words}`);
        else
          t.true(
            found?.reason.includes(place.member.slice(0, 20)) || found?.member === place.member,
            `${title}: ${words}`,
          );
        if (place.what === "data")
          t.true(
            Number(found?.memberOffset) <= at - place.from && at - place.from < Number(found?.memberOffset) + B,
            title,
          );
        if (place.what === "list") {
          const entry = miscompares.find(({ object, member }) => member === place.member && object === undefined);
          t.is(Number(entry?.streamOffset), at - ((at - place.from) % 4), `${title}: ${words}`);
        }
      }
      t.is(scrub.files?.[0]?.restorable, place.what === "data" ? 6 : 7, title);
    }
  }
});

type Objects = readonly (Buffer | undefined)[];

/** Index of a tape block wholly inside data of "first", and the blocks behind it. */
const inFirst = ({ places }: Made): number =>
  Math.ceil((places.find(({ what, member }) => what === "data" && member === "first")?.from ?? 0) / B) + 2;

interface Change {
  readonly what: string;
  readonly change: (objects: Objects, at: number) => Objects;
  readonly verify: RegExp;
  /** What a scrub says of one of the places. */
  readonly scrub: RegExp;
  readonly restorable?: number;
}

const swap = (objects: Objects, a: number, b: number): Objects =>
  objects.map((object, index) => (index === a ? objects[b] : index === b ? objects[a] : object));
const replaced = (objects: Objects, at: number, block: Buffer | undefined): Objects =>
  objects.map((object, index) => (index === at ? block : object));

const CHANGES: readonly Change[] = [
  {
    what: "two blocks are swapped",
    change: (o, at) => swap(o, at, at + 1),
    verify: /VERIFY_DIFFERS/,
    scrub: /another CRC32C/,
  },
  {
    what: "two blocks far from each other are swapped",
    change: (o, at) => swap(o, at, o.length - 6),
    verify: /VERIFY_DIFFERS/,
    scrub: /another CRC32C/,
  },
  {
    what: "a block is zeros",
    change: (o, at) => replaced(o, at, Buffer.alloc(B)),
    verify: /VERIFY_DIFFERS/,
    scrub: /another CRC32C/,
    restorable: 6,
  },
  {
    what: "a block is that of its neighbour",
    change: (o, at) => replaced(o, at, o[at + 1]),
    verify: /VERIFY_DIFFERS/,
    scrub: /another CRC32C/,
    restorable: 6,
  },
  {
    what: "a block is there twice",
    change: (o, at) => [...o.slice(0, at), o[at], ...o.slice(at)],
    verify: /ARCHIVE_INVALID/,
    scrub: /1 tape blocks too many/,
    restorable: 7,
  },
  {
    what: "a block is lost",
    change: (o, at) => [...o.slice(0, at), ...o.slice(at + 1)],
    verify: /ARCHIVE_INVALID/,
    scrub: /Tape block \d+ .*could not be read/,
    restorable: 6,
  },
  { what: "the first block is lost", change: (o) => o.slice(1), verify: /ARCHIVE_INVALID/, scrub: /./ },
  {
    what: "a block is shorter",
    change: (o, at) => replaced(o, at, o[at]?.subarray(0, B - 512)),
    verify: /./,
    scrub: /another CRC32C/,
  },
  {
    what: "a block is longer",
    change: (o, at) => replaced(o, at, Buffer.concat([o[at] ?? Buffer.alloc(0), Buffer.alloc(512)])),
    verify: /TAPE_BLOCK_TOO_LARGE/,
    scrub: /could not be read/,
    restorable: 6,
  },
  {
    what: "the filemark is missing",
    change: (o) => o.slice(0, -1),
    verify: /TAPE_ENDED_EARLY/,
    scrub: /No filemark ends/,
    restorable: 7,
  },
  {
    what: "a filemark stands in the middle",
    change: (o, at) => [...o.slice(0, at), undefined, ...o.slice(at)],
    verify: /ARCHIVE_INVALID/,
    scrub: /./,
  },
  { what: "the end is cut off", change: (o) => [...o.slice(0, -8), undefined], verify: /ARCHIVE_INVALID/, scrub: /^$/ },
];

test("blocks that are lost, doubled, swapped, emptied or of another length, and filemarks that are not where they belong", async (t) => {
  const all = await made(t);
  for (const { what, change, verify, scrub, restorable } of CHANGES) {
    const image = tapImage(change(all.objects, inFirst(all)));
    const verified = await judge(t, all, image, "verify");
    t.is(verified.state, "failed", what);
    t.regex(verified.failure?.code ?? "", verify, `${what}: ${verified.failure?.message}`);
    const scrubbed = await judge(t, all, image, "scrub");
    const words = (scrubbed.miscompares ?? []).map(({ reason }) => reason);
    t.false(scrubbed.files?.some(({ whole }) => whole) ?? false, what);
    // A tape that is cut at a tape block edge and ended by a filemark is like the first cartridge of several.
    if (scrub.source === "^$") t.like(scrubbed.files?.[0], { checkedBy: "headers", whole: false }, what);
    else t.is(scrubbed.state, "failed", what);
    t.true(scrub.source === "^$" || words.some((reason) => scrub.test(reason)), `${what}: ${words.join(" | ")}`);
    if (restorable !== undefined) t.is(scrubbed.files?.[0]?.restorable, restorable, `${what}: ${words.join(" | ")}`);
  }
});

test("a block that the medium does not give back is passed over, and what lies behind it is judged", async (t) => {
  const all = await made(t);
  const at = inFirst(all);
  const image = tapImage(all.objects);
  // SIMH: class 8 is a record that was read with an error.
  for (const place of [at * (B + 8), at * (B + 8) + B + 4]) image.writeUInt32LE((0x80000000 | B) >>> 0, place);
  const verified = await judge(t, all, image, "verify");
  t.is(verified.failure?.code, "DEVICE_MEDIUM_ERROR");
  const last = all.places.find(({ what, member }) => what === "data" && member === "last")?.from ?? 0;
  image.writeUInt8(image.readUInt8(last + 4 + 8 * Math.floor(last / B)) ^ 1, last + 4 + 8 * Math.floor(last / B));
  const scrubbed = await judge(t, all, image, "scrub");
  t.is(scrubbed.state, "failed");
  const found = scrubbed.miscompares ?? [];
  t.true(
    found.some(
      ({ object, reason, member }) => object === BigInt(at) && member === "first" && /could not be read/.test(reason),
    ),
  );
  t.true(found.some(({ member, reason }) => member === "last" && /another CRC32C/.test(reason)));
  t.like(scrubbed.files?.[0], { restorable: 5, members: 7, whole: false, checkedBy: "manifest" });
});

test("damage of the container's own framing is a medium error or found, and never a clean tape", async (t) => {
  const all = await made(t);
  const image = tapImage(all.objects);
  const pick = numbers(77);
  for (let each = 0; each < 40; each++) {
    const record = pick(all.objects.length - 1) * (B + 8) + (pick(2) === 0 ? 0 : B + 4);
    const bad = Buffer.from(image);
    const at = record + pick(4);
    bad.writeUInt8(bad.readUInt8(at) ^ (1 << pick(8)), at);
    for (const type of ["verify", "scrub"] as const) {
      const outcome = await judge(t, all, bad, type);
      t.is(outcome.state, "failed", `${type}: byte ${at}`);
    }
  }
});

test("several archives on a cartridge and tape files of others: each is judged by itself", async (t) => {
  const all = await made(t);
  const other = Buffer.alloc(10_240, "tar of somebody else ");
  const damaged = replaced(all.objects, inFirst(all), Buffer.alloc(B, 1));
  const label = Buffer.alloc(80, "VOL1");
  const image = tapImage([
    ...all.objects,
    label,
    undefined,
    ...damaged,
    other,
    other,
    undefined,
    undefined,
    ...all.objects.slice(0, -1),
    ...all.objects,
  ]);
  const { files = [], miscompares = [], state, failure } = await judge(t, all, image, "scrub");
  t.is(failure?.code, "VERIFY_DIFFERS", failure?.message);
  t.is(state, "failed");
  t.deepEqual(
    files.map(({ checkedBy, whole, damaged: places }) => [checkedBy, whole, places > 0]),
    [
      ["manifest", true, false],
      ["nothing", false, false],
      ["manifest", false, true],
      ["nothing", false, false],
      ["manifest", false, true],
      ["manifest", true, false],
    ],
  );
  t.is(files[3]?.blocks, 2n);
  t.is(
    BigInt(miscompares.find(({ member, object }) => member === "first" && object !== undefined)?.object ?? 0n),
    BigInt(all.objects.length + 2 + inFirst(all)),
  );
  t.true(miscompares.some(({ reason }) => reason.includes("No filemark ends")));
});

test("a backup that is read back succeeds only with a tape that gives back what was written", async (t) => {
  const bench = await tapeBench(t, 512 * 512);
  const spec = {
    type: "backup",
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: ["A", "B", "C", "D"] },
  } as const;
  const options = { tapeBlockBytes: B, readBack: true };
  const limits = new Map([...spec.tape.cartridges].map((name) => [name, 20 * B]));
  bench.limit(limits);
  const good = await bench.run({ ...spec, options }, MEMBERS);
  t.is(good.state, "succeeded", good.failure?.message);
  t.true((good.volumes?.length ?? 0) >= 2);
  t.truthy(good.manifestCrc32c);
  // What is read differs from what was written: the drive's writes land, and then the tape is changed under it.
  const put = bench.onWritten(() => {
    const image = readFileSync(bench.tap("A"));
    image.writeUInt8(image.readUInt8(6 * (B + 8) + 100) ^ 8, 6 * (B + 8) + 100);
    writeFileSync(bench.tap("A"), image);
  });
  const bad = await bench.run({ ...spec, options: { ...options, position: "overwrite" } }, MEMBERS);
  put();
  t.is(bad.failure?.code, "VERIFY_DIFFERS", bad.failure?.message);
  t.is(bad.miscompares?.[0]?.member, "first");
  t.true((bad.volumes?.length ?? 0) >= 2, "what was written is in the report all the same");
});
