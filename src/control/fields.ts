// Readers of message fields: valibot schemas that take what CBOR gives (numbers, bigints, byte strings) and
// hand on what the types ask for, range checked. Their messages are the second half of a sentence:
// "job.submit: `priority` " + "must be a whole number from 0 to 255" + ", got 300".
import * as v from "valibot";
import { GantryError } from "../sys/errors.js";

export const UINT64_MAX = (1n << 64n) - 1n;
export const INT64_MAX = (1n << 63n) - 1n;

const NAME = /^[A-Za-z0-9._:-]{1,64}$/;

/** A whole number that fits a JavaScript number. Takes integers of any CBOR width, and floats without a fraction. */
export function whole(min: number, max: number) {
  const fits = (value: unknown): boolean => {
    const n = typeof value === "bigint" ? Number(value) : value;
    return typeof n === "number" && Number.isSafeInteger(n) && n >= min && n <= max;
  };
  return v.pipe(
    v.unknown(),
    v.check(fits, min === max ? `must be ${min}` : `must be a whole number from ${min} to ${max}`),
    v.transform(Number),
  );
}

/** A 64-bit whole number, always handed on as a bigint. */
export function big(min: bigint, max: bigint) {
  const fits = (value: unknown): boolean =>
    (typeof value === "bigint" || Number.isSafeInteger(value)) &&
    BigInt(value as bigint | number) >= min &&
    BigInt(value as bigint | number) <= max;
  return v.pipe(
    v.unknown(),
    v.check(fits, `must be a whole number from ${min} to ${max}`),
    v.transform((value): bigint => BigInt(value as bigint | number)),
  );
}

export const uint64 = big(0n, UINT64_MAX);

/** Milliseconds since 1970-01-01T00:00:00Z. */
export const timeMs = whole(0, Number.MAX_SAFE_INTEGER);

/** A byte string of min to max bytes. */
export function bytes(min: number, max: number) {
  const words =
    min === max ? `must be a byte string of ${min} bytes` : `must be a byte string of ${min} to ${max} bytes`;
  return v.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length >= min && value.length <= max,
    words,
  );
}

/** Text of at most max UTF-8 bytes. */
export function text(max: number, min = 0) {
  const words = min === 0 ? `must be text of at most ${max} bytes` : `must be text of ${min} to ${max} bytes`;
  return v.custom<string>((value) => {
    if (typeof value !== "string") return false;
    const length = Buffer.byteLength(value);
    return length >= min && length <= max;
  }, words);
}

/** Ids and names that stand in topics and keys of the store. */
export const name = v.custom<string>(
  (value) => typeof value === "string" && NAME.test(value),
  "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -",
);

export function isName(value: unknown): value is string {
  return typeof value === "string" && NAME.test(value);
}

export const flag = v.boolean("must be true or false");

export function oneOf<const T extends readonly string[]>(values: T) {
  return v.picklist(values, `must be one of ${values.map((value) => `"${value}"`).join(", ")}`);
}

/** A list of at most max items. */
export function list<T extends v.GenericSchema>(item: T, max: number, min = 0) {
  const words = min === 0 ? `must be an array of at most ${max} items` : `must be an array of ${min} to ${max} items`;
  return v.pipe(v.array(item, words), v.minLength(min, words), v.maxLength(max, words), v.readonly());
}

/** A map; fields that are not named are ignored. */
export function map<const T extends v.ObjectEntries>(entries: T) {
  return v.object(entries);
}

/** Any map, kept as it is. */
export const anyMap = v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value),
  "must be a map",
);

/**
 * Reads a value with a schema. Throws MESSAGE_INVALID with a sentence about the first thing that is wrong;
 * `details.field` is its path.
 */
export function read<T extends v.GenericSchema>(what: string, schema: T, value: unknown): v.InferOutput<T> {
  const result = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "";
  throw new GantryError("MESSAGE_INVALID", `${what}: ${inWords(issue, field)}.`, { details: { field } });
}

function inWords(issue: v.BaseIssue<unknown>, field: string): string {
  const subject = field === "" ? "the message" : `\`${field}\``;
  if (issue.type === "object") return issue.input === undefined ? `${subject} is missing` : `${subject} must be a map`;
  // A rule about several fields names them itself; the value would be the whole map.
  if (issue.type === "raw_check") return `${subject} ${issue.message}`;
  return `${subject} ${issue.message}, got ${shown(issue.input)}`;
}

/** A wrong value in few words; never the whole of a large one. */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string")
    return value.length > 80 ? `${JSON.stringify(value.slice(0, 80))}…` : JSON.stringify(value);
  if (value instanceof Uint8Array) return `a byte string of ${value.length} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length} items`;
  if (typeof value === "object" && value !== null) return "a map";
  return String(value);
}
