// Bytes for people: offset, sixteen bytes, and what of them is text.
import { toHex } from "../../src/wire/hex.js";

const ROW = 16;

export function hexDump(bytes: Uint8Array): string {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += ROW) {
    const row = bytes.subarray(at, at + ROW);
    const hex = toHex(row).replace(/..(?=.)/g, "$& ");
    const text = Buffer.from(row)
      .toString("latin1")
      .replace(/[^ -~]/g, ".");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(3 * ROW - 1)}  ${text}`);
  }
  return rows.join("\n");
}
