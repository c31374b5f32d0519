// The front end behind the kernel's own target: for every initiator that holds a key a nexus, for every LUN that keys
// give it a backstore with a ring, and in the kernel's configfs what leads there. Looks at what there is whenever
// something changed, and makes it what is wanted; what fails is tried again.
import type { Rings } from "../../native/types.js";
import type { Timers } from "../../sys/clock.js";
import type { LioConfig } from "../../sys/config-fabric.js";
import { messageOf } from "../../sys/errors.js";
import type { Logger } from "../../sys/log.js";
import { FABRICS, mayCome } from "./fabrics.js";
import { ownerName, plan, unitName, type WantedUnit } from "./plan.js";
import { HBA, look, type Step, type Tree } from "./tree.js";
import type { UioNode } from "./uio.js";

const RETRY_MS = { first: 1000, most: 60_000 } as const;
/** A node appears as soon as its backstore is switched on. */
const NODE = { tries: 40, waitMs: 25 } as const;
/** How long the end of the daemon waits for what is to be taken away. */
const CLEAR_MS = 10_000;

export interface LioSession {
  readonly nexus: number;
  readonly entry: LioConfig;
  readonly initiator: string;
}

export interface LioHost {
  /** Initiators that hold keys. */
  holders(): readonly string[];
  /** What zones leave to an initiator of a target. */
  luns(target: string, initiator: string): readonly { readonly lun: number; readonly device: string }[];
  /** A nexus is there: its paths are set before this returns. */
  opened(session: LioSession): void;
  /** LUNs of the nexus that have a path now. */
  reachable(nexus: number): Iterable<number>;
  isSequential(device: string): boolean;
}

export interface LioOptions {
  readonly bridge: string;
  readonly rings: Rings;
  readonly tree: Tree;
  readonly uio: (unit: string) => Promise<UioNode | undefined>;
  readonly host: LioHost;
  readonly timers: Timers;
  readonly log: Pick<Logger, "info" | "warn">;
}

interface Served extends WantedUnit {
  readonly nexus: number;
}

const keyOf = (entry: LioConfig, initiator: string): string => `${entry.fabric} ${entry.name} ${initiator}`;

export class LioFront {
  readonly #options: LioOptions;
  readonly #owner: string;
  readonly #sessions = new Map<string, LioSession>();
  /** Rings by the name of their backstore. */
  readonly #rings = new Map<string, number>();
  #entries: readonly LioConfig[] = [];
  #round: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #failures = 0;
  #retry: (() => void) | undefined;
  #problem: string | undefined;

  constructor(options: LioOptions) {
    this.#options = options;
    this.#owner = ownerName(options.bridge);
  }

  /** What did not succeed last time, and is tried again. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Other targets than before. */
  set(entries: readonly LioConfig[]): void {
    this.#entries = entries;
    this.look();
  }

  /** Keys, zones, paths or targets changed. */
  look(): void {
    if (this.#stopped) return;
    this.#again = true;
    // Not at once: the first thing that a round does may be what makes somebody ask for one.
    this.#round ??= Promise.resolve()
      .then(() => this.#rounds())
      .finally(() => {
        this.#round = undefined;
        if (this.#again) this.look();
      });
  }

  /** A ring says what cannot be, or the kernel has taken its device away. */
  onRing(number: number, state: "broken" | "gone"): void {
    const unit = [...this.#rings].find(([, ring]) => ring === number)?.[0];
    if (unit === undefined) return;
    this.#rings.delete(unit);
    this.#options.log.warn({ unit, state }, "a ring of the kernel's target is not served any more; it is set up again");
    void this.#options.rings
      .detach(number)
      .then(async () => {
        // What was in it nobody can answer but the kernel; 2: as failed, since it may have been begun.
        if (state === "broken") await this.#options.tree.write(`${HBA}/${unit}/action/reset_ring`, "2");
        this.look();
      })
      .catch((error: unknown) => this.#failed([messageOf(error)]));
  }

  onClosed(nexus: number): void {
    for (const [key, session] of this.#sessions) if (session.nexus === nexus) this.#sessions.delete(key);
  }

  /** Nothing is changed any more. What the kernel has stays, and its commands wait for the next start. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.();
    for (const { nexus } of this.#sessions.values()) this.#options.rings.closeNexus(nexus);
    this.#sessions.clear();
  }

  /** Takes everything out of the kernel that is ours; gives up after a while. */
  async clear(): Promise<void> {
    this.set([]);
    await Promise.race([
      this.#round,
      new Promise<void>((resolve) => {
        this.#options.timers.after(CLEAR_MS, resolve);
      }),
    ]);
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      this.#retry?.();
      this.#retry = undefined;
      const problems = await this.#once().catch((error: unknown) => [messageOf(error)]);
      if (problems.length > 0) this.#failed(problems);
      else {
        this.#failures = 0;
        this.#problem = undefined;
      }
    }
  }

  #failed(problems: readonly string[]): void {
    if (this.#stopped) return;
    const problem = problems.join("; ");
    if (problem !== this.#problem)
      this.#options.log.warn({ problem }, "the kernel's target is not as it should be; it is tried again");
    this.#problem = problem;
    const waitMs = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(this.#failures++, 10));
    this.#retry?.();
    this.#retry = this.#options.timers.after(waitMs, () => this.look());
  }

  async #once(): Promise<readonly string[]> {
    const leaving = this.#settleSessions();
    const units = this.#units();
    const steps = plan(
      await look(this.#options.tree, this.#owner),
      {
        owner: this.#owner,
        targets: this.#entries.map(({ fabric, name, initiator, portals }) => ({
          fabric,
          name,
          initiator,
          portals: portals ?? [],
        })),
        units: [...units.values()],
      },
      new Set(this.#rings.keys()),
    );
    const problems = await this.#carryOut(steps, units);
    for (const { nexus } of leaving) this.#options.rings.closeNexus(nexus);
    return problems;
  }

  /** Opens nexuses that are wanted; those that are not have no LUN from now on, and end when nothing leads there. */
  #settleSessions(): readonly LioSession[] {
    const { host, rings } = this.#options;
    const wanted = new Map<string, { entry: LioConfig; initiator: string }>();
    for (const entry of this.#entries)
      for (const initiator of host.holders())
        if (mayCome(entry, initiator) && host.luns(entry.name, initiator).length > 0)
          wanted.set(keyOf(entry, initiator), { entry, initiator });
    const leaving = [...this.#sessions].filter(([key]) => !wanted.has(key));
    for (const [key] of leaving) this.#sessions.delete(key);
    for (const [key, { entry, initiator }] of wanted) {
      if (this.#sessions.has(key)) continue;
      const nexus = rings.openNexus();
      if (nexus === undefined) continue;
      const session = { nexus, entry, initiator };
      this.#sessions.set(key, session);
      host.opened(session);
    }
    return leaving.map(([, session]) => session);
  }

  #units(): ReadonlyMap<string, Served> {
    const { host } = this.#options;
    const units = new Map<string, Served>();
    for (const { nexus, entry, initiator } of this.#sessions.values()) {
      const reachable = new Set(host.reachable(nexus));
      for (const { lun, device } of host.luns(entry.name, initiator)) {
        if (!reachable.has(lun)) continue;
        const { fabric, name: target } = entry;
        const unit = { fabric, target, initiator, lun, device, sequential: host.isSequential(device), nexus };
        units.set(unitName(this.#owner, unit), unit);
      }
    }
    return units;
  }

  /** What one target or device refuses does not keep the others waiting. */
  async #carryOut(steps: readonly Step[], units: ReadonlyMap<string, Served>): Promise<readonly string[]> {
    const failed = new Set<string>();
    const problems: string[] = [];
    for (const step of steps) {
      if (this.#stopped) return problems;
      const concerns = this.#concerns(step);
      if (concerns.some((one) => failed.has(one))) continue;
      try {
        await this.#carryOutOne(step, units);
      } catch (error) {
        failed.add(concerns[0] ?? "");
        problems.push(`${step.kind} ${"path" in step ? step.path : step.unit}: ${messageOf(error)}`);
      }
    }
    return problems;
  }

  /** The backstore that a step is about, if it is about one; then the target. */
  #concerns(step: Step): readonly string[] {
    if (!("path" in step)) return [step.unit];
    const words = step.path.split("/");
    const unit = words.find((word) => word.startsWith(this.#owner));
    return [...(unit === undefined ? [] : [unit]), words.slice(0, 2).join("/")];
  }

  async #carryOutOne(step: Step, units: ReadonlyMap<string, Served>): Promise<void> {
    const { tree } = this.#options;
    switch (step.kind) {
      case "mkdir":
        return await tree.mkdir(step.path);
      case "rmdir":
        return await tree.rmdir(step.path);
      case "unlink":
        return await tree.unlink(step.path);
      case "write":
        return await tree.write(step.path, step.value);
      case "link":
        return await tree.link(step.path, step.to);
      case "attach":
        return await this.#attach(step.unit, units.get(step.unit));
      case "detach":
        return await this.#detach(step.unit);
    }
  }

  async #attach(name: string, unit: Served | undefined): Promise<void> {
    const { rings, log } = this.#options;
    if (unit === undefined) return;
    const { node, bytes } = await this.#node(name);
    if (this.#stopped) return;
    this.#rings.set(name, rings.attach(unit.nexus, unit.lun, { node, bytes, sequential: unit.sequential }));
    const { fabric, target, initiator, lun, device } = unit;
    log.info({ fabric, target, initiator, lun, device, node }, "a device is offered through the kernel's target");
  }

  async #node(name: string): Promise<UioNode> {
    for (let tries = 0; tries < NODE.tries; tries++) {
      const found = await this.#options.uio(name);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#options.timers.after(NODE.waitMs, resolve);
      });
    }
    throw new Error(`the kernel has made no device of userspace I/O for ${name}`);
  }

  async #detach(name: string): Promise<void> {
    const ring = this.#rings.get(name);
    this.#rings.delete(name);
    if (ring !== undefined) await this.#options.rings.detach(ring);
  }
}

/** What a server of the kernel's target is in reservations. */
export const lioPort = ({ entry, initiator }: LioSession) => FABRICS[entry.fabric].port(initiator);
