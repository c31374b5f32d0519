// Text in the columns that there are. What does not fit is put below, never cut off: an id with its end missing is
// worth nothing in the next command.
import { type Row, table } from "../sys/text.js";

const INDENT = "    ";

/** A table; of rows that are too wide the columns that do not fit come as "name value" on lines below. */
export function fitTable(rows: readonly Row[], columns: number | undefined): string {
  const whole = table(rows);
  if (columns === undefined || rows.length === 0 || widest(whole) <= columns) return whole;
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  let fit = names.length - 1;
  const part = (from: number, to?: number): Row[] =>
    rows.map((row) => Object.fromEntries(names.slice(from, to).map((name) => [name, row[name]])));
  while (fit > 1 && widest(table(part(0, fit))) > columns) fit--;
  const [head = "", ...above] = table(part(0, fit)).split("\n");
  const below = part(fit).map((row) => said(row, columns));
  return [head, ...above.flatMap((line, index) => [line, ...(below[index] ?? [])])].join("\n");
}

function said(row: Row, columns: number): string[] {
  const facts = Object.keys(row).flatMap((name) => {
    const value = table([{ [name]: row[name] }])
      .split("\n")[1]
      ?.trim();
    return value === undefined || value === "" ? [] : [`${name} ${value}`];
  });
  const lines: string[] = [];
  for (const fact of facts) {
    const last = lines.at(-1);
    if (last !== undefined && INDENT.length + last.length + 2 + fact.length <= columns)
      lines[lines.length - 1] = `${last}, ${fact}`;
    else lines.push(fact);
  }
  return lines.map((line) => INDENT + line);
}

const widest = (text: string): number => Math.max(...text.split("\n").map(({ length }) => length));

/** Every line in so many columns, broken between words where there are some, with what follows indented. */
export function wrap(text: string, columns: number | undefined): string {
  if (columns === undefined) return text;
  return text
    .split("\n")
    .flatMap((line) => wrapLine(line, columns))
    .join("\n");
}

function wrapLine(line: string, columns: number): string[] {
  const lines: string[] = [];
  const indent = `${/^ */.exec(line)?.[0] ?? ""}${INDENT}`.slice(0, columns >> 1);
  for (let rest = line; ; ) {
    if (rest.length <= columns) return [...lines, rest];
    const space = rest.lastIndexOf(" ", columns);
    // Not within what indents it, and not so early that a line is wasted for it.
    const at = space > Math.max(indent.length, columns >> 1) ? space : columns;
    lines.push(rest.slice(0, at).trimEnd());
    rest = indent + rest.slice(at).trimStart();
  }
}
