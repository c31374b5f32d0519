#!/usr/bin/env node
// gantry-xcopy: third-party copies on the command line. XCOPY.md is its reference.
import { realpathSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { CommanderError } from "commander";
import { EXIT, type Io, printError, processIo } from "./io.js";
import { xcopyProgram } from "./program.js";

/** @returns the exit code */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    await xcopyProgram(io).parseAsync([...argv], { from: "user" });
    return EXIT.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    return printError(io, argv.includes("--json"), error);
  }
}

/** Not when a test imports it; npm starts programs by symbolic links. */
const [, started] = process.argv;
if (started !== undefined && import.meta.url === pathToFileURL(realpathSync(started)).href) {
  process.stdout.on("error", () => process.exit(EXIT.done));
  process.exitCode = await main(process.argv.slice(2), processIo);
}
