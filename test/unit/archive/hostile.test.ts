// What comes from a tape may be anything: readers answer with the archive's own errors, whatever they are given.
import test from "ava";
import fc from "fast-check";
import { parseContinuation } from "../../../src/copy/archive/continuation.js";
import { crc32c } from "../../../src/copy/archive/crc32c.js";
import { trailerLine } from "../../../src/copy/archive/manifest-format.js";
import { findTrailer, parseManifest } from "../../../src/copy/archive/manifest-read.js";
import { ManifestWalk } from "../../../src/copy/archive/manifest-walk.js";
import { scanHeaders } from "../../../src/copy/archive/scan-headers.js";
import { isGantryError } from "../../../src/sys/errors.js";
import { collect, makeArchive, makeDisk, type TestMember } from "../../lib/archives.js";

const disk = makeDisk(100, 512);
const MEMBERS: readonly TestMember[] = [
  { name: "ü".repeat(80), at: [[0, 3, 7]], size: 3333n },
  {
    name: "sparse",
    at: [
      [2, 20, 3],
      [10, 40, 4],
    ],
    size: BigInt(14 * 512 - 100),
  },
  { name: "d", type: "directory" },
];

const archive = await makeArchive({ members: MEMBERS, disk, tapeBlockBytes: 512 });
const trailer = findTrailer(archive.stream.subarray(-1536));
const manifest = archive.stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes));

async function onlyOurErrors(work: () => Promise<unknown> | unknown): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isGantryError(error) && error.code === "ARCHIVE_INVALID") return true;
    throw error;
  }
}

/** A copy with some bytes changed, cut somewhere. */
const damaged = (bytes: Buffer) =>
  fc
    .record({
      changes: fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      length: fc.oneof(fc.constant(bytes.length), fc.nat(bytes.length)),
    })
    .map(({ changes, length }) => {
      const copy = Buffer.from(bytes);
      for (const [at, value] of changes) copy[at] = value;
      return copy.subarray(0, length);
    });

test("a damaged manifest is never taken for a whole one, and makes no other error", async (t) => {
  await fc.assert(
    fc.asyncProperty(damaged(manifest), async (bytes) => {
      if (bytes.equals(manifest)) return;
      await t.throwsAsync(collect(parseManifest([bytes])), { code: "ARCHIVE_INVALID" });
    }),
    { numRuns: 400 },
  );
});

test("random bytes make no other error in any reader", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
      await onlyOurErrors(() => collect(parseManifest([bytes])));
      await onlyOurErrors(() => findTrailer(bytes));
      await onlyOurErrors(() => parseContinuation(bytes));
      await onlyOurErrors(() => collect(scanHeaders((at, n) => bytes.subarray(Number(at), Number(at) + n))));
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test("damaged headers make no other error in the scan", async (t) => {
  await fc.assert(
    fc.asyncProperty(damaged(archive.stream), (bytes) =>
      onlyOurErrors(() => collect(scanHeaders((at, n) => bytes.subarray(Number(at), Number(at) + n)))),
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test("a scan says at which archive offset a header is damaged", async (t) => {
  const copy = Buffer.from(archive.stream);
  const second = (await collect(scanHeaders((at, n) => archive.stream.subarray(Number(at), Number(at) + n))))[1];
  const at = Number(second?.header);
  copy[at] = (copy[at] ?? 0) ^ 1;
  await t.throwsAsync(collect(scanHeaders((from, n) => copy.subarray(Number(from), Number(from) + n))), {
    message: `At archive offset ${at} the checksum of a header is wrong.`,
  });
});

test("an archive that ends early is found by the scan", async (t) => {
  const short = archive.stream.subarray(0, 2048 + 100);
  await t.throwsAsync(collect(scanHeaders((at, n) => short.subarray(Number(at), Number(at) + n))), {
    message: /ends within a member/,
  });
});

/** A manifest with other lines between head and end, and a right trailer. */
function withLines(lines: readonly string[]): Buffer {
  const all = manifest.toString("utf8").split("\n");
  const body = Buffer.from([all[0], ...lines, all[all.length - 3], ""].join("\n"));
  const end = trailerLine({ ...trailer, bytes: BigInt(body.length + 512) }, 512, crc32c(body));
  return Buffer.concat([body, end]);
}

const line = (fields: object) =>
  JSON.stringify({
    name: "f",
    type: "file",
    size: 10,
    header: 512,
    data: 1024,
    bytes: 10,
    crc32c: "00000000",
    ...fields,
  });
const sparse = (map: number[], bytes: number, ranges = map.length / 2) => line({ size: 5000, bytes, ranges, map });

const WRONG: [string, string[], RegExp][] = [
  ["no JSON", ["{"], /no JSON/],
  ["a list", ["[]"], /no object/],
  ["an unknown type", [line({ type: "device" })], /"device", which is unknown/],
  ["a negative size", [line({ size: -1 })], /"size" is no whole number/],
  ["a size that is rounded", [line({ size: 2 ** 53 })], /"size" is no whole number/],
  ["fewer bytes than size and no map", [line({ bytes: 9 })], /contradict/],
  ["a map that ends early", [sparse([0, 5], 10, 2), line({ header: 9999, data: 9999 })], /not complete/],
  ["a map line after nothing", ['{"map":[0,5]}'], /more ranges/],
  ["a map with an odd number of entries", [line({ size: 50, ranges: 1, map: [1] })], /no list of offsets/],
  ["no digest", [line({ crc32c: "xyz" })], /no CRC32C/],
  ["two heads", [manifest.toString("utf8").split("\n")[0] ?? ""], /a head line is out of place/],
  ["another version", ['{"gantry-manifest":2}'], /version 2/],
];

for (const [title, lines, message] of WRONG) {
  test(`refused in a manifest: ${title}`, async (t) => {
    const bytes = withLines(lines);
    await t.throwsAsync(collect(parseManifest([bytes])), { code: "ARCHIVE_INVALID", message });
  });
}

const CONTRADICTIONS: [string, string[]][] = [
  ["ranges that overlap", [sparse([0, 10, 5, 10], 20)]],
  ["ranges past the size", [sparse([4995, 10], 10)]],
  ["an empty range", [sparse([0, 0], 0)]],
  ["ranges that are not all its bytes", [sparse([0, 10], 20)]],
  ["members that overlap", [line({}), line({ header: 1030, data: 2000 })]],
  ["data in front of its header", [line({ header: 2000 })]],
];

for (const [title, lines] of CONTRADICTIONS) {
  test(`refused when a manifest is used: ${title}`, async (t) => {
    const bytes = withLines(lines);
    const walk = new ManifestWalk(() => [bytes]);
    const work = async () => {
      while ((await walk.member()) !== undefined) while ((await walk.range()) !== undefined);
    };
    await t.throwsAsync(work(), { code: "ARCHIVE_INVALID", message: /contradicts itself/ });
  });
}

test("refused in a manifest: a trailer that announces another length", async (t) => {
  const body = Buffer.from(manifest.toString("utf8").split("\n").slice(0, -2).join("\n").concat("\n"));
  const bytes = Buffer.concat([body, trailerLine({ ...trailer, bytes: 5n }, 512, crc32c(body))]);
  await t.throwsAsync(collect(parseManifest([bytes])), { message: /not the length that it announces/ });
});

test("numbers beyond 2^53 come back exactly", async (t) => {
  const size = 2n ** 62n + 1n;
  const members: TestMember[] = [{ name: "f", size, at: [[0, 1, 1]] }];
  const large = await makeArchive({ members, disk, tapeBlockBytes: 512 });
  const end = findTrailer(large.stream.subarray(-1536));
  const bytes = large.stream.subarray(Number(end.manifest), Number(end.manifest + end.bytes));
  const records = await collect(parseManifest([bytes]));
  const [record] = records.flatMap((item) => (item.kind === "member" ? [item.member] : []));
  t.is(record?.size, size);
});
