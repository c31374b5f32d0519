// The sessions of the bridge: which LUNs each has by the configuration, and when that changes because the configuration did
// or a unit came or went. What keys and reservations make of a LUN is the keeper's.
import type { NativePlane } from "../native/types.js";
import type { PathStats, PlaneNote, Punt } from "../plane.js";
import type { Clock } from "../sys/clock.js";
import type { InitiatorPort } from "../wire/transport-id.js";
import type { SessionFacts } from "./iscsi/door.js";
import { allTargets, type FabricSettings, lunsFor, relativePort, targetPort } from "./lun-map.js";

/** One LUN of a session as the configuration has it. */
export interface MappedLun {
  readonly lun: number;
  readonly device: string;
  /** Number in the data plane. */
  readonly unit: number;
}

export interface BridgeSession extends SessionFacts {
  /** Relative target port identifier. */
  readonly port: number;
  readonly sinceMs: number;
  /** As reservations name it. */
  readonly origin: InitiatorPort;
  /** It comes through the kernel's own target, and not by a login here. */
  readonly kernel?: true;
  /** Devices that can be reached now. */
  readonly luns: readonly MappedLun[];
}

export interface SessionView extends Omit<BridgeSession, "luns"> {
  readonly luns: readonly (MappedLun & Partial<PathStats>)[];
}

/** Decides what each session may do with each of its LUNs, and sets the paths. */
export interface PathKeeper {
  /** Sets every path of a new session before it returns. */
  opened(session: BridgeSession): void;
  /** Other LUNs than before. */
  mapped(session: BridgeSession): void;
  closed(nexus: number): void;
  onPunt(punt: Punt): void;
  onNote(note: PlaneNote): void;
  /** LUNs that have a path now. */
  reachable?(nexus: number): Iterable<number>;
}

export interface SessionsOptions {
  readonly plane: Pick<NativePlane, "setPort" | "pathStats">;
  readonly keeper: Pick<PathKeeper, "opened" | "mapped" | "closed">;
  /** As they are now. */
  readonly settings: () => FabricSettings;
  /** Number of a device's unit in the data plane; undefined while it has none. */
  readonly unit: (device: string) => number | undefined;
  readonly clock: Clock;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<number, BridgeSession>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Those of this moment: they may be closed while one looks at them. */
  all(): readonly BridgeSession[] {
    return [...this.#sessions.values()];
  }

  get(nexus: number): BridgeSession | undefined {
    return this.#sessions.get(nexus);
  }

  /** With what went over their paths. */
  views(): readonly SessionView[] {
    return this.all().map((session) => ({
      ...session,
      luns: session.luns.map((entry) => ({ ...entry, ...this.#statsOf(session.nexus, entry.lun) })),
    }));
  }

  begin(facts: SessionFacts & Pick<BridgeSession, "origin" | "kernel">): void {
    const { clock, keeper, settings } = this.#options;
    const session: BridgeSession = {
      ...facts,
      port: relativePort(settings(), facts.target),
      sinceMs: clock.nowMs(),
      luns: this.#lunsOf(facts),
    };
    this.#tellPort(session);
    keeper.opened(session);
    this.#sessions.set(facts.nexus, session);
  }

  /** The data plane has closed it. */
  end(nexus: number): BridgeSession | undefined {
    const session = this.#sessions.get(nexus);
    this.#sessions.delete(nexus);
    this.#options.keeper.closed(nexus);
    return session;
  }

  /** Gives a session the LUNs that it has now. */
  map(before: BridgeSession): void {
    const { settings, keeper } = this.#options;
    const session = { ...before, luns: this.#lunsOf(before), port: relativePort(settings(), before.target) };
    this.#sessions.set(session.nexus, session);
    this.#tellPort(session);
    keeper.mapped(session);
  }

  /** A device's unit came or went. */
  remap(device: string): void {
    const targets = allTargets(this.#options.settings());
    for (const session of this.all()) {
      const had = session.luns.some((entry) => entry.device === device);
      const has = targets.some(
        ({ name, luns }) => name === session.target && luns.some((entry) => entry.device === device),
      );
      if (had || has) this.map(session);
    }
  }

  #lunsOf({ target, initiator }: Pick<SessionFacts, "target" | "initiator">): readonly MappedLun[] {
    return lunsFor(this.#options.settings(), target, initiator).flatMap(({ lun, device }) => {
      const unit = this.#options.unit(device);
      return unit === undefined ? [] : [{ lun, device, unit }];
    });
  }

  #tellPort({ nexus, target, portalGroupTag }: BridgeSession): void {
    const port = targetPort(this.#options.settings(), target, portalGroupTag);
    if (port !== undefined) this.#options.plane.setPort(nexus, port);
  }

  #statsOf(nexus: number, lun: number): Partial<PathStats> {
    try {
      return this.#options.plane.pathStats(nexus, lun);
    } catch {
      // No key gives a path there.
      return {};
    }
  }
}
