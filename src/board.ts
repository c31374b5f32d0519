// The programs of the machine's image: what updates it and what starts it anew ([board] in the configuration). Run as they
// are, without a shell; what they print is shown.
import { execFile } from "node:child_process";
import { GantryError } from "./sys/errors.js";

/** An update writes a whole root file system, to a slow flash. */
const LONGEST_MS = 3_600_000;
const OUTPUT_MAX = 64 * 1024;
const SHOWN_MAX = 600;

/** What it printed. Throws BOARD_MISSING, BOARD_FAILED. */
export function runBoard(
  what: "update" | "reboot",
  program: readonly string[] | undefined,
  args: readonly string[],
): Promise<string> {
  const [file, ...before] = program ?? [];
  if (file === undefined)
    return Promise.reject(
      new GantryError(
        "BOARD_MISSING",
        `Nobody told what does that on this machine: \`board.${what}\` names a program.`,
      ),
    );
  return new Promise((resolve, reject) => {
    execFile(
      file,
      [...before, ...args],
      { timeout: LONGEST_MS, maxBuffer: OUTPUT_MAX, encoding: "utf8", env: { PATH: process.env.PATH, LC_ALL: "C" } },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trimEnd());
        else reject(failure(file, error, `${stdout}\n${stderr}`.trim()));
      },
    );
  });
}

function failure(file: string, error: Error & { code?: unknown }, output: string): GantryError {
  const how =
    typeof error.code === "number"
      ? `ended with exit code ${error.code}`
      : `cannot be run: ${String(error.code ?? error.message)}`;
  const said = output === "" ? "" : ` It said: ${output.slice(-SHOWN_MAX)}`;
  return new GantryError("BOARD_FAILED", `${file} ${how}.${said}`, { cause: error });
}
