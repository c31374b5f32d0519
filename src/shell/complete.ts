// What may come next on a line, from the table of verbs and the names that the daemon knows. For Tab in the interactive
// shell, and for bash.
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Completer, NameKind, Verb } from "./verb.js";
import { VERBS } from "./verb-table.js";

export type NamesOf = (kind: NameKind) => Promise<readonly string[]>;

/** Whole words that `last` can become. @param words those before it */
export async function completions(words: readonly string[], last: string, namesOf: NamesOf): Promise<string[]> {
  const found = await candidates(
    words.filter((word) => word !== "--json"),
    last,
    namesOf,
  );
  return [...new Set(found)].filter((word) => word.startsWith(last)).sort();
}

async function candidates(words: readonly string[], last: string, namesOf: NamesOf): Promise<readonly string[]> {
  const verb = VERBS.find(({ words: own }) => own.split(" ").every((word, index) => words[index] === word));
  if (verb !== undefined) return afterVerb(verb, words.slice(verb.words.split(" ").length), last, namesOf);
  const next = VERBS.map(({ words: own }) => own.split(" ")).filter((own) =>
    words.every((word, index) => own[index] === word),
  );
  return next.flatMap((own) => own[words.length] ?? []);
}

async function afterVerb(verb: Verb, given: readonly string[], last: string, namesOf: NamesOf) {
  const options = verb.options ?? [];
  const before = options.find(({ name }) => `--${name}` === given.at(-1));
  if (before?.value !== undefined) return offered(before.complete, last, namesOf);
  if (last.startsWith("-")) return [...options.map(({ name }) => `--${name}`), "--json"];
  let values = 0;
  given.forEach((word, index) => {
    const option = options.find(({ name }) => `--${name}` === given[index - 1]);
    if (!word.startsWith("--") && option?.value === undefined) values += 1;
  });
  return offered(verb.args?.[values]?.complete, last, namesOf);
}

async function offered(complete: Completer | undefined, last: string, namesOf: NamesOf): Promise<readonly string[]> {
  if (complete === undefined) return [];
  if (complete === "file") return files(last);
  return typeof complete === "string" ? namesOf(complete) : complete;
}

function files(last: string): string[] {
  const folder = last.endsWith("/") ? last : dirname(last);
  const part = last.endsWith("/") ? "" : basename(last);
  const before = last.includes("/") ? (folder.endsWith("/") ? folder : `${folder}/`) : "";
  try {
    return readdirSync(folder)
      .filter((name) => name.startsWith(part) && (part !== "" || !name.startsWith(".")))
      .map((name) => before + name + (isFolder(join(folder, name)) ? "/" : ""));
  } catch {
    return [];
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
