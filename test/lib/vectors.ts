// Reads the vector files of test/vectors: ASCII hexadecimal with "#" comments. Tests run from the root.
import { readFileSync } from "node:fs";
import { parseHexText } from "../../src/wire/hex.js";

export function vector(name: string): Uint8Array {
  return parseHexText(readFileSync(`test/vectors/${name}.hex`, "utf8"));
}
