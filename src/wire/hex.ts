// Bytes as text: lower-case hexadecimal without separators, and the vector files of test/vectors (ASCII
// hex with white space anywhere between bytes and "#" comments to the end of the line).
import { GantryError } from "../sys/errors.js";

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** @throws GantryError HEX_INVALID unless the text is an even number of hexadecimal digits and nothing else. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    throw new GantryError("HEX_INVALID", `"${shown}" is not hexadecimal: give two digits 0-9 a-f for each byte.`);
  }
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** The bytes of a vector file. @throws GantryError HEX_INVALID */
export function parseHexText(text: string): Uint8Array {
  return fromHex(text.replace(/#[^\n]*/g, "").replace(/\s+/g, ""));
}

/** For people: two digits a byte, spaces between, cut after `most` bytes. */
export function hexForPeople(bytes: Uint8Array, most = 32): string {
  const shown = toHex(bytes.subarray(0, most)).replace(/..(?=.)/g, "$& ");
  return bytes.length > most ? `${shown} … (${bytes.length} bytes)` : shown;
}
