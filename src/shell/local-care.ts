// The client's part in the care of the machine: files are read and written here, with the right of who sits here.
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { BLOCK, ustarBlock } from "../copy/archive/ustar.js";
import { messageOf } from "../sys/errors.js";
import { byteSize } from "../sys/units.js";
import { EXIT, ShellError } from "./ask.js";
import { answer, type Client } from "./client.js";
import type { BundleFile } from "./handlers-care.js";
import type { Check } from "./self-test.js";
import type { Verb } from "./verb.js";

type Options = Readonly<Record<string, string>>;

const CONFIG_MAX = 1 << 20;

/** Exit code 1 when something failed. */
export async function runSelfTest(client: Client, { words }: Verb): Promise<number> {
  const checks = (await client.asker.ask(words, [], {}, client.signal)) as readonly Check[];
  await answer(client, words, checks);
  return checks.some(({ result }) => result === "FAIL") ? EXIT.REFUSED : 0;
}

/** config check, config apply: the daemon gets the text. */
export async function withFile(client: Client, { words }: Verb, [file = ""]: readonly string[]): Promise<number> {
  const path = resolve(file);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ShellError(EXIT.REFUSED, "CONFIG_UNREADABLE", `${path} cannot be read: ${messageOf(error)}.`);
  }
  if (text.length > CONFIG_MAX)
    throw new ShellError(EXIT.REFUSED, "CONFIG_UNREADABLE", `${path} is longer than a configuration can be.`);
  await answer(client, words, await client.asker.ask(words, [path, text], {}, client.signal));
  return 0;
}

/** The daemon runs in another folder. */
export async function install(
  client: Client,
  { words }: Verb,
  [file = ""]: readonly string[],
  options: Options,
): Promise<number> {
  await answer(client, words, await client.asker.ask(words, [resolve(file)], options, client.signal));
  return 0;
}

export async function supportBundle(client: Client, { words }: Verb, [file = ""]: readonly string[]): Promise<number> {
  const { files } = (await client.asker.ask(words, [file], {}, client.signal)) as {
    readonly files: readonly BundleFile[];
  };
  const tar = tarOf(files, Date.now());
  if (file === "-") process.stdout.write(tar);
  else {
    save(file, tar);
    await client.show(client.json ? JSON.stringify({ file: resolve(file) }) : `${file}: ${byteSize(tar.length)}`);
  }
  return 0;
}

/** Only who made it may read it. */
export function save(file: string, bytes: Uint8Array): void {
  try {
    const fd = openSync(file, "w", 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new ShellError(EXIT.REFUSED, "FILE", `${file} cannot be written: ${messageOf(error)}.`);
  }
}

/** POSIX.1-2017 ustar; names here are short and plain. */
function tarOf(files: readonly BundleFile[], nowMs: number): Buffer {
  const folder = `gantry-support-${new Date(nowMs)
    .toISOString()
    .slice(0, 19)
    .replace(/[^0-9]/g, "")}`;
  const mtime = BigInt(Math.floor(nowMs / 1000));
  const blocks = files.flatMap(({ name, text }) => {
    const data = Buffer.from(text);
    const head = ustarBlock({
      name: `${folder}/${name}`,
      typeflag: "0",
      size: BigInt(data.length),
      mode: 0o600,
      mtime,
    });
    return [head, data, Buffer.alloc(-data.length & (BLOCK - 1))];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}
