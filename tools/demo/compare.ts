// Compares two folders file by file: names, kinds, sizes, modes, times, link targets, and every byte.
import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export interface Comparison {
  readonly files: number;
  readonly differences: readonly string[];
}

/** @param ignore top-level names of the copy that the original does not have. */
export async function compareFolders(
  original: string,
  copy: string,
  ignore: readonly string[] = [],
): Promise<Comparison> {
  const names = readdirSync(original, { recursive: true, encoding: "utf8" }).sort();
  const copied = readdirSync(copy, { recursive: true, encoding: "utf8" }).filter(
    (name) => !ignore.includes(name.split("/")[0] ?? ""),
  );
  const differences = copied.filter((name) => !names.includes(name)).map((name) => `${name} was not there before`);
  const known = new Set(copied);
  let files = 0;
  for (const name of names) {
    if (!known.has(name)) {
      differences.push(`${name} is missing`);
      continue;
    }
    const difference = await compareOne(join(original, name), join(copy, name));
    if (difference !== undefined) differences.push(`${name}: ${difference}`);
    if (lstatSync(join(original, name)).isFile()) files++;
  }
  return { files, differences };
}

async function compareOne(original: string, copy: string): Promise<string | undefined> {
  const [a, b] = [lstatSync(original), lstatSync(copy)];
  if ((a.mode & 0o170000) !== (b.mode & 0o170000)) return "is of another kind";
  if (a.isSymbolicLink()) return readlinkSync(original) === readlinkSync(copy) ? undefined : "points elsewhere";
  if ((a.mode & 0o7777) !== (b.mode & 0o7777))
    return `mode ${(b.mode & 0o7777).toString(8)} instead of ${(a.mode & 0o7777).toString(8)}`;
  if (!a.isFile()) return undefined;
  if (a.size !== b.size) return `${b.size} bytes instead of ${a.size}`;
  if (Math.floor(a.mtimeMs / 1000) !== Math.floor(b.mtimeMs / 1000)) return "has another time";
  return (await sha256(original)) === (await sha256(copy)) ? undefined : "has other bytes";
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
