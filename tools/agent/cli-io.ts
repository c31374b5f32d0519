// How the program speaks: one result on stdout (a sentence, or JSON with --json), progress and errors on
// stderr, and an exit code that scripts can tell apart.
import { readFile } from "node:fs/promises";
import * as v from "valibot";
import type { ListChunk } from "../../src/list.js";
import { GantryError, isGantryError, messageOf } from "../../src/sys/errors.js";
import type { ListSource } from "./list-source.js";
import type { RestoreMember } from "./restore-map.js";

export const EXIT = { done: 0, failed: 1, usage: 2, refused: 3, state: 4 } as const;

/** JSON with 64-bit numbers as numbers where they are safe, otherwise as decimal text; bytes as hexadecimal. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === "bigint") return Number.isSafeInteger(Number(item)) ? Number(item) : String(item);
    if (ArrayBuffer.isView(item)) return Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString("hex");
    return item;
  });
}

/** Prints the result: an object as JSON, or its sentence. */
export function printResult(json: boolean, result: Readonly<Record<string, unknown>>, sentence: string): void {
  process.stdout.write(`${json ? jsonText(result) : sentence}\n`);
}

/** Prints an error and returns the exit code. */
export function printError(json: boolean, error: unknown): number {
  const code = isGantryError(error) ? error.code : "INTERNAL";
  if (json) {
    const details = isGantryError(error) ? error.details : {};
    process.stdout.write(`${jsonText({ error: { code, message: messageOf(error), details } })}\n`);
  }
  process.stderr.write(`gantry-agent: ${code}: ${messageOf(error)}\n`);
  if (!isGantryError(error)) return EXIT.failed;
  const { output } = error.details;
  if (typeof output === "string") process.stderr.write(`${output}\n`);
  if (error.kind === "input" || error.kind === "refused") return EXIT.refused;
  return error.kind === "state" ? EXIT.state : EXIT.failed;
}

const PROGRESS_MS = 1000;

/** The source, telling stderr at most once a second how far it is. */
export function withProgress<T extends ListSource>(source: T): T {
  async function* watched(): AsyncGenerator<ListChunk> {
    let last = Date.now();
    for await (const chunk of source.chunks) {
      yield chunk;
      if (Date.now() - last < PROGRESS_MS) continue;
      last = Date.now();
      const { members, extents, bytes } = source.totals;
      process.stderr.write(`${members} members, ${extents} extents, ${bytes} bytes\n`);
    }
  }
  return { ...source, chunks: watched() };
}

const big = v.pipe(
  v.union([v.pipe(v.number(), v.safeInteger()), v.pipe(v.string(), v.regex(/^-?\d{1,19}$/))]),
  v.transform((value) => BigInt(value)),
);
const small = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const memberSchema = v.object({
  name: v.string(),
  type: v.picklist(["file", "directory", "symlink", "hardlink"]),
  size: v.optional(big, 0),
  mode: v.pipe(small, v.maxValue(0o7777)),
  uid: small,
  gid: small,
  mtimeNs: v.optional(big, 0),
  linkName: v.exactOptional(v.string()),
  ranges: v.optional(
    v.array(
      v.pipe(
        v.tuple([big, big]),
        v.transform(([offset, length]) => ({ offset, length })),
      ),
    ),
    [],
  ),
});

/** Members to restore from a file of JSON lines. Throws AGENT_LIST_FILE with the line. */
export async function readMembers(path: string): Promise<RestoreMember[]> {
  const wrong = (line: number, why: string, cause?: unknown): GantryError =>
    new GantryError("AGENT_LIST_FILE", `${path}, line ${line}: ${why}.`, { cause });
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new GantryError("AGENT_LIST_FILE", `${path} cannot be read: ${messageOf(cause)}.`, { cause });
  });
  const members: RestoreMember[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      throw wrong(i + 1, "it is no JSON", cause);
    }
    const result = v.safeParse(memberSchema, value);
    if (!result.success)
      throw wrong(i + 1, `${v.getDotPath(result.issues[0]) ?? "the member"}: ${result.issues[0].message}`);
    members.push(result.output);
  }
  return members;
}
