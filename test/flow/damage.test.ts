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
