// What is mounted where, and where a partition starts: /proc/self/mountinfo (proc(5)) and /sys.
import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { GantryError } from "../../src/sys/errors.js";

export interface Mount {
  /** "major:minor" of the block device. */
  readonly device: string;
  /** Directory of the file system that is seen at mountPoint; "/" unless it is a bind mount. */
  readonly root: string;
  readonly mountPoint: string;
  readonly fsType: string;
  readonly options: readonly string[];
}

/** Text of /proc/self/mountinfo as mounts, in its order. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    const [, , device, root, mountPoint, own] = fields;
    if (dash < 0 || device === undefined || root === undefined || mountPoint === undefined) continue;
    mounts.push({
      device,
      root: unescaped(root),
      mountPoint: unescaped(mountPoint),
      fsType: fields[dash + 1] ?? "",
      options: [...(own ?? "").split(","), ...(fields[dash + 3] ?? "").split(",")],
    });
  }
  return mounts;
}

/** mountinfo writes space, tab, line feed and backslash as \ooo. */
function unescaped(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return bytes === text ? text : Buffer.from(bytes, "latin1").toString("utf8");
}

export async function readMounts(): Promise<Mount[]> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "latin1").then(latin1ToUtf8));
}

function latin1ToUtf8(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}

/** "major:minor" of st_dev or st_rdev (glibc makedev). */
export function deviceText(dev: bigint): string {
  const major = ((dev >> 32n) & 0xfffff000n) | ((dev >> 8n) & 0xfffn);
  const minor = ((dev >> 12n) & 0xffffff00n) | (dev & 0xffn);
  return `${major}:${minor}`;
}

/** The mount that a path lies on. Throws AGENT_PATH. */
export async function mountOf(path: string): Promise<Mount & { readonly path: string }> {
  let real: string;
  let device: string;
  try {
    real = await realpath(path);
    device = deviceText((await stat(real, { bigint: true })).dev);
  } catch (cause) {
    throw new GantryError("AGENT_PATH", `${path} cannot be used: it is missing or may not be read.`, { cause });
  }
  const under = (mount: Mount): boolean =>
    mount.mountPoint === "/" || real === mount.mountPoint || real.startsWith(`${mount.mountPoint}/`);
  // Of several mounts over each other the last counts. btrfs has device numbers of its own for its parts.
  const found = (await readMounts()).reverse().filter(under);
  found.sort((a, b) => b.mountPoint.length - a.mountPoint.length);
  const best = found.find((mount) => mount.device === device) ?? found.find((mount) => mount.fsType === "btrfs");
  if (best) return { ...best, path: real };
  throw new GantryError("AGENT_PATH", `${path} lies on no block device (device ${device} is not mounted from one).`);
}

/** Path of the device node. Throws AGENT_PATH. */
export async function devicePath(device: string): Promise<string> {
  const uevent = await readFile(`/sys/dev/block/${device}/uevent`, "utf8").catch(() => "");
  const name = /^DEVNAME=(.+)$/m.exec(uevent)?.[1];
  if (name === undefined) throw new GantryError("AGENT_PATH", `The kernel knows no block device ${device}.`);
  return `/dev/${name}`;
}

/** Bytes before a partition on its disk; 0 for a whole disk. Throws AGENT_PATH for mapped devices (LVM, RAID, crypt). */
export async function partitionStart(device: string): Promise<bigint> {
  const folder = `/sys/dev/block/${device}`;
  const mapped = await Promise.any([readdir(`${folder}/dm`), readdir(`${folder}/md`)]).catch(() => undefined);
  if (mapped) {
    throw new GantryError(
      "AGENT_PATH",
      `Device ${device} is mapped (LVM, RAID or encryption), so its place on a disk is not one number.`,
    );
  }
  const partition = await readFile(`${folder}/partition`, "utf8").catch(() => undefined);
  if (partition === undefined) return 0n;
  // Always in units of 512 bytes, whatever the disk's block size is.
  return BigInt((await readFile(`${folder}/start`, "utf8")).trim()) * 512n;
}

/** Where an image or block device is mounted now, itself or through a loop device; undefined when nowhere. */
export async function mountedAt(image: string): Promise<string | undefined> {
  const mounts = await readMounts();
  const real = await realpath(image);
  const facts = await stat(real, { bigint: true });
  const devices = facts.isBlockDevice() ? [deviceText(facts.rdev)] : await loopsOver(real);
  return mounts.find((mount) => devices.includes(mount.device))?.mountPoint;
}

/** Loop devices, with their partitions, whose backing file this is. */
async function loopsOver(file: string): Promise<string[]> {
  const devices: string[] = [];
  for (const name of await readdir("/sys/block").catch(() => [])) {
    if (!name.startsWith("loop")) continue;
    const backing = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "");
    if (backing.trimEnd() !== file) continue;
    const folder = await readlink(`/sys/block/${name}`).then((link) => `/sys/block/${link}`);
    const parts = (await readdir(folder)).filter((part) => part.startsWith(`${name}p`));
    for (const part of [".", ...parts]) devices.push((await readFile(`${folder}/${part}/dev`, "utf8")).trim());
  }
  return devices;
}
