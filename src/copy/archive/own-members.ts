// The archive's own members around those of the list: where they begin and how long they are.
import type { ListMember } from "../../list.js";
import type { OpenMember } from "./continuation.js";
import { BLOCKS_NAME, END_BYTES, MANIFEST_NAME, TRAILER_BYTES } from "./manifest-format.js";
import { memberHeader } from "./member-header.js";

export interface OwnPlace {
  readonly header: Uint8Array;
  /** Archive offset of the first data byte. */
  readonly data: bigint;
  readonly size: bigint;
  /** The member as a break at an archive offset within its data leaves it. */
  readonly open: (at: bigint) => OpenMember;
}

interface OwnOptions {
  readonly createdMs: number;
  readonly tapeBlockBytes: number;
}

/** @param position archive offset of its header. @param sizeOf its size when its data begins at this offset. */
export function placeOwn(
  name: string,
  position: bigint,
  options: OwnOptions,
  sizeOf: (data: bigint) => bigint,
): OwnPlace {
  // The header is one block; three when the size needs an extended header, which moves the data.
  for (const length of [512n, 1536n]) {
    const data = position + length;
    const size = sizeOf(data);
    const header = memberHeader(describe(name, size, options.createdMs), size, false);
    if (BigInt(header.bytes) !== length) continue;
    const end = data + size;
    return {
      header: header.make(),
      data,
      size,
      open: (at) => ({ name, left: end - at, offset: at - data, stored: end - at }),
    };
  }
  throw new RangeError(`${name} fits no header at ${position}`);
}

/** The list of block checksums: zeros from its first data byte to the next tape block edge, so that everything
 * before the first checksum is whole tape blocks, then a checksum for each of them. */
export function placeBlockList(
  position: bigint,
  options: OwnOptions,
): OwnPlace & { readonly offset: bigint; readonly count: number } {
  const block = BigInt(options.tapeBlockBytes);
  const countOf = (data: bigint) => (data + block - 1n) / block;
  const place = placeOwn(BLOCKS_NAME, position, options, (data) => countOf(data) * block - data + 4n * countOf(data));
  const count = countOf(place.data);
  return { ...place, offset: count * block, count: Number(count) };
}

/** The manifest: its last line is filled up so that the archive's two zero blocks end at a tape block edge. */
export function placeManifest(position: bigint, lineBytes: bigint, options: OwnOptions): OwnPlace {
  const block = BigInt(options.tapeBlockBytes);
  const after = BigInt(TRAILER_BYTES + END_BYTES);
  return placeOwn(MANIFEST_NAME, position, options, (data) => {
    const end = ((data + lineBytes + after + block - 1n) / block) * block;
    return end - BigInt(END_BYTES) - data;
  });
}

function describe(name: string, size: bigint, createdMs: number): ListMember {
  const mtimeNs = BigInt(Math.floor(createdMs / 1000)) * 1_000_000_000n;
  return { name, type: "file", size, mode: 0o644, uid: 0, gid: 0, uname: "root", gname: "root", mtimeNs, extents: 0 };
}
