// The manifest's lines of a placed member: written once for their length, when the member is placed, and once
// for good, when the digests are known. Both must come out equally long, so both come from here.
import type { PlacedMember } from "./layout.js";
import { digestText, type MemberDigest, type MemberLine, mapLine, memberLine } from "./manifest-format.js";
import { memberRanges } from "./member-data.js";
import { archiveName } from "./member-header.js";

export interface LineOptions {
  readonly blockBytes: bigint;
  readonly sha256: boolean;
}

/** Length in bytes of the member's lines. */
export async function manifestLength(placed: PlacedMember, options: LineOptions): Promise<number> {
  if (placed.shape.mapBytes === 0n) return Buffer.byteLength(plainLine(placed, undefined, options));
  let bytes = 0;
  for await (const text of sparseLines(placed, undefined, options)) bytes += Buffer.byteLength(text);
  return bytes;
}

/** The line of a member without a map.
 * @param digest undefined when nothing is stored of it. */
export function plainLine(placed: PlacedMember, digest: MemberDigest | undefined, options: LineOptions): string {
  return memberLine(describe(placed, digest, options), []);
}

/** The lines of a member with a map: its own, and more while its map goes on. */
export async function* sparseLines(
  placed: PlacedMember,
  digest: MemberDigest | undefined,
  options: LineOptions,
): AsyncGenerator<string, void, void> {
  let first = true;
  for await (const ranges of memberRanges(placed.member, placed.extents.clone(), options.blockBytes)) {
    yield first ? memberLine(describe(placed, digest, options), ranges) : mapLine(ranges);
    first = false;
  }
  if (first) yield memberLine(describe(placed, digest, options), []);
}

function describe(placed: PlacedMember, digest: MemberDigest | undefined, options: LineOptions): MemberLine {
  const { member, shape } = placed;
  return {
    name: archiveName(member),
    type: member.type,
    size: shape.mapBytes > 0n ? member.size : shape.stored,
    header: placed.header,
    data: placed.data,
    bytes: shape.stored,
    ranges: shape.ranges,
    ...digestText(digest, options.sha256),
  };
}
