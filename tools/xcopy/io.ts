// How the program speaks and what it needs of the machine; tests put something else in its place.
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { native } from "../../src/native/index.js";
import { GantryError, isGantryError, messageOf } from "../../src/sys/errors.js";
import { jsonText } from "../agent/cli-io.js";
import type { DataSource } from "./data-words.js";
import { input, type OpenUnit, Session, splitWords, targetOf, type UnitFlags } from "./unit.js";
import { pointed } from "./words.js";

/** 0 done; 1 refused, aborted or failed; 2 wrong use; 3 the logical unit cannot be asked. */
export const EXIT = { done: 0, failed: 1, usage: 2, away: 3 } as const;

export interface Io extends DataSource {
  readonly open: OpenUnit;
  out(text: string): void;
  err(text: string): void;
  /** "-" is standard input. */
  readonly readFile: (path: string) => Uint8Array;
  writeFile(path: string, bytes: Uint8Array): void;
  sleep(ms: number): Promise<void>;
  /** Whether somebody looks at standard error. */
  readonly terminal: boolean;
  /** Calls for each interrupt, until what is returned is called. */
  onInterrupt(handler: () => void): () => void;
}

export const processIo: Io = {
  open: (target) => native.openLu(target),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  readFile: (path) => new Uint8Array(readFileSync(path === "-" ? 0 : path)),
  writeFile(path, bytes) {
    writeFileSync(path, bytes);
  },
  sleep: (ms) => after(ms),
  terminal: process.stderr.isTTY === true,
  onInterrupt(handler) {
    process.on("SIGINT", handler);
    return () => void process.off("SIGINT", handler);
  },
};

export interface CommonFlags extends UnitFlags {
  readonly json?: boolean;
}

/** An object as JSON, or its text. */
export function print(io: Io, json: boolean | undefined, value: unknown, text: () => string): void {
  io.out(`${json === true ? jsonText(value) : text()}\n`);
}

/** Says what went wrong. @returns the exit code */
export function printError(io: Io, json: boolean, error: unknown): number {
  const code = isGantryError(error) ? error.code : "INTERNAL";
  if (json) {
    const details = isGantryError(error) ? error.details : {};
    io.out(`${jsonText({ error: { code, message: messageOf(error), details } })}\n`);
  } else {
    const place = pointed(error);
    // The code stands behind the first line; what explains it follows.
    const [first, ...more] = [...messageOf(error).split("\n"), ...(place === undefined ? [] : [place])];
    io.err(`${[`gantry-xcopy: ${first} (${code})`, ...more].join("\n")}\n`);
  }
  if (!isGantryError(error)) return EXIT.failed;
  if (error.kind === "input") return EXIT.usage;
  return code === "XCOPY_UNANSWERED" || code.startsWith("NATIVE_") ? EXIT.away : EXIT.failed;
}

/** Options of every command that goes to a logical unit. */
export function unitOptions(command: Command): Command {
  return command
    .option("--portal <host:port>", "iSCSI portal, in place of a URL")
    .option("--target <name>", "iSCSI target, in place of a URL")
    .option("--lun <n>", "logical unit of it (default: 0)", wholeNumber(0, 16_383))
    .addOption(new Option("--initiator <name>", "iSCSI name of this server").env("GANTRY_XCOPY_INITIATOR"))
    .option("--chap-user <name>", "CHAP name of this server")
    .option("--chap-secret-file <file>", "file whose first line is its CHAP secret")
    .option("--target-chap-user <name>", "CHAP name that the target has to prove")
    .option("--target-chap-secret-file <file>", "file whose first line is that CHAP secret")
    .option("--header-digest", "CRC32C of headers")
    .option("--json", "print one JSON object");
}

export function wholeNumber(least: number, most: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^(\d+|0x[0-9a-f]+)$/i.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** The bytes of a file. @throws GantryError XCOPY_INPUT */
export function fileBytes(io: Io, path: string): Uint8Array {
  try {
    return io.readFile(path);
  } catch (error) {
    throw new GantryError("XCOPY_INPUT", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

const firstLine = (io: Io) => (path: string) =>
  Buffer.from(fileBytes(io, path)).toString("utf8").split(/\r?\n/, 1)[0] ?? "";

/** Opens the unit that the words begin with, lets `use` work, and closes it whatever happens. */
export async function withUnit<T>(
  io: Io,
  words: readonly string[],
  flags: UnitFlags,
  use: (session: Session, rest: readonly string[]) => Promise<T>,
): Promise<T> {
  const { unit, rest } = splitWords(words, flags);
  return await withSession(io, targetOf(unit, flags, firstLine(io)), (session) => use(session, rest));
}

export async function withSession<T>(
  io: Io,
  target: Parameters<OpenUnit>[0],
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await Session.open(io.open, target, (ms) => io.sleep(ms));
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

export const unitTarget = (io: Io, unit: string | undefined, flags: UnitFlags) => targetOf(unit, flags, firstLine(io));

/** The one word that a command wants behind the unit. */
export function oneWord(rest: readonly string[], what: string): string {
  const [word, ...more] = rest;
  if (word !== undefined && more.length === 0) return word;
  throw input(word === undefined ? `Say which: ${what}.` : `"${more[0]}" is not expected: give ${what} alone.`);
}
