// Text as iSCSI negotiates with it (RFC 7143 6.1): key=value pairs ended by a NUL, and the forms of values. Nothing here
// knows what a key means. Every limit is checked before anything is kept.
import { GantryError } from "../../sys/errors.js";

export interface Pair {
  readonly key: string;
  readonly value: string;
}

/** Largest text of one negotiation step over all its PDUs. RFC 7143 6.2 wants 8192 at least; more than this is an attack. */
export const TEXT_BYTES_MAX = 65_536;
/** RFC 7143 6.1: a key has at most 63 characters of a standard-label, beginning with a letter: a capital one but for
 * iSCSIProtocolLevel (13.24); "#" stands in X#NodeArchitecture (13.26). */
const KEY = /^[A-Za-z][A-Za-z0-9.+@_#-]{0,62}$/;
const PAIRS_MAX = 1024;
/** Values are at most 255 bytes (RFC 7143 6.1) but for those that carry binary items of up to 1024 bytes in hexadecimal. */
const VALUE_BYTES_MAX = 255;
const LONG_VALUE_BYTES_MAX = 8192;
const LONG = new Set(["CHAP_C", "CHAP_R"]);

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function textInvalid(message: string): GantryError {
  return new GantryError("ISCSI_TEXT_INVALID", message);
}

/**
 * Pairs in their order; the same key twice is for the caller to judge.
 * @throws GantryError ISCSI_TEXT_INVALID
 */
export function parseText(bytes: Uint8Array): readonly Pair[] {
  if (bytes.length === 0) return [];
  if (bytes.length > TEXT_BYTES_MAX)
    throw textInvalid(`${bytes.length} bytes of text are more than ${TEXT_BYTES_MAX}.`);
  if (bytes.at(-1) !== 0) throw textInvalid("The last key=value pair is not ended by a NUL.");
  let text: string;
  try {
    text = utf8.decode(bytes.subarray(0, -1));
  } catch (cause) {
    throw new GantryError("ISCSI_TEXT_INVALID", "The text is not UTF-8.", { cause });
  }
  // Some initiators count padding into the data segment; NULs at the end are nothing.
  const items = text.replace(/\0+$/, "").split("\0");
  if (items.length === 1 && items[0] === "") return [];
  if (items.length > PAIRS_MAX) throw textInvalid(`${items.length} pairs at once are more than ${PAIRS_MAX}.`);
  return items.map(parsePair);
}

function parsePair(item: string): Pair {
  const at = item.indexOf("=");
  const key = at < 0 ? item : item.slice(0, at);
  if (at < 0 || !KEY.test(key)) throw textInvalid(`${shown(item)} is no key=value pair.`);
  const value = item.slice(at + 1);
  const most = LONG.has(key) ? LONG_VALUE_BYTES_MAX : VALUE_BYTES_MAX;
  if (Buffer.byteLength(value) > most) throw textInvalid(`The value of ${key} is longer than ${most} bytes.`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[\u0001-\u001f\u007f]/.test(value)) throw textInvalid(`The value of ${key} has control characters.`);
  return { key, value };
}

export function formatText(pairs: readonly Pair[]): Uint8Array {
  return Buffer.from(pairs.map(({ key, value }) => `${key}=${value}\0`).join(""));
}

/** Text in pieces of at most `most` bytes; at least one piece. Pairs may span PDUs (RFC 7143 6.2). */
export function pieces(text: Uint8Array, most: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < text.length; at += most) found.push(text.subarray(at, at + most));
  return found.length === 0 ? [text] : found;
}

/** Collects the text of several PDUs. */
export class TextGatherer {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  get empty(): boolean {
    return this.#parts.length === 0;
  }

  /** @throws GantryError ISCSI_TEXT_INVALID when it gets too much. */
  add(part: Uint8Array): void {
    this.#bytes += part.length;
    if (this.#bytes > TEXT_BYTES_MAX) throw textInvalid(`More than ${TEXT_BYTES_MAX} bytes of text in one step.`);
    this.#parts.push(Uint8Array.from(part));
  }

  take(): Uint8Array {
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }
}

/** Decimal, or hexadecimal after 0x (RFC 7143 6.1); undefined for anything else, and above 2^53-1, which no key allows. */
export function parseNumber(value: string): number | undefined {
  if (!/^(?:\d{1,20}|0[xX][0-9a-fA-F]{1,16})$/.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

export function parseBoolean(value: string): boolean | undefined {
  if (value === "Yes") return true;
  return value === "No" ? false : undefined;
}

export const formatBoolean = (value: boolean): string => (value ? "Yes" : "No");

/** List of values, in order of preference; undefined when one is empty. */
export function parseList(value: string): readonly string[] | undefined {
  const items = value.split(",");
  return items.some((item) => item === "") ? undefined : items;
}

/** Binary value: 0x and hexadecimal, or 0b and base64 (RFC 7143 6.1). Undefined: wrong, empty, or longer than `most` bytes. */
export function parseBinary(value: string, most: number): Uint8Array | undefined {
  const form = value.slice(0, 2).toLowerCase();
  const digits = value.slice(2);
  const bytes = form === "0x" ? fromHex(digits) : form === "0b" ? fromBase64(digits) : undefined;
  return bytes === undefined || bytes.length === 0 || bytes.length > most ? undefined : bytes;
}

export function formatBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}

/** An odd number of digits has a leading zero that was left out. */
function fromHex(digits: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]+$/.test(digits)) return undefined;
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
}

/** Node passes over what is no base64; here it is refused, and so are bits that stand for nothing (RFC 4648 3.5). */
function fromBase64(digits: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(digits)) return undefined;
  const bytes = Buffer.from(digits, "base64");
  const again = bytes.toString("base64");
  return digits === again || digits === again.replace(/=+$/, "") ? bytes : undefined;
}

/** Something of a peer's text for a message: short, without control characters. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
