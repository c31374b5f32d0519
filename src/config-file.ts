// The configuration file as something that is replaced: checked whole, the one before kept, on stable storage at every
// step, so that a power cut leaves the old one or the new one and never half of one.
import {
  closeSync,
  constants,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { waitForRestart } from "./settings.js";
import { type Config, parseConfig } from "./sys/config.js";
import { GantryError, messageOf } from "./sys/errors.js";

export interface ConfigChange {
  /** Keys that differ and wait for the next start. */
  readonly waiting: readonly string[];
  readonly devices: number;
}

export interface ConfigFileOptions {
  /** That the daemon was started with. */
  readonly path: string;
  readonly now: () => Config;
  /** Takes a configuration over; rejects when it does not, and then nothing has changed. */
  readonly reload: (config: Config) => Promise<readonly string[]>;
}

/** @throws GantryError CONFIG_* with every fault */
export function checkConfig({ now }: Pick<ConfigFileOptions, "now">, text: string, name: string): ConfigChange {
  const next = parseConfig(text, name);
  return { waiting: waitForRestart(now(), next), devices: next.device.length };
}

/** @throws GantryError CONFIG_*; then the file is as it was, and in force what was */
export async function applyConfig(options: ConfigFileOptions, text: string, name: string): Promise<ConfigChange> {
  const { reload, now } = options;
  const path = realpathSync(options.path);
  const before = now();
  const change = checkConfig(options, text, name);
  const next = parseConfig(text, name);
  const old = readFileSync(path);
  try {
    replace(`${path}.previous`, path, old);
    replace(path, path, Buffer.from(text));
  } catch (error) {
    throw notApplied(`${path} cannot be replaced: ${messageOf(error)}.`, error);
  }
  try {
    await reload(next);
    return change;
  } catch (error) {
    // In the same way as it came: a file that is written over is half of one when the power goes.
    replace(path, path, old);
    // What was taken over before the fault is put back; what cannot be is in the log.
    await reload(before).catch(() => undefined);
    throw notApplied(`It was not taken over: ${messageOf(error)}. ${path} is again what it was.`, error);
  }
}

/** Puts a file with the permissions of `like` in the place of whatever is there. */
function replace(path: string, like: string, bytes: Uint8Array): void {
  const { mode, uid, gid } = statSync(like);
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  // Nobody reads it before it has the old one's permissions.
  const fd = openSync(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode & 0o777);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    giveBack(fd, uid, gid);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  sync(dirname(path));
}

function giveBack(fd: number, uid: number, gid: number): void {
  try {
    fchownSync(fd, uid, gid);
  } catch {
    // Not ours to give: it stays the daemon's own.
  }
}

function sync(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const notApplied = (message: string, cause: unknown): GantryError =>
  new GantryError("CONFIG_NOT_APPLIED", message, { cause });
