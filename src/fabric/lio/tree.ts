// The kernel target's configfs as it stands: what of it is ours, read; and single steps that change it. Every write is
// one attribute, every step may have been done already.
import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rmdir, symlink, unlink } from "node:fs/promises";
import { join } from "node:path";
import { FABRICS, type FabricName } from "./fabrics.js";

/** All our backstores are of one HBA that nobody else uses. */
export const HBA = "core/user_7070";
/** Every target has one portal group. */
export const GROUP = "tpgt_1";

export type Step =
  | { readonly kind: "mkdir" | "rmdir" | "unlink"; readonly path: string }
  | { readonly kind: "write"; readonly path: string; readonly value: string }
  | { readonly kind: "link"; readonly path: string; readonly to: string }
  /** The ring of a backstore is served from here on, or no more. */
  | { readonly kind: "attach" | "detach"; readonly unit: string };

/** Paths are relative to the root. Lists of what is not there are empty. */
export interface Tree {
  folders(path: string): Promise<readonly string[]>;
  links(path: string): Promise<readonly string[]>;
  /** Undefined: there is no such attribute. */
  read(path: string): Promise<string | undefined>;
  mkdir(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  write(path: string, value: string): Promise<void>;
  link(path: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

async function unless(code: string, work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (codeOf(error) !== code) throw error;
  });
}

/** Removing and linking wait in the kernel until commands are answered: never synchronously. */
export class ConfigTree implements Tree {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async folders(path: string): Promise<readonly string[]> {
    return await this.#entries(path, (entry) => entry.isDirectory());
  }

  async links(path: string): Promise<readonly string[]> {
    return await this.#entries(path, (entry) => entry.isSymbolicLink());
  }

  async read(path: string): Promise<string | undefined> {
    return await readFile(join(this.#root, path), "utf8").then(
      (text) => text.trim(),
      () => undefined,
    );
  }

  async mkdir(path: string): Promise<void> {
    await unless("EEXIST", mkdir(join(this.#root, path)));
  }

  async rmdir(path: string): Promise<void> {
    await unless("ENOENT", rmdir(join(this.#root, path)));
  }

  async write(path: string, value: string): Promise<void> {
    // Some attributes cannot be read, and none is to be made.
    const attribute = await open(join(this.#root, path), constants.O_WRONLY);
    try {
      await attribute.writeFile(value);
    } finally {
      await attribute.close();
    }
  }

  async link(path: string, to: string): Promise<void> {
    await unless("EEXIST", symlink(join(this.#root, to), join(this.#root, path)));
  }

  async unlink(path: string): Promise<void> {
    await unless("ENOENT", unlink(join(this.#root, path)));
  }

  async #entries(
    path: string,
    of: (entry: { isDirectory(): boolean; isSymbolicLink(): boolean }) => boolean,
  ): Promise<readonly string[]> {
    const entries = await readdir(join(this.#root, path), { withFileTypes: true }).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    });
    return entries.filter(of).map(({ name }) => name);
  }
}

/** A LUN of a target, and what it leads to; undefined: nothing, somebody else's, or several. */
export interface SeenLun {
  readonly folder: string;
  readonly unit: string | undefined;
  readonly others: boolean;
}

export interface SeenTarget {
  readonly fabric: FabricName;
  /** As it is written there. */
  readonly written: string;
  /** As far as it was to be made once: portal group, nexus or switch. */
  readonly ready: boolean;
  readonly luns: readonly SeenLun[];
  readonly acls: readonly { readonly written: string; readonly luns: readonly SeenLun[] }[];
  readonly portals: readonly string[];
}

export interface Seen {
  readonly units: readonly { readonly name: string; readonly enabled: boolean }[];
  readonly targets: readonly SeenTarget[];
}

export const targetPath = (fabric: FabricName, written: string): string => `${FABRICS[fabric].folder}/${written}`;

async function lunsOf(tree: Tree, owner: string, path: string): Promise<readonly SeenLun[]> {
  const folders = (await tree.folders(path)).filter((folder) => folder.startsWith("lun_"));
  return await Promise.all(
    folders.map(async (folder) => {
      const links = await tree.links(`${path}/${folder}`);
      const unit = links.find((link) => link.startsWith(owner));
      return { folder, unit, others: links.some((link) => link !== unit) };
    }),
  );
}

async function isReady(tree: Tree, fabric: FabricName, path: string): Promise<boolean> {
  const { enables, access } = FABRICS[fabric];
  if (enables) return (await tree.read(`${path}/${GROUP}/enable`)) === "1";
  // While there is none, reading it is an error.
  if (access === "nexus") return ((await tree.read(`${path}/${GROUP}/nexus`)) ?? "") !== "";
  return (await tree.folders(path)).includes(GROUP);
}

/** @param owner what names of our backstores begin with: another bridge of this machine has its own */
export async function look(tree: Tree, owner: string): Promise<Seen> {
  const names = (await tree.folders(HBA)).filter((name) => name.startsWith(owner));
  const units = await Promise.all(
    names.map(async (name) => ({ name, enabled: (await tree.read(`${HBA}/${name}/enable`)) === "1" })),
  );
  const targets: SeenTarget[] = [];
  for (const fabric of Object.keys(FABRICS) as FabricName[]) {
    for (const written of await tree.folders(FABRICS[fabric].folder)) {
      const path = targetPath(fabric, written);
      const group = `${path}/${GROUP}`;
      const acls = await tree.folders(`${group}/acls`);
      targets.push({
        fabric,
        written,
        ready: await isReady(tree, fabric, path),
        luns: await lunsOf(tree, owner, `${group}/lun`),
        acls: await Promise.all(
          acls.map(async (acl) => ({ written: acl, luns: await lunsOf(tree, owner, `${group}/acls/${acl}`) })),
        ),
        portals: await tree.folders(`${group}/np`),
      });
    }
  }
  return { units, targets };
}
