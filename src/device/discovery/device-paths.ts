// The paths to one device that the configuration knows by its identity: which nodes lead to it now, and which of them
// every open unit of it has. A path that fails is added again when its node is back, or answers again.
import type { LuIdentity, LuTarget, PathFact, PathGroup, PathsTarget } from "../../native/types.js";
import type { Clock, Timers } from "../../sys/clock.js";
import { GantryError, messageOf } from "../../sys/errors.js";
import type { Logger } from "../../sys/log.js";
import { isMeant } from "./identity.js";
import type { ScsiNode } from "./sysfs.js";

const AGAIN_MS = { first: 1000, most: 30_000 } as const;

export interface DevicePathsOptions {
  readonly device: string;
  /** As in the configuration. */
  readonly words: string;
  readonly identity: LuIdentity;
  readonly target: Pick<PathsTarget, "again" | "reservedBytes" | "directIo">;
  readonly clock: Pick<Clock, "nowMs">;
  readonly timers: Timers;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** One way to a device. */
export interface PathFacts {
  readonly device: string;
  readonly path: string;
  /** Host, channel, target, LUN. */
  readonly address: string;
  /** Active: commands go over it. Standby: they could. Dead: its node is gone, or it lost a command and is not back. */
  readonly state: PathFact["state"];
  readonly sinceMs: number;
  /** Commands that it lost, all users of the device together. */
  readonly failures: number;
}

interface Path {
  node: ScsiNode;
  /** Number of this appearance of the node. */
  id: number;
  present: boolean;
  state: PathFact["state"];
  sinceMs: number;
  failures: number;
}

/** What an open unit has of a path. */
interface Share {
  failures: number;
  tries: number;
  /** It is being opened, or waits until it is tried again. */
  pending: boolean;
}

export class DevicePaths {
  readonly #options: DevicePathsOptions;
  /** By address: the place in the fabric is the same when the node has another name. */
  readonly #paths = new Map<string, Path>();
  readonly #groups = new Map<PathGroup, Map<number, Share>>();
  #nextId = 1;
  #stopped = false;

  constructor(options: DevicePathsOptions) {
    this.#options = options;
  }

  /** What there is now. True: the device can be reached, and could not before, or over more paths. */
  update(nodes: readonly ScsiNode[]): boolean {
    const mine = nodes.filter((node) => isMeant(this.#options.identity, node));
    let more = false;
    for (const path of this.#paths.values()) {
      const now = mine.find(({ address }) => address === path.node.address);
      if (now?.stamp === path.node.stamp || !path.present) continue;
      path.present = false;
      for (const group of this.#groups.keys()) this.#take(group, path.id);
      this.#tell(path, "dead");
    }
    for (const node of mine) {
      const known = this.#paths.get(node.address);
      if (known?.present === true) continue;
      more = true;
      this.#appear(node, known);
    }
    return more;
  }

  /** Throws DEVICE_PATH_FAILED when no node leads to the device. */
  target(): LuTarget {
    const { device, words, identity, target } = this.#options;
    const nodes = [...this.#paths.values()].filter(({ present }) => present);
    if (nodes.length === 0)
      throw new GantryError(
        "DEVICE_PATH_FAILED",
        `Device ${device} is not there: no SCSI device of this machine is ${words}. Connect it, or switch it on; it is used as soon as it appears.`,
        { details: { device } },
      );
    // The active ones of other users first, so that all go the same way.
    nodes.sort((a, b) => Number(b.state === "active") - Number(a.state === "active"));
    return {
      transport: "paths",
      identity,
      ...target,
      nodes: nodes.map(({ id, node }) => ({ id, path: node.path, settle: this.#unused(id) })),
      opened: (group) => {
        this.#groups.set(group, new Map());
        this.#look(group);
      },
      changed: (group) => {
        if (this.#groups.has(group)) this.#look(group);
      },
    };
  }

  facts(): readonly PathFacts[] {
    const { device } = this.#options;
    return [...this.#paths.values()].map(({ node, state, sinceMs, failures }) => ({
      device,
      path: node.path,
      address: node.address,
      state,
      sinceMs,
      failures,
    }));
  }

  stop(): void {
    this.#stopped = true;
  }

  #appear(node: ScsiNode, known: Path | undefined): void {
    const path: Path = known ?? {
      node,
      id: 0,
      present: true,
      state: "dead",
      sinceMs: this.#options.clock.nowMs(),
      failures: 0,
    };
    Object.assign(path, { node, present: true, id: this.#nextId++ });
    this.#paths.set(node.address, path);
    this.#tell(path, "standby");
    for (const group of this.#groups.keys()) this.#look(group);
  }

  /** Takes over what a group says of its paths, and adds those that it lacks. */
  #look(group: PathGroup): void {
    const shares = this.#groups.get(group);
    const facts = group.facts();
    if (shares === undefined || facts === undefined || this.#stopped) {
      this.#groups.delete(group);
      group.close();
      this.#settle();
      return;
    }
    for (const path of this.#paths.values()) {
      if (!path.present) continue;
      const share = shares.get(path.id) ?? { failures: 0, tries: 0, pending: false };
      shares.set(path.id, share);
      const fact = facts.find(({ id }) => id === path.id);
      path.failures += Math.max(0, (fact?.failures ?? 0) - share.failures);
      share.failures = fact?.failures ?? 0;
      if (fact !== undefined && fact.state !== "dead") share.tries = 0;
      else if (!share.pending) this.#addLater(group, path, share, fact === undefined && share.tries === 0);
    }
    this.#settle();
  }

  #addLater(group: PathGroup, path: Path, share: Share, atOnce: boolean): void {
    share.pending = true;
    const waitMs = atOnce ? 0 : Math.min(AGAIN_MS.most, AGAIN_MS.first * 2 ** Math.min(share.tries, 10));
    share.tries += 1;
    this.#options.timers.after(waitMs, () => {
      const shares = this.#groups.get(group);
      if (shares === undefined || this.#stopped || !path.present || shares.get(path.id) !== share) return;
      void this.#add(group, path, share);
    });
  }

  async #add(group: PathGroup, path: Path, share: Share): Promise<void> {
    const { device, log } = this.#options;
    const { id } = path;
    try {
      group.remove(id);
      await group.add(id, path.node.path, this.#unused(id));
    } catch (error) {
      if (share.tries === 1)
        log.warn(
          { device, path: path.node.path, reason: messageOf(error) },
          "a path to a device cannot be used; it is tried again",
        );
    } finally {
      share.pending = false;
      if (this.#groups.has(group)) this.#look(group);
    }
  }

  #take(group: PathGroup, id: number): void {
    group.remove(id);
    this.#groups.get(group)?.delete(id);
  }

  /** Nobody has this appearance of the node open. */
  #unused(id: number): boolean {
    return [...this.#groups.keys()].every((group) =>
      (group.facts() ?? []).every((fact) => fact.id !== id || fact.state === "dead"),
    );
  }

  /** The state of each path is the best that any user of the device has of it. */
  #settle(): void {
    for (const path of this.#paths.values()) {
      if (!path.present) continue;
      const states = [...this.#groups.keys()].flatMap((group) =>
        (group.facts() ?? []).filter(({ id }) => id === path.id).map(({ state }) => state),
      );
      const all = states.length > 0 && states.every((state) => state === "dead");
      this.#tell(path, states.includes("active") ? "active" : all ? "dead" : "standby");
    }
  }

  #tell(path: Path, state: Path["state"]): void {
    if (path.state === state) return;
    const before = path.state;
    path.state = state;
    path.sinceMs = this.#options.clock.nowMs();
    const facts = {
      device: this.#options.device,
      path: path.node.path,
      address: path.node.address,
      failures: path.failures,
    };
    if (state === "dead") this.#options.log.warn(facts, "a path to a device is dead");
    else if (before === "dead") this.#options.log.info(facts, "there is a path to a device");
  }
}
