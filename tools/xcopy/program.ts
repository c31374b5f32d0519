// The commands of gantry-xcopy, and `explain`, which needs no device.
import { existsSync } from "node:fs";
import { Command } from "commander";
import { isGantryError } from "../../src/sys/errors.js";
import { VERSION } from "../../src/sys/version.js";
import { parseHexText } from "../../src/wire/hex.js";
import { addCopyCommand } from "./copy-command.js";
import { explain, KINDS, kindNames } from "./explain.js";
import { fileBytes, type Io, print } from "./io.js";
import type { CopyPlan } from "./plan.js";
import { planOf } from "./plan.js";
import { addQueryCommands } from "./query-commands.js";
import { addTokenCommands } from "./token-commands.js";
import { input } from "./unit.js";

interface ExplainFlags {
  readonly as?: string;
  readonly list?: string;
  readonly json?: boolean;
}

export function xcopyProgram(io: Io): Command {
  const program = new Command("gantry-xcopy")
    .description("Third-party copies: EXTENDED COPY and the commands around it, in words. Reference: XCOPY.md.")
    .version(VERSION)
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .exitOverride();
  addCopyCommand(program, io);
  addQueryCommands(program, io);
  addTokenCommands(program, io);
  program
    .command("explain <hex|file>")
    .description("a parameter list, sense data, a token, a page or an answer in words; - is standard input")
    .option("--as <kind>", `what it is: ${kindNames()}`)
    .option("--list <hex|file>", "the parameter list that sense data are about")
    .option("--json", "print one JSON object")
    .action((what: string, flags: ExplainFlags) => {
      const plan = flags.list === undefined ? undefined : listOf(bytesOf(io, flags.list));
      const { kind, text, json } = explain(bytesOf(io, what), flags.as, plan);
      print(io, flags.json, { kind, value: json }, () => text);
    });
  return program;
}

/** Hexadecimal text, or a file of that or of the bytes themselves. */
function bytesOf(io: Io, what: string): Uint8Array {
  const inline = hexOf(what);
  if (inline !== undefined && !existsSync(what)) return inline;
  const bytes = fileBytes(io, what);
  return hexOf(Buffer.from(bytes).toString("latin1")) ?? bytes;
}

function hexOf(text: string): Uint8Array | undefined {
  try {
    const bytes = parseHexText(text);
    return bytes.length === 0 ? undefined : bytes;
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return undefined;
  }
}

function listOf(bytes: Uint8Array): CopyPlan {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (KINDS.lid4?.fits(bytes, view) === true) return planOf(bytes, "LID4");
  if (KINDS.lid1?.fits(bytes, view) === true) return planOf(bytes, "LID1");
  throw input("--list is no parameter list of EXTENDED COPY.");
}
