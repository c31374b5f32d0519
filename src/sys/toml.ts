// TOML with positions: the values of a file, and for each key path the line it stands on, so that every
// complaint about a configuration can name its line.
import { type AST, getStaticTOMLValue, parseTOML } from "toml-eslint-parser";
import { GantryError, messageOf } from "./errors.js";

export interface TomlDocument {
  readonly value: Readonly<Record<string, unknown>>;
  /** Line (from 1) of the nearest enclosing key or table of a path; 1 when there is none. */
  lineOf(path: readonly (string | number)[]): number;
}

/** Throws CONFIG_SYNTAX with the line when the text is no TOML. */
export function parseToml(text: string, fileName: string): TomlDocument {
  const lines = new Map<string, number>();
  let value: Record<string, unknown>;
  try {
    const ast = parseTOML(text);
    for (const node of ast.body[0].body) {
      if (node.type === "TOMLTable") {
        note(lines, node.resolvedKey, node.loc.start.line);
        for (const pair of node.body) noteKeyValue(lines, node.resolvedKey, pair);
      } else noteKeyValue(lines, [], node);
    }
    value = getStaticTOMLValue(ast) as Record<string, unknown>;
  } catch (error) {
    // A RangeError is a stack that ended: values inside values without end.
    const why = error instanceof RangeError ? "values are nested too deep" : messageOf(error);
    const line = lineNumberOf(error);
    throw new GantryError("CONFIG_SYNTAX", `${fileName}:${line}: ${why}`, {
      cause: error,
      details: { file: fileName, line },
    });
  }
  return {
    value,
    lineOf(path) {
      for (let length = path.length; length > 0; length--) {
        const line = lines.get(keyOf(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

type Path = readonly (string | number)[];

const keyOf = (path: Path): string => JSON.stringify(path);

/** What every object has. A parser that goes along such names would change all objects of the program. */
const NO_KEYS: ReadonlySet<unknown> = new Set(["__proto__", "constructor", "prototype"]);

class KeyError extends Error {
  constructor(
    readonly key: string,
    readonly lineNumber: number,
  ) {
    super(`\`${key}\` is no key that Gantry knows; remove it or mend its spelling`);
  }
}

function note(lines: Map<string, number>, path: Path, line: number): void {
  const wrong = path.find((name) => NO_KEYS.has(name));
  if (wrong !== undefined) throw new KeyError(String(wrong), line);
  if (!lines.has(keyOf(path))) lines.set(keyOf(path), line);
}

function noteKeyValue(lines: Map<string, number>, base: Path, pair: AST.TOMLKeyValue): void {
  const names = pair.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
  const path = [...base, ...names];
  note(lines, path, pair.loc.start.line);
  noteValue(lines, path, pair.value);
}

function noteValue(lines: Map<string, number>, path: Path, value: AST.TOMLContentNode): void {
  if (value.type === "TOMLInlineTable") for (const pair of value.body) noteKeyValue(lines, path, pair);
  if (value.type === "TOMLArray") {
    value.elements.forEach((element, index) => {
      note(lines, [...path, index], element.loc.start.line);
      noteValue(lines, [...path, index], element);
    });
  }
}

function lineNumberOf(error: unknown): number {
  const line = (error as { lineNumber?: unknown }).lineNumber;
  return typeof line === "number" ? line : 1;
}
