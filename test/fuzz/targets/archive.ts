// What is read back from a tape, which anybody may have written.
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { continuationLead, parseContinuation } from "../../../src/copy/archive/continuation.js";
import { crc32c, crcHex } from "../../../src/copy/archive/crc32c.js";
import { headLine, trailerCovered, trailerLine } from "../../../src/copy/archive/manifest-format.js";
import { findTrailer, parseManifest } from "../../../src/copy/archive/manifest-read.js";
import { ManifestWalk } from "../../../src/copy/archive/manifest-walk.js";
import { scanHeaders } from "../../../src/copy/archive/scan-headers.js";
import { checksum } from "../../../src/copy/archive/ustar.js";
import { isTapeBlock } from "../../../src/copy/archive/volumes.js";
import { collect, makeArchive, makeDisk, type TestMember } from "../../lib/archives.js";
import { must, type Target } from "../target.js";

const MEMBERS: readonly TestMember[] = [
  { name: "ü".repeat(80), at: [[0, 3, 2]], size: 900n },
  {
    name: "sparse",
    at: [
      [2, 20, 1],
      [10, 40, 1],
    ],
    size: BigInt(14 * 512 - 100),
  },
  { name: "all-hole", size: 4096n },
  { name: "d", type: "directory" },
  { name: "l", type: "symlink", linkName: "../elsewhere" },
  { name: "h", type: "hardlink", linkName: "sparse" },
  { name: "before-1970", mtimeNs: -1_500_000_000n, uid: 2_097_152 },
];
const archive = await makeArchive({ members: MEMBERS, disk: makeDisk(64, 512), tapeBlockBytes: 512 });
const trailer = findTrailer(archive.stream.subarray(-1536));
const manifest = archive.stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes));

const INVALID = ["ARCHIVE_INVALID"] as const;

/** Every header's checksum put right again, so that what stands behind it is looked at. */
function mended(input: Uint8Array): Uint8Array {
  const bytes = Buffer.from(input);
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
  return bytes;
}

const headers = (name: string, prepare: (input: Uint8Array) => Uint8Array): Target => ({
  name,
  codes: INVALID,
  seeds: () => [archive.stream],
  run: async (input) => {
    const bytes = prepare(input);
    const read = (at: bigint, count: number): Uint8Array =>
      at > BigInt(bytes.length) ? new Uint8Array() : bytes.subarray(Number(at), Number(at) + count);
    const members = await collect(scanHeaders(read));
    let end = 0n;
    for (const member of members) {
      must(
        member.header >= end && member.data > member.header && member.end >= member.data,
        "members follow each other",
      );
      must(member.bytes >= 0n && member.size >= 0n && member.size < 2n ** 63n, "sizes have 63 bits");
      must(member.data + member.bytes <= member.end, "data lies within its member");
      must(Number.isSafeInteger(member.uid) && Number.isSafeInteger(member.gid), "owners are exact");
      must(/^-?[0-9]+(\.[0-9]+)?$/.test(member.mtime), "a time is decimal");
      must(!member.name.includes("\0") && !member.linkName.includes("\0"), "names end where they end");
      end = member.end;
    }
    return members;
  },
});

async function walk(bytes: Uint8Array): Promise<unknown> {
  const walker = new ManifestWalk(() => [bytes]);
  const members: unknown[] = [];
  let end = 0n;
  for (let member = await walker.member(); member !== undefined; member = await walker.member()) {
    must(member.header >= end && member.data >= member.header, "members follow each other");
    must(member.bytes <= member.size, "no member stores more than it has");
    end = member.data + member.bytes;
    let sum = 0n;
    let last = 0n;
    for (let range = await walker.range(); range !== undefined; range = await walker.range()) {
      must(range.offset >= last && range.offset + range.bytes <= member.size, "ranges rise within the member");
      last = range.offset + range.bytes;
      sum += range.bytes;
    }
    must(sum === member.bytes, "ranges are all of the data");
    members.push(member);
  }
  must(walker.head !== undefined && walker.trailer !== undefined, "a manifest has a beginning and an end");
  return members;
}

/** A trailer that fits whatever stands in front of it: the checksum is no protection against who writes tapes. */
function signedManifest(input: Uint8Array): Buffer {
  const body = Buffer.from(input.subarray(0, Math.max(0, input.length - 512)));
  const line = Buffer.from(trailerLine({ ...trailer, bytes: BigInt(body.length + 512) }, 512, crc32c(body)));
  line.write(crcHex(crc32c(trailerCovered(line), crc32c(body))), line.length - 11, "latin1");
  return Buffer.concat([body, line]);
}

const HEAD = {
  archiveId: "a-1",
  jobId: "j",
  bridgeId: "b",
  createdMs: 0,
  listId: "l",
  tapeBlockBytes: 512,
  diskBlockBytes: 512,
  members: 0,
  bytes: 0n,
};

/** FORMAT.md: whole numbers beyond 2^53 - 1 are decimal strings; a sequence has 64 bits. */
const wholeNumbers = fc.asyncProperty(
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.string({ maxLength: 20 }),
  async (sequence, id) => {
    const text = headLine({ ...HEAD, volume: { id, generation: "g", sequence } });
    const end = '{"volumes":[],"blocks":{"offset":0,"count":0}}\n';
    const records = await collect(
      parseManifest([signedManifest(Buffer.concat([Buffer.from(text + end), Buffer.alloc(512)]))]),
    );
    const [head] = records;
    must(head?.kind === "head" && head.head.volume.sequence === sequence && head.head.volume.id === id, "comes back");
  },
) as unknown as fc.IAsyncProperty<[unknown]>;

const lead = (from: bigint): Uint8Array =>
  continuationLead({
    archiveId: "a-1",
    tapeBlockBytes: 512,
    from,
    createdMs: 1_700_000_000_000,
    open: { name: "ü".repeat(200), left: 5n, offset: 6n, stored: 5n },
  }).subarray(0, 2048);

export const archiveTargets: readonly Target[] = [
  headers("tape-headers", (input) => input),
  headers("tape-headers-mended", mended),
  {
    name: "tape-manifest",
    codes: INVALID,
    seeds: () => [manifest],
    run: async (input) => {
      const members = await walk(input);
      must(Buffer.compare(input, manifest) === 0, "an altered manifest was taken");
      return members;
    },
  },
  {
    name: "tape-manifest-signed",
    codes: INVALID,
    seeds: () => [manifest],
    run: (input) => walk(signedManifest(input)),
    roundTrip: wholeNumbers,
    // Text of a number becomes a bigint, and the trailer is always there.
    proportion: 96,
  },
  {
    name: "tape-trailer",
    codes: INVALID,
    seeds: () => [archive.stream.subarray(-1536), archive.stream.subarray(-4096)],
    run: (input) => {
      const value = findTrailer(input);
      must(isTapeBlock(value.tapeBlockBytes), "tape blocks have a size that there is");
      must(value.manifest < 2n ** 64n && value.bytes < 2n ** 64n, "offsets have 64 bits");
      return value;
    },
  },
  {
    name: "tape-continuation",
    codes: INVALID,
    seeds: () => [lead(0n), lead(2n ** 62n)],
    run: (input) => {
      const value = parseContinuation(input);
      if (value === undefined) return undefined;
      must(isTapeBlock(value.tapeBlockBytes), "tape blocks have a size that there is");
      must(value.from < 2n ** 64n && value.from % BigInt(value.tapeBlockBytes) === 0n, "it goes on at a block's edge");
      return value;
    },
  },
];
