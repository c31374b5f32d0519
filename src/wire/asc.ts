// Additional sense codes in words (SPC-4 4.5.2.1 and annex; assignments kept by T10).
import { ASC_TABLE } from "./asc-table.js";

const TEXTS: ReadonlyMap<number, string> = new Map(
  ASC_TABLE.trim()
    .split("\n")
    .map((line): [number, string] => [Number.parseInt(line.slice(0, 4), 16), line.slice(5)]),
);

/** What ASC and ASCQ mean, in lower case as T10 words it; never empty. Both 0–255. */
export function ascText(asc: number, ascq: number): string {
  const known = TEXTS.get((asc << 8) | ascq);
  if (known !== undefined) return known;
  // Assignments whose qualifier is a number of its own.
  if (asc === 0x40 && ascq >= 0x80) return `diagnostic failure on component ${hex(ascq)}`;
  if (asc === 0x4d) return `tagged overlapped commands, task tag ${hex(ascq)}`;
  if (asc === 0x70) return `decompression exception, short algorithm id of ${hex(ascq)}`;
  if (asc >= 0x80) return "vendor specific";
  const general = TEXTS.get(asc << 8);
  const kind = ascq >= 0x80 ? "vendor specific qualifier" : "unknown qualifier";
  return general === undefined ? "unknown additional sense code" : `${general}, ${kind}`;
}

/** "11h/00h" */
export const ascCode = (asc: number, ascq: number): string => `${hex(asc)}/${hex(ascq)}`;

/** "0Bh" */
export const hex = (byte: number): string => `${byte.toString(16).toUpperCase().padStart(2, "0")}h`;
