// Data in a line: "text" with \" \\ \n, hex:00ff, @file, or data@OFFSET+BYTES, a part of the inline data.
import { fromHex, toHex } from "../../src/wire/hex.js";
import type { Words } from "./words.js";

export interface DataSource {
  /** @throws what reading throws */
  readonly readFile: (path: string) => Uint8Array;
}

export type DataWords = { readonly bytes: Uint8Array } | { readonly offset: number; readonly length: number };

const U32 = 0xffff_ffffn;
const QUOTED = /"(?:[^"\\]|\\["\\n])*"/y;

/** @param parts whether a part of the inline data may stand here */
export function takeData(words: Words, source: DataSource, parts: boolean): DataWords {
  const from = words.space().at;
  const quoted = words.take(QUOTED);
  if (quoted !== undefined) return { bytes: Uint8Array.from(Buffer.from(unquote(quoted), "utf8")) };
  if (words.take("hex:") !== undefined) {
    const digits = words.take(/[0-9a-fA-F]*(?!\S)/y) ?? "";
    if (digits.length % 2 === 0 && digits !== "") return { bytes: fromHex(digits) };
    throw words.wrongHere("an even number of hexadecimal digits");
  }
  if (parts && words.take("data@") !== undefined) {
    const offset = Number(words.size("an offset into the inline data", U32));
    words.expect("+", '"+" and a number of bytes');
    return { offset, length: Number(words.size("a number of bytes", U32)) };
  }
  if (words.take("@") !== undefined) return { bytes: takeFile(words, source, from) };
  throw words.wrongHere(`"text", hex:DIGITS${parts ? ", @FILE or data@OFFSET+BYTES" : " or @FILE"}`);
}

/** The name behind an "@". */
function takeFile(words: Words, source: DataSource, from: number): Uint8Array {
  const quoted = words.take(QUOTED);
  const path = quoted === undefined ? words.expect(/[^\s"]+/y, "the name of a file") : unquote(quoted);
  try {
    return source.readFile(path);
  } catch (error) {
    throw words.wrong(`the file cannot be read (${error instanceof Error ? error.message : ""})`, words.span(from));
  }
}

const unquote = (quoted: string): string =>
  quoted.slice(1, -1).replace(/\\(["\\n])/g, (_, letter: string) => (letter === "n" ? "\n" : letter));

/** The other way round: printable text as text, everything else as hex. */
export function dataText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("latin1");
  if (!/^[ -~\n]*$/.test(text)) return `hex:${toHex(bytes)}`;
  return `"${text.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n")}"`;
}
