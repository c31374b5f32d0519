// A disk that an image was written to: a copy that may be started, larger than the image as real ones are. What a person
// would do with a card reader is done here with mtools.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export const run = promisify(execFile);

/** Where the partitions begin (tools/image/disk.sh). */
const MIB = 1024 * 1024;
const BOOT_AT = 2 * MIB;
const SLOT_AT = { A: 34 * MIB, B: 290 * MIB } as const;
const SLOT_BYTES = 256 * MIB;

export type Slot = keyof typeof SLOT_AT;
const DISK_BYTES = 2 * 1024 ** 3;
const ENVIRONMENT_BYTES = 1024;

export interface Disk {
  readonly file: string;
  /** Where it is served with a cache that power cuts empty (VolatileDisk); without, the file itself is used. */
  readonly served?: string;
}

export async function makeDisk(image: string, file: string): Promise<Disk> {
  await rm(file, { force: true });
  await run("cp", ["--sparse=always", image, file]);
  await truncate(file, DISK_BYTES);
  return { file };
}

/** Puts files into the folder of the boot partition from which the next start takes them over. */
export async function provision(
  disk: Disk,
  work: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  const folder = join(work, "provision");
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name.replaceAll("/", "_"));
    await writeFile(file, content);
    await mcopy(disk, file, `::provision/${name}`);
  }
}

/** What is in a slot. Only for a machine that is off. */
export async function slotDigest({ file }: Disk, slot: Slot): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { start: SLOT_AT[slot], end: SLOT_AT[slot] + SLOT_BYTES - 1 }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** GRUB's variables, with words for the kernel. */
export async function setEnvironment(disk: Disk, work: string, words: string): Promise<void> {
  const text = `# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\nwords=${words}\n`;
  const file = join(work, "grubenv");
  await writeFile(file, text.padEnd(ENVIRONMENT_BYTES, "#"));
  await mcopy(disk, file, "::grub/grubenv");
}

async function mcopy({ file }: Disk, from: string, to: string): Promise<void> {
  await run("mcopy", ["-o", "-i", `${file}@@${BOOT_AT}`, from, to], {
    env: { ...process.env, MTOOLS_SKIP_CHECK: "1" },
  });
}
