// A kernel target's configfs in memory, as strict as the real one: what cannot be done in that order is refused, and
// what is made brings what belongs to it.
import type { Tree } from "../../src/fabric/lio/tree.js";

const FOLDERS: readonly [RegExp, readonly string[]][] = [
  [/^core\/user_\d+\/[^/]+$/, ["action", "attrib", "wwn"]],
  [/^(iscsi|qla2xxx|srpt|fc)\/[^/]+\/tpgt_1$/, ["acls", "attrib", "lun", "np"]],
  [/^(loopback|vhost)\/[^/]+\/tpgt_1$/, ["acls", "lun"]],
];
const ATTRIBUTES: readonly [RegExp, readonly string[]][] = [
  [
    /^core\/user_\d+\/[^/]+$/,
    [
      "control",
      "enable",
      "wwn/vpd_unit_serial",
      "action/block_dev",
      "action/reset_ring",
      "attrib/cmd_time_out",
      "attrib/pgr_support",
      "attrib/alua_support",
      "attrib/tmr_notification",
    ],
  ],
  [/^(iscsi|qla2xxx|srpt)\/[^/]+\/tpgt_1$/, ["enable", "attrib/generate_node_acls", "attrib/authentication"]],
  [/^(loopback|vhost)\/[^/]+\/tpgt_1$/, ["nexus"]],
];

const parent = (path: string): string => path.slice(0, path.lastIndexOf("/"));

export class MemoryTree implements Tree {
  readonly made = new Set<string>(["core"]);
  readonly linked = new Map<string, string>();
  readonly attributes = new Map<string, string>();
  readonly log: string[] = [];
  /** Every step that changes something, until it says no. */
  refuse: (step: string) => boolean = () => false;

  async folders(path: string): Promise<readonly string[]> {
    return [...this.made].filter((folder) => parent(folder) === path).map((folder) => folder.slice(path.length + 1));
  }

  async links(path: string): Promise<readonly string[]> {
    return [...this.linked.keys()].filter((link) => parent(link) === path).map((link) => link.slice(path.length + 1));
  }

  async read(path: string): Promise<string | undefined> {
    return this.attributes.get(path) ?? (path.endsWith("/enable") && this.made.has(parent(path)) ? "0" : undefined);
  }

  async mkdir(path: string): Promise<void> {
    if (this.made.has(path)) return;
    this.#change(`mkdir ${path}`);
    if (path.includes("/") && !this.made.has(parent(path))) throw new Error(`ENOENT: mkdir ${path}`);
    this.made.add(path);
    for (const [pattern, names] of FOLDERS)
      if (pattern.test(path)) for (const name of names) this.made.add(`${path}/${name}`);
  }

  async rmdir(path: string): Promise<void> {
    if (!this.made.has(path)) return;
    this.#change(`rmdir ${path}`);
    const own = FOLDERS.find(([pattern]) => pattern.test(path))?.[1] ?? [];
    const inside = (one: string): boolean => one.startsWith(`${path}/`);
    const held = [...this.made].filter((one) => inside(one) && !own.some((name) => one === `${path}/${name}`));
    const links = [...this.linked].filter(([link, to]) => inside(link) || to === path || to.startsWith(`${path}/`));
    if (held.length > 0 || links.length > 0)
      throw new Error(`EBUSY: rmdir ${path}: ${held.join(" ")} ${links.join(" ")}`);
    for (const one of [...this.made]) if (one === path || inside(one)) this.made.delete(one);
    for (const one of [...this.attributes.keys()]) if (inside(one)) this.attributes.delete(one);
  }

  async write(path: string, value: string): Promise<void> {
    this.#change(`write ${path} ${value}`);
    const rule = ATTRIBUTES.flatMap(([pattern, names]) => names.map((name) => [pattern, name] as const)).find(
      ([pattern, name]) => path.endsWith(`/${name}`) && pattern.test(path.slice(0, -name.length - 1)),
    );
    if (rule === undefined) throw new Error(`ENOENT: write ${path}`);
    const item = path.slice(0, -rule[1].length - 1);
    if (!this.made.has(item)) throw new Error(`ENOENT: write ${path}`);
    const enabled = this.attributes.get(`${item}/enable`) === "1";
    if (item.startsWith("core/")) {
      const exported = [...this.linked.values()].includes(item);
      if (rule[1].startsWith("action/") && !enabled)
        throw new Error(`EINVAL: ${path} of a device that is not switched on`);
      if (!rule[1].startsWith("action/") && (enabled || exported)) throw new Error(`EBUSY: ${path} of a device in use`);
      if (rule[1] === "enable" && !this.attributes.has(`${item}/control`))
        throw new Error(`EINVAL: ${path} before control`);
    }
    if (value === "NULL") this.attributes.delete(path);
    else this.attributes.set(path, value);
  }

  async link(path: string, to: string): Promise<void> {
    if (this.linked.has(path)) return;
    this.#change(`link ${path}`);
    if (!this.made.has(parent(path)) || !this.made.has(to)) throw new Error(`ENOENT: link ${path} to ${to}`);
    if ([...this.linked.keys()].some((one) => parent(one) === parent(path))) throw new Error(`EEXIST: link ${path}`);
    if (to.startsWith("core/") && this.attributes.get(`${to}/enable`) !== "1") throw new Error(`ENODEV: link to ${to}`);
    if (/^(loopback|vhost)\//.test(path) && !this.attributes.has(`${path.split("/").slice(0, 3).join("/")}/nexus`))
      throw new Error(`EINVAL: link ${path} without a nexus`);
    this.linked.set(path, to);
  }

  async unlink(path: string): Promise<void> {
    if (!this.linked.has(path)) return;
    this.#change(`unlink ${path}`);
    this.linked.delete(path);
  }

  #change(step: string): void {
    if (this.refuse(step)) throw new Error(`refused: ${step}`);
    this.log.push(step);
  }
}
