// A program that reads a range of an archive into the supervisor: the manifest, a member's header.
import { Op } from "../../native/types.js";
import { TapeReader, type TapeReaderOptions, type VolumeBatch } from "./tape-reader.js";

/** Bytes of one HOLD piece; GT_HOLD_MAX. */
const HOLD_BYTES = 1n << 20n;

/** Pieces, in order; those of one cartridge are one run of the engine. The bytes come back in "held" events, whose
 * cookie is the position in the range. */
export function* holdRange(
  offset: bigint,
  bytes: bigint,
  options: TapeReaderOptions,
  maxSegments = 1024,
): Generator<VolumeBatch, void, void> {
  const reader = new TapeReader(options);
  reader.limit = maxSegments - 4;
  for (let at = offset; at < offset + bytes; ) {
    if (reader.isElsewhere(at) && !reader.empty) yield reader.take();
    if (reader.isElsewhere(at)) reader.turn(at);
    const left = reader.together(at, offset + bytes - at);
    const piece = left < HOLD_BYTES ? left : HOLD_BYTES;
    reader.seek(at);
    reader.read(piece, 0);
    reader.scatter.push(Op.HOLD, 0, at - offset, piece);
    at += piece;
    if (reader.full) yield reader.take();
  }
  if (!reader.empty) yield reader.take();
}
