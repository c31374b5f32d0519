// The mutation engine: valid input of a decoder, changed in the ways in which bytes go wrong or are made wrong. What
// it does follows from the steps alone, so fast-check can repeat and shrink a failure.
import fc from "fast-check";

const KINDS = [
  "flip a bit",
  "set a byte",
  "cut off",
  "take out",
  "repeat",
  "insert",
  "insert a word",
  "overwrite with a word",
  "lie about a length",
  "change a digit",
  "splice",
] as const;

export interface Step {
  readonly kind: (typeof KINDS)[number];
  /** Where: a fraction of the length, in 2^-32. */
  readonly at: number;
  readonly value: number;
  readonly size: number;
}

export interface Material {
  /** Valid inputs. */
  readonly seeds: readonly Uint8Array[];
  /** Words of the format (test/fuzz/<target>.dict). */
  readonly words: readonly Uint8Array[];
}

/** Inputs do not grow past this. */
const LARGEST = 256 * 1024;
const U32 = 0xffff_ffff;
/** Numbers at which programs go wrong, as 64 bits. */
const EDGES = [0n, 1n, 23n, 24n, 127n, 128n, 255n, 256n, 511n, 65535n, 65536n, (1n << 31n) - 1n, 1n << 31n]
  .concat([(1n << 32n) - 1n, 1n << 32n, (1n << 53n) - 1n, 1n << 53n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n])
  .concat([(1n << 64n) - 512n, (1n << 64n) - 4096n]);
const WIDTHS = [1, 2, 3, 4, 8] as const;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS),
  at: fc.nat(U32),
  value: fc.nat(U32),
  size: fc.nat(0xffff),
});

/** Changed seeds, and now and then bytes without any sense. */
export function mutants(material: Material): fc.Arbitrary<Uint8Array> {
  const changed = fc
    .record({ seed: fc.nat(), steps: fc.array(step, { minLength: 1, maxLength: 6 }) })
    .map(({ seed, steps }) =>
      mutate(material, material.seeds[seed % material.seeds.length] ?? new Uint8Array(), steps),
    );
  return fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) });
}

export function mutate(material: Material, seed: Uint8Array, steps: readonly Step[]): Uint8Array {
  let bytes: Buffer = Buffer.from(seed);
  for (const each of steps) bytes = apply(material, bytes, each);
  return Uint8Array.from(bytes.subarray(0, LARGEST));
}

function apply({ seeds, words }: Material, bytes: Buffer, { kind, at, value, size }: Step): Buffer {
  const place = Math.floor((at / (U32 + 1)) * bytes.length);
  const length = 1 + (size % 64);
  const join = (from: number, middle: Uint8Array, to: number): Buffer =>
    Buffer.concat([bytes.subarray(0, from), middle, bytes.subarray(to)]);
  switch (kind) {
    case "flip a bit":
      return join(place, Buffer.of((bytes[place] ?? 0) ^ (1 << (value & 7))), place + 1);
    case "set a byte":
      return join(place, Buffer.of(value & 0xff), place + 1);
    case "cut off":
      return bytes.subarray(0, place);
    case "take out":
      return join(place, Buffer.alloc(0), place + length);
    case "repeat": {
      const times = 1 + (value % (value % 16 === 0 ? 512 : 3));
      const piece = bytes.subarray(place, place + length);
      return join(place, Buffer.concat(Array.from({ length: times }, () => piece)), place);
    }
    case "insert":
      return join(place, Buffer.from(String(value)).subarray(0, length), place);
    case "insert a word":
      return join(place, words[value % Math.max(1, words.length)] ?? Buffer.alloc(0), place);
    case "overwrite with a word": {
      const word = words[value % Math.max(1, words.length)] ?? Buffer.alloc(0);
      return join(place, word, place + word.length);
    }
    case "lie about a length":
      return lie(bytes, place, value, size);
    case "change a digit":
      return digit(bytes, place, value);
    case "splice": {
      const other = seeds[value % Math.max(1, seeds.length)] ?? Buffer.alloc(0);
      return join(place, other.subarray(size % (other.length + 1)), bytes.length);
    }
  }
}

/** An edge number in one of the usual widths and byte orders over what is there. */
function lie(bytes: Buffer, place: number, value: number, size: number): Buffer {
  const edge = EDGES[value % EDGES.length] ?? 0n;
  const width = WIDTHS[size % WIDTHS.length] ?? 1;
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(edge);
  const part = Buffer.from(number.subarray(8 - width));
  if (size & 0x100) part.reverse();
  return Buffer.concat([bytes.subarray(0, place), part, bytes.subarray(place + width)]);
}

/** The next run of digits from `place` becomes another number: formats of text have their lengths there. */
function digit(bytes: Buffer, place: number, value: number): Buffer {
  const text = bytes.toString("latin1");
  const found = /[0-9]+/.exec(text.slice(place, place + 4096));
  if (found === null) return bytes;
  const from = place + found.index;
  const number = EDGES[value % EDGES.length] ?? 0n;
  // Of equal length every other time, for formats with fields of fixed width.
  const digits =
    value & 0x100 ? String(number) : String(number).slice(0, found[0].length).padStart(found[0].length, "0");
  return Buffer.from(text.slice(0, from) + digits + text.slice(from + found[0].length), "latin1");
}
