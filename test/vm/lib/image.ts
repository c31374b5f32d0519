// The guest's kernel and root file system, built once for each content of test/vm/guest into a cache outside the tree.
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../../src/native/addon.js";

const EMULATOR = "qemu-system-x86_64";
/** Programs that building and running a guest takes, and the Debian package of each. */
const PROGRAMS: Readonly<Record<string, string>> = {
  [EMULATOR]: "qemu-system-x86",
  mmdebstrap: "mmdebstrap",
  mksquashfs: "squashfs-tools",
  busybox: "busybox-static",
  modprobe: "kmod",
  cpio: "cpio",
};

export interface GuestImage {
  /** Folder with vmlinux, initrd.gz and root.sqfs; saved machine states are kept there too. */
  readonly folder: string;
  /** Changes with everything that a saved state depends on. */
  readonly key: string;
}

/** Where guests are kept: GANTRY_VM_CACHE, or gantry-vm in the user's cache folder. */
export function cacheFolder(): string {
  return process.env.GANTRY_VM_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "gantry-vm");
}

/** Debian packages whose programs are missing here; none: guests can be run. */
export function missingPackages(): readonly string[] {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return Object.entries(PROGRAMS)
    .filter(([program]) => spawnSync("sh", ["-c", `command -v ${program}`], { env: { PATH: path } }).status !== 0)
    .map(([, packageName]) => packageName);
}

/**
 * Builds the guest if it is not in the cache: about a minute.
 * @throws Error with what the build said
 */
export async function guestImage(onLine: (line: string) => void = () => {}): Promise<GuestImage> {
  const source = join(packageRoot(), "test", "vm", "guest");
  const hash = createHash("sha256");
  for (const name of readdirSync(source).sort()) hash.update(name).update(readFileSync(join(source, name)));
  const node = nodeForGuest();
  hash
    .update(`${node} ${statSync(node).size}`)
    .update(textOf(spawnSync(EMULATOR, ["--version"], { encoding: "utf8" })));
  const key = hash.digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), key);
  const child = spawn(join(source, "build.sh"), [folder, node], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    for (const line of text.split("\n")) if (line !== "") onLine(line);
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`The test guest could not be built in ${folder}:\n${said}`);
  return { folder, key };
}

/** The Node that runs this also runs in the guest. */
function nodeForGuest(): string {
  return process.execPath;
}

function textOf(result: SpawnSyncReturns<string>): string {
  if (result.error !== undefined) throw new Error(`${EMULATOR} cannot be run: ${result.error.message}`);
  return result.stdout;
}
