// Runs scripts of commands through debugfs(8) of e2fsprogs, and cuts its output into one piece for each
// command. Everything that comes from the file system (names, link texts, attribute names) may hold any
// byte, even what looks like another command's output; so each command ends in white space that nobody can
// guess, which debugfs echoes and ignores.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { GantryError } from "../../src/sys/errors.js";

const STDERR_KEPT = 16 * 1024;
/** Longest command line: debugfs reads lines into BUFSIZ bytes. */
const LINE_MAX = 8000;

export interface DebugfsOptions {
  /** Opens the image for writing. */
  readonly write?: boolean;
  /** What may stand on stderr without being an error. */
  readonly tolerate?: (line: string) => boolean;
}

/**
 * Runs the commands on an image and yields the output of each, as latin1 text (one character for each
 * byte), in order. Commands must not hold line feeds. Throws AGENT_TOOL when debugfs is missing, ends early
 * or says anything on stderr.
 */
export async function* debugfs(
  image: string,
  commands: readonly string[],
  options: DebugfsOptions = {},
): AsyncGenerator<string, void, undefined> {
  const nonce = whiteSpaceNonce();
  for (const command of commands) checkLine(command);
  const child = spawn("debugfs", [...(options.write ? ["-w"] : []), "-f", "-", image], {
    env: { ...process.env, LC_ALL: "C", PAGER: "__none__", DEBUGFS_PAGER: "__none__" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("latin1").on("data", (text: string) => {
    if (stderr.length < STDERR_KEPT) stderr += text;
  });
  const closed = once(child, "close") as Promise<[number | null]>;
  closed.catch(() => undefined);
  // EPIPE is seen as "ended early" below.
  const fed = pipeline(lines(commands, nonce), child.stdin).catch(() => undefined);
  let pieces = 0;
  try {
    child.stdout.setEncoding("latin1");
    for await (const piece of cut(child.stdout, commands, nonce)) {
      pieces++;
      yield piece;
    }
    await fed;
    const [code] = await closed;
    judge(image, code, stderr, pieces, commands, options);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
      throw new GantryError("AGENT_TOOL", "debugfs cannot be run; install the package e2fsprogs.", { cause });
    }
    throw cause;
  } finally {
    child.kill();
  }
}

/** Runs commands whose output does not matter. */
export async function debugfsRun(image: string, commands: readonly string[], options: DebugfsOptions = {}) {
  for await (const _ of debugfs(image, commands, options));
}

/**
 * Runs one command given as an argument, which may hold line feeds (in names), and returns its output.
 * Throws AGENT_TOOL as debugfs() does.
 */
export async function debugfsOne(image: string, command: string, options: DebugfsOptions = {}): Promise<string> {
  const child = spawn("debugfs", [...(options.write ? ["-w"] : []), "-R", command, image], {
    env: { ...process.env, LC_ALL: "C", PAGER: "__none__", DEBUGFS_PAGER: "__none__" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("latin1").on("data", (text: string) => (stderr += text));
  let code: number | null;
  try {
    [code] = (await once(child, "close")) as [number | null];
  } catch (cause) {
    throw new GantryError("AGENT_TOOL", "debugfs cannot be run; install the package e2fsprogs.", { cause });
  }
  judge(image, code, stderr, 1, [command], options);
  return stdout;
}

/** Text as one argument of a command: in quotes, quotes doubled (ss_parse of e2fsprogs). Bytes as latin1. */
export function quoted(text: string): string {
  return `"${Buffer.from(text, "utf8").toString("latin1").replaceAll('"', '""')}"`;
}

function checkLine(command: string): void {
  if (command.includes("\n") || command.includes("\0") || command.length > LINE_MAX) {
    throw new GantryError("AGENT_NAME", "A name with a line feed or of this length cannot be given to debugfs.");
  }
}

function whiteSpaceNonce(): string {
  let text = "";
  for (const byte of randomBytes(8)) for (let bit = 0; bit < 8; bit++) text += (byte >> bit) & 1 ? "\t" : " ";
  return text;
}

function* lines(commands: readonly string[], nonce: string): Generator<Buffer> {
  for (let i = 0; i < commands.length; i += 1000) {
    const part = commands.slice(i, i + 1000).map((command) => `${command}${nonce}\n`);
    yield Buffer.from(part.join(""), "latin1");
  }
}

/** Cuts the output at the echoes of the commands. */
async function* cut(output: AsyncIterable<string>, commands: readonly string[], nonce: string): AsyncGenerator<string> {
  const marker = (i: number): string => `debugfs: ${commands[i]}${nonce}\n`;
  let next = 0; // command whose echo is awaited
  let text = "";
  let searched = 0;
  for await (const more of output) {
    text += more;
    while (next < commands.length) {
      const echo = marker(next);
      const at = text.indexOf(echo, searched);
      if (at < 0) {
        searched = Math.max(0, text.length - echo.length);
        break;
      }
      if (next > 0) yield text.slice(0, at);
      text = text.slice(at + echo.length);
      searched = 0;
      next++;
    }
  }
  if (next > 0) yield text;
}

function judge(
  image: string,
  code: number | null,
  stderr: string,
  pieces: number,
  commands: readonly string[],
  { tolerate }: DebugfsOptions,
): void {
  const said = stderr
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^debugfs \d[\w.-]* \(/.test(line) && tolerate?.(line) !== true);
  if (code === 0 && said.length === 0 && pieces === commands.length) return;
  const first = said[0] ?? (code === 0 ? "it ended early" : `it ended with code ${code}`);
  throw new GantryError("AGENT_TOOL", `debugfs reports a problem with ${image}: ${first}`, {
    details: { output: said.slice(0, 20).join("\n"), code },
  });
}
