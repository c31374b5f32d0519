// Rows and facts as text for people, for whatever program shows them.
import { byteSize } from "./units.js";

export type Row = Readonly<Record<string, unknown>>;

/** What a list of keys shows of each. */
export const KEY_COLUMNS: readonly string[] = ["keyId", "holder", "devices", "rights", "expiresMs"];

/** The rows with these columns only, in this order; undefined: all that they have. */
export function pick(columns: readonly string[] | undefined, rows: readonly Row[]): readonly Row[] {
  if (columns === undefined) return rows;
  return rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
}

/** Rows under their column names, as wide as the widest value. */
export function table(rows: readonly Row[]): string {
  if (rows.length === 0) return "none";
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => value(column, row[column])));
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(columns), ...cells.map(line)].join("\n");
}

/** "name  value" for each; things within things are indented below their name. */
export function facts(row: Row, indent = ""): string {
  // Of those whose value stands beside them.
  const width = Math.max(0, ...Object.entries(row).map(([name, inner]) => (isBelow(inner) ? 0 : name.length)));
  return Object.entries(row)
    .map(([name, inner]) => {
      if (Array.isArray(inner) && inner.length > 0 && typeof inner[0] === "object")
        return `${indent}${name}:\n${indented(table(inner as Row[]), `${indent}  `)}`;
      if (typeof inner === "object" && inner !== null && !Array.isArray(inner)) {
        const below = Object.keys(inner).length === 0 ? `${indent}  none` : facts(inner as Row, `${indent}  `);
        return `${indent}${name}:\n${below}`;
      }
      return `${indent}${name.padEnd(width)}  ${value(name, inner)}`.trimEnd();
    })
    .join("\n");
}

const isBelow = (inner: unknown): boolean =>
  typeof inner === "object" && inner !== null && (!Array.isArray(inner) || typeof inner[0] === "object");

const indented = (text: string, indent: string): string => text.replace(/^/gm, indent);

/** Times are shown as times, byte counts with their unit. */
function value(name: string, inner: unknown): string {
  if (inner === undefined || inner === null) return "";
  if (Array.isArray(inner)) return inner.length === 0 ? "none" : inner.map(short).join(",");
  if (name === "bytesPerS") return `${byteSize(Number(inner))}/s`;
  if (/^(bytes|.*Bytes$|bytes(Done|Total))/.test(name) && /^\d+$/.test(String(inner))) return byteSize(Number(inner));
  if (/(submitted|started|ended|expires|notBefore)Ms$|^(since|first|last|until)Ms$|SinceMs$/.test(name))
    return new Date(Number(inner)).toISOString().replace(/\.\d+Z$/, "Z");
  return String(inner);
}

/** A LUN of a session in a list of them; what went over it is in --json. */
function short(inner: unknown): string {
  const { lun, device } = (typeof inner === "object" && inner !== null ? inner : {}) as Row;
  return lun === undefined ? String(inner) : `${String(lun)}:${String(device)}`;
}
