// What a fuzz target is, and what has to hold for every input: a value that obeys the documented rules and is in
// proportion to the input, or one of our own errors, of a code that the decoder documents, in a sentence.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type fc from "fast-check";
import { type ErrorCode, isGantryError } from "../../src/sys/errors.js";
import type { Material } from "./mutate.js";

export interface Target {
  /** Also the folder of its corpus and, with ".dict", its dictionary. */
  readonly name: string;
  /** What it may refuse with; everything else that is thrown is a defect. */
  readonly codes: readonly ErrorCode[];
  /** Valid inputs, made by the encoders or by construction; the corpus on disk is these and what once went wrong. */
  readonly seeds: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Decodes, and throws a plain error when the value breaks a documented rule. */
  readonly run: (input: Uint8Array) => unknown;
  /** Valid by construction: comes back as it was. */
  readonly roundTrip?: fc.IAsyncProperty<[unknown]> | fc.IProperty<[unknown]>;
  /** Inputs of it take as long as this many of others; default 1. */
  readonly cost?: number;
  /** Bytes of the result for each byte of input; default 64. */
  readonly proportion?: number;
}

const FOLDER = fileURLToPath(new URL("../../../test/fuzz/", import.meta.url));

export const corpusFolder = (name: string): string => join(FOLDER, "corpus", name);

export async function materialOf(target: Target): Promise<Material> {
  const folder = corpusFolder(target.name);
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  return {
    seeds: [...(await target.seeds()), ...files.map((file) => Uint8Array.from(readFileSync(join(folder, file))))],
    words: dictionary(join(FOLDER, `${target.name}.dict`)),
  };
}

/** A dictionary in libFuzzer's form: name="text with \xNN", a line each. */
export function dictionary(path: string): Uint8Array[] {
  if (!existsSync(path)) return [];
  const words: Uint8Array[] = [];
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const quoted = /^[^#"]*"(.*)"\s*$/.exec(line)?.[1];
    if (quoted === undefined) continue;
    const text = quoted.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, what: string) =>
      what.length === 3 ? String.fromCharCode(Number.parseInt(what.slice(1), 16)) : what,
    );
    words.push(Buffer.from(text, "latin1"));
  }
  return words;
}

/** What came of one input: "taken" or the code of the refusal. Throws when a rule is broken. */
export async function outcomeOf(target: Target, input: Uint8Array): Promise<"taken" | ErrorCode> {
  const before = sha256(input);
  let leaked: PropertyKey[] = [];
  const outcome = await judged(target, input, before).finally(() => {
    leaked = Reflect.ownKeys(Object.prototype).filter((key) => !OWN_KEYS.has(key));
    for (const key of leaked) Reflect.deleteProperty(Object.prototype, key);
  });
  // What is put there is seen in every object of the program.
  if (leaked.length > 0) throw new Error(`${target.name} changed Object.prototype: ${leaked.map(String).join(", ")}`);
  return outcome;
}

const OWN_KEYS: ReadonlySet<PropertyKey> = new Set(Reflect.ownKeys(Object.prototype));

async function judged(target: Target, input: Uint8Array, before: string): Promise<"taken" | ErrorCode> {
  let value: unknown;
  try {
    value = await target.run(input);
  } catch (error) {
    if (!isGantryError(error)) throw new Error(`${target.name} threw what is no error of ours`, { cause: error });
    checkError(target, error.code, error.message);
    return error.code;
  }
  if (sha256(input) !== before) throw new Error(`${target.name} changed its input`);
  const [bytes, most] = [sizeOf(value), 4096 + (target.proportion ?? 64) * input.length];
  if (bytes > most) throw new Error(`${target.name} made ${bytes} bytes of ${input.length}; ${most} are in proportion`);
  return "taken";
}

function checkError(target: Target, code: ErrorCode, message: string): void {
  if (!target.codes.includes(code)) throw new Error(`${target.name} refused with ${code}, which it does not document`);
  if (message.length < 10 || message.length > 20_000) throw new Error(`${code} has no sensible message: ${message}`);
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64");

/** About what a value takes in memory. */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return 16 + value.length;
  if (typeof value === "bigint") return 24;
  if (ArrayBuffer.isView(value)) return 64 + value.byteLength;
  if (value instanceof Map) {
    let bytes = 64;
    for (const [key, inner] of value) bytes += sizeOf(key) + sizeOf(inner);
    return bytes;
  }
  if (Array.isArray(value)) return value.reduce<number>((bytes, inner) => bytes + 8 + sizeOf(inner), 16);
  if (typeof value !== "object" || value === null) return 8;
  return Object.values(value).reduce<number>((bytes, inner) => bytes + 8 + sizeOf(inner), 24);
}

/** For invariants in `run`. */
export function must(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new Error(`a documented rule is broken: ${rule}`);
}
