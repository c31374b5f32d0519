// Which device of userspace I/O a backstore's ring is: the kernel names it after the backstore.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface UioNode {
  readonly node: string;
  readonly bytes: bigint;
}

/** Undefined: there is none of that name (yet). Names are "tcm-user/HBA/NAME/CONFIG" (target_core_user.c). */
export async function uioOf(sys: string, dev: string, unit: string): Promise<UioNode | undefined> {
  for (const name of await readdir(sys).catch(() => [])) {
    const words = await readFile(join(sys, name, "name"), "utf8").catch(() => "");
    if (words.trim().split("/")[2] !== unit || !words.startsWith("tcm-user/")) continue;
    const size = await readFile(join(sys, name, "maps/map0/size"), "utf8");
    return { node: join(dev, name), bytes: BigInt(size.trim()) };
  }
  return undefined;
}
