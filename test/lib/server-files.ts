// A server's ext4 image with files, and its block list: what flow tests back up.
import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeGlist } from "../../tools/agent/glist.js";
import { listImage } from "../../tools/agent/list-image.js";
import { makeFiles } from "../../tools/demo/files.js";

export const toolEnv = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
});

export interface ServerFiles {
  /** The folder that the image was made from. */
  readonly original: string;
  readonly image: string;
  readonly list: string;
}

/** @param mib of the large files together. @param room further MiB of the image */
export async function makeServer(
  directory: string,
  mib: number,
  room = 128,
  blockBytes: 512 | 4096 = 512,
): Promise<ServerFiles> {
  const original = join(directory, "server");
  const image = join(directory, "disk.img");
  const list = join(directory, "backup.glist");
  mkdirSync(original, { recursive: true });
  makeFiles(original, mib);
  makeImage(image, mib + room, original);
  await writeGlist(list, "list-1", await listImage({ image, blockBytes }));
  return { original, image, list };
}

export function makeImage(image: string, mib: number, from?: string): void {
  writeFileSync(image, "", { flag: "a" });
  truncateSync(image, mib * 1024 * 1024);
  const fill = from === undefined ? [] : ["-d", from];
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", ...fill, image], {
    stdio: ["ignore", "ignore", "pipe"],
    env: toolEnv(),
  });
}
