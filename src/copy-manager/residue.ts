// How much a segment reads, processes and writes, and what becomes of the rest (SPC-4 5.17.7.2). Devices are read and
// written in whole units, so a segment may leave *residual source data*, which was read and not processed, and *residual
// destination data*, which was processed and does not fill a unit of the destination. In the stream they stand in this
// order: what is not written yet, then what is not processed yet, then what is read next.

/** What the segments before have left in the stream. */
export interface Residue {
  /** Residual destination data, bytes. */
  readonly unwritten: bigint;
  /** Residual source data, bytes. */
  readonly unprocessed: bigint;
}

/** What the number in a segment counts. */
export type Count =
  /** So much is read, and all that there is is processed: blocks of a disk, bytes of memory. */
  | { readonly of: "source"; readonly bytes: bigint }
  /** So much is processed; what is left over of the source is used first. */
  | { readonly of: "processed"; readonly bytes: bigint }
  /** So much is written. */
  | { readonly of: "destination"; readonly bytes: bigint };

export interface Amounts extends Residue {
  /** From the source, in whole units. */
  readonly read: bigint;
  /** By this segment. */
  readonly processed: bigint;
  /** To the destination, in whole units. */
  readonly written: bigint;
}

/** @param sourceUnit, targetUnit bytes; 1 where any number of bytes can be read or written */
export function amountsOf(before: Residue, count: Count, sourceUnit: bigint, targetUnit: bigint): Amounts {
  if (count.of === "source") {
    const processed = before.unprocessed + count.bytes;
    const there = before.unwritten + processed;
    const unwritten = there % targetUnit;
    return { read: count.bytes, processed, written: there - unwritten, unwritten, unprocessed: 0n };
  }
  const wanted = count.of === "processed" ? count.bytes : count.bytes - before.unwritten;
  const processed = wanted > 0n ? wanted : 0n;
  const missing = processed > before.unprocessed ? processed - before.unprocessed : 0n;
  const read = roundedUp(missing, sourceUnit);
  const there = before.unwritten + processed;
  const unwritten = count.of === "processed" ? there % targetUnit : there - count.bytes;
  return {
    read,
    processed,
    written: there - unwritten,
    unwritten,
    unprocessed: before.unprocessed + read - processed,
  };
}

/** What decides about the rest. */
export interface Padding {
  readonly cat: boolean;
  /** PAD in the CSCD descriptors; false where a side has none (SPC-4 6.4.6.6 to 6.4.6.8). */
  readonly sourcePad: boolean;
  readonly targetPad: boolean;
  /** The number in the segment counts what is written: there is no place for more. */
  readonly byDestination: boolean;
}

/** What becomes of the rest; undefined: the segment is inexact, and that is an error. */
export interface Settlement extends Residue {
  /** Zeros that fill the last unit of the destination, behind the residual destination data. */
  readonly zeros: bigint;
  /** From the end of the stream. */
  readonly dropped: bigint;
}

/**
 * SPC-4 5.17.7.2, the table of PAD and CAT:
 *
 *   source  destination  CAT  residual source data         residual destination data
 *   any     any          1    retained                     retained
 *   1       1            0    discarded                    padded with zeros
 *   0       1            0    as if CAT were 1             padded with zeros
 *   1       0            0    discarded                    discarded
 *   0       0            0    UNEXPECTED INEXACT SEGMENT
 *
 * and where the destination is counted, destination data that is left over is an error, too, if it were to be padded.
 */
export function settle(rest: Residue, padding: Padding, targetUnit: bigint): Settlement | undefined {
  const { unwritten, unprocessed } = rest;
  if (padding.cat || (unwritten === 0n && unprocessed === 0n))
    return { zeros: 0n, dropped: 0n, unwritten, unprocessed };
  const { sourcePad, targetPad, byDestination } = padding;
  if (!targetPad)
    return sourcePad ? { zeros: 0n, dropped: unwritten + unprocessed, unwritten: 0n, unprocessed: 0n } : undefined;
  if (byDestination && unwritten > 0n) return undefined;
  const zeros = roundedUp(unwritten, targetUnit) - unwritten;
  const dropped = sourcePad ? unprocessed : 0n;
  return { zeros, dropped, unwritten: 0n, unprocessed: unprocessed - dropped };
}

export const roundedUp = (value: bigint, unit: bigint): bigint => ((value + unit - 1n) / unit) * unit;
export const roundedDown = (value: bigint, unit: bigint): bigint => value - (value % unit);
export const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
