// The tables of SPC-4 6.4.6: every segment descriptor of fixed length, field by field. segments.ts has those whose length
// is their own, and reads and writes them all.
import { bits, flag, type Layout, uint, uint64, type ValuesOf } from "./layout.js";

export interface LayoutRow {
  readonly code: number;
  /** The same, and a copy of the data is held for the application client (SPC-4 5.17.4.5). */
  readonly heldCode?: number;
  /** DESCRIPTOR LENGTH: what follows the first four bytes. */
  readonly length: number;
  readonly layout: Layout;
}

/** SPC-4 table 147. */
const from = { source: uint(4, 2) };
const to = { destination: uint(6, 2) };
const both = { ...from, ...to };
/** CAT: what is left over is kept for the next segment (SPC-4 5.17.7.2). */
const cat = { cat: flag(1, 0) };
/** STREAM DEVICE TRANSFER LENGTH: bytes, or blocks where the CSCD says FIXED (SPC-4 table 138). */
const transfer = { transfer: uint(9, 3) };

const blockAndStream = { ...cat, ...both, ...transfer, blocks: uint(14, 2), lba: uint64(16) };
const offsetAndStream = {
  ...cat,
  ...both,
  ...transfer,
  byteCount: uint(12, 4),
  lba: uint64(16),
  byteOffset: uint(26, 2),
};

export const LAYOUTS = {
  /** 6.4.6.2, table 149. */
  "block-stream": { code: 0x00, heldCode: 0x0b, length: 0x14, layout: blockAndStream },
  /** 6.4.6.3, table 150. */
  "stream-block": { code: 0x01, heldCode: 0x0c, length: 0x14, layout: blockAndStream },
  /** 6.4.6.4, table 151. DC: the number counts blocks of the destination. */
  "block-block": {
    code: 0x02,
    heldCode: 0x0d,
    length: 0x18,
    layout: {
      ...cat,
      destinationCount: flag(1, 1),
      ...both,
      blocks: uint(10, 2),
      sourceLba: uint64(12),
      destinationLba: uint64(20),
    },
  },
  /** 6.4.6.5, table 152. */
  "stream-stream": {
    code: 0x03,
    heldCode: 0x0e,
    length: 0x10,
    layout: { ...cat, ...both, sourceTransfer: uint(9, 3), destinationTransfer: uint(13, 3), byteCount: uint(16, 4) },
  },
  /** 6.4.6.6, table 153. */
  "inline-stream": {
    code: 0x04,
    length: 0x10,
    layout: { ...cat, ...to, ...transfer, inlineOffset: uint(12, 4), byteCount: uint(16, 4) },
  },
  /** 6.4.6.8, table 155. */
  "stream-discard": {
    code: 0x06,
    heldCode: 0x0f,
    length: 0x0c,
    layout: { ...cat, ...from, ...transfer, byteCount: uint(12, 4) },
  },
  /** 6.4.6.9, table 156. */
  verify: { code: 0x07, length: 0x08, layout: { ...from, testUnitReady: flag(8, 0) } },
  /** 6.4.6.10, table 157. */
  "offset-stream": { code: 0x08, length: 0x18, layout: offsetAndStream },
  /** 6.4.6.11, table 158. */
  "stream-offset": { code: 0x09, length: 0x18, layout: offsetAndStream },
  /** 6.4.6.12, table 159. */
  "offset-offset": {
    code: 0x0a,
    length: 0x1c,
    layout: {
      ...cat,
      ...both,
      byteCount: uint(8, 4),
      sourceLba: uint64(12),
      destinationLba: uint64(20),
      sourceOffset: uint(28, 2),
      destinationOffset: uint(30, 2),
    },
  },
  /** 6.4.6.13, table 160. */
  filemarks: { code: 0x10, length: 0x08, layout: { ...to, immediate: flag(8, 0), count: uint(9, 3) } },
  /** 6.4.6.14, table 161. CODE as in SPACE (6); COUNT is two's complement there, and goes there as it is. */
  space: { code: 0x11, length: 0x08, layout: { ...to, code: bits(8, 2, 0), count: uint(9, 3) } },
  /** 6.4.6.15, table 162. */
  locate: { code: 0x12, length: 0x08, layout: { ...to, objectId: uint(8, 4) } },
  /** 6.4.6.16, table 163. Ends behind so many consecutive filemarks; 0: never for those. */
  "tape-image": { code: 0x13, length: 0x08, layout: { ...both, filemarks: uint(8, 4) } },
  /** 6.4.6.17, table 164. */
  "register-key": { code: 0x14, length: 0x18, layout: { ...to, key: uint64(8), actionKey: uint64(16) } },
  /** 6.4.6.19, table 166. No blocks: all that there are. */
  "block-image": {
    code: 0x16,
    length: 0x18,
    layout: { ...both, sourceLba: uint64(8), destinationLba: uint64(16), blocks: uint(24, 4) },
  },
  /** 6.4.6.21, table 170. */
  "rod-range": { code: 0xbf, length: 0x10, layout: { ...both, lba: uint64(8), blocks: uint(16, 4) } },
} as const satisfies Record<string, LayoutRow>;

export type LayoutKind = keyof typeof LAYOUTS;

/** A segment of fixed length: its kind, whether its data is held (where it can be), and the fields of its table. */
export type LayoutSegment = {
  [K in LayoutKind]: { readonly kind: K } & ((typeof LAYOUTS)[K] extends { heldCode: number }
    ? { readonly hold: boolean }
    : unknown) &
    ValuesOf<(typeof LAYOUTS)[K]["layout"]>;
}[LayoutKind];
