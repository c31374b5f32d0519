// Several paths to one logical unit: opened, asked who they are, added and taken away while the unit is in use.
import type { Addon, OpenedLu, PathsHandle, TapArguments } from "./addon.js";
import { bytes, flag, integer, text, U32_MAX } from "./check.js";
import { call, callLater, invalid } from "./failure.js";
import type { LuIdentity, PathFact, PathGroup, PathsTarget } from "./types.js";

const RESERVED_BYTES = 1 << 20;
const RESERVED_MAX = 1 << 26;
const CHECK_MS = 10_000;
const CHECK_MAX_MS = 3_600_000;
const AGAIN_BYTES = 32;
const VENDOR_BYTES = 8;
const VALUE_BYTES = 252;
/** How long the others are waited for when one path is there: what can be moved is the least of all. */
const OTHERS_MS = 2000;
/** gt_paths_state. */
const STATES: Readonly<Record<number, PathFact["state"]>> = { 1: "standby", 2: "active", 3: "dead" };

class NativePaths implements PathGroup {
  readonly #addon: Addon;
  readonly #target: PathsTarget;
  readonly handle: PathsHandle;
  #closed = false;

  constructor(addon: Addon, target: PathsTarget) {
    this.#addon = addon;
    this.#target = target;
    const again = bytes("again", target.again, AGAIN_BYTES, AGAIN_BYTES);
    const checkMs = integer("checkMs", target.checkMs, 1, CHECK_MAX_MS, CHECK_MS);
    this.handle = call(() => addon.pathsOpen(again, checkMs, () => target.changed(this)));
  }

  async add(id: number, path: string, settle: boolean): Promise<void> {
    const { reservedBytes, directIo, identity } = this.#target;
    const node = text("path", path);
    const number = integer("id", id, 0, U32_MAX);
    const reserved = integer("reservedBytes", reservedBytes, 4096, RESERVED_MAX, RESERVED_BYTES);
    const { type, value, vendor } = checked(identity);
    await callLater(() =>
      this.#addon.pathsAdd(
        this.handle,
        number,
        node,
        reserved,
        flag("directIo", directIo),
        settle,
        type,
        value,
        vendor,
      ),
    );
  }

  remove(id: number): void {
    if (!this.#closed) call(() => this.#addon.pathsRemove(this.handle, integer("id", id, 0, U32_MAX)));
  }

  facts(): readonly PathFact[] | undefined {
    if (this.#closed) return undefined;
    const facts = call(() => this.#addon.pathsFacts(this.handle));
    return facts?.map(([id, state, failures]) => ({ id, state: STATES[state] ?? "dead", failures }));
  }

  close(): void {
    this.#closed = true;
    call(() => this.#addon.pathsClose(this.handle));
  }
}

function checked({ type, value, vendor = "" }: LuIdentity): { type: number; value: Uint8Array; vendor: string } {
  if (vendor.length > VENDOR_BYTES || !/^[ -~]*$/.test(vendor))
    throw invalid("vendor is not at most 8 characters of ASCII.", { field: "vendor" });
  return { type: integer("type", type, 0, 0xff), value: bytes("value", value, 1, VALUE_BYTES), vendor };
}

/**
 * Opens a unit over those of its paths that answer. Rejects with what the first one said when none does.
 * @param open hands the paths to whoever is to poll them
 */
export async function openPaths<T>(
  addon: Addon,
  target: PathsTarget,
  open: (handle: PathsHandle) => Promise<T>,
): Promise<T> {
  const group = new NativePaths(addon, target);
  try {
    await firstPaths(group, target);
    const opened = await callLater(() => open(group.handle));
    target.opened(group);
    return opened;
  } catch (error) {
    group.close();
    throw error;
  }
}

async function firstPaths(group: NativePaths, { nodes }: PathsTarget): Promise<void> {
  if (nodes.length === 0) throw invalid("nodes is empty; a unit needs a path.", { field: "nodes" });
  const adding = nodes.map(({ id, path, settle }) => group.add(id, path, settle));
  const all = Promise.allSettled(adding);
  try {
    await Promise.any(adding);
  } catch {
    for (const result of await all) if (result.status === "rejected") throw result.reason;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, OTHERS_MS);
  });
  await Promise.race([all, late]);
  clearTimeout(timer);
}

export const openOverPaths = (addon: Addon, target: PathsTarget, tap: TapArguments): Promise<OpenedLu> =>
  openPaths(addon, target, (handle) => addon.luOpenPaths(handle, ...tap));
