// Lines that were typed, kept over sessions in a file of the user's own; where it cannot be written, in memory. No verb
// has a secret among its words.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

export const HISTORY_LINES = 500;

/** XDG Base Directory Specification: state that should last, but is of no value elsewhere. */
export function historyFile(env: NodeJS.ProcessEnv = process.env): string {
  const state = env.XDG_STATE_HOME;
  const folder = state?.startsWith("/") === true ? state : join(homedir(), ".local", "state");
  return join(folder, "gantry", "history");
}

/** The last line first, as readline wants it. */
export function readHistory(path: string): string[] {
  try {
    const lines = readFileSync(path, "utf8").split("\n");
    return lines
      .filter((line) => line !== "")
      .slice(-HISTORY_LINES)
      .reverse();
  } catch {
    return [];
  }
}

/** @param history the last line first */
export function writeHistory(path: string, history: readonly string[]): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${history.slice(0, HISTORY_LINES).reverse().join("\n")}\n`, { mode: 0o600 });
  } catch {
    // It is a comfort, not more.
  }
}
