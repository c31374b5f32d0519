// Restores by plain tar from cartridge files, as tar gets them from the kernel's tape driver.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { tapeData } from "../../tools/demo/cartridge.js";
import { toolEnv } from "./server-files.js";

/** `tar -x` of one cartridge's first file into a new folder; rejects when tar complains. */
export async function untar(cartridge: string, to: string): Promise<void> {
  mkdirSync(to);
  await tar(["-x", "-p", "-f", "-", "-C", to], tapeData(cartridge));
}

/** `tar -M -x` of an archive that goes over several cartridges. */
export async function untarVolumes(cartridges: readonly string[], to: string): Promise<void> {
  mkdirSync(to);
  const files: string[] = [];
  for (const [index, cartridge] of cartridges.entries()) {
    const file = join(to, `..`, `volume-${index}`);
    await pipeline(tapeData(cartridge), createWriteStream(file));
    files.push(file);
  }
  await tar(["-x", "-p", "-M", "-C", to, ...files.flatMap((file) => ["-f", file])]);
  for (const file of files) writeFileSync(file, "");
}

/** What tar says about an archive, one line for each member. */
export async function tarList(cartridge: string): Promise<readonly string[]> {
  const text = await tar(["-t", "-f", "-"], tapeData(cartridge));
  return text.split("\n").filter((line) => line !== "");
}

async function tar(args: readonly string[], input?: NodeJS.ReadableStream): Promise<string> {
  const child = spawn("tar", args, { env: toolEnv(), stdio: ["pipe", "pipe", "pipe"] });
  let out = "";
  let complaints = "";
  child.stdout.on("data", (data) => (out += String(data)));
  child.stderr.on("data", (data) => (complaints += String(data)));
  const ended = once(child, "close") as Promise<[number | null]>;
  if (input === undefined) child.stdin.end();
  else await pipeline(input, child.stdin);
  const [code] = await ended;
  if (code !== 0 || complaints !== "") throw new Error(`tar ended with ${code}: ${complaints}`);
  return out;
}
