// The side of the daemon that servers log in to: the bridge with its gate and its arbiter, made when the configuration
// has [iscsi], and made, changed or ended by a reload.
import * as v from "valibot";
import { KeySecrets } from "./admit/key-chap.js";
import { CLASS_ROWS } from "./admit/opcodes.js";
import type { PathKeeper } from "./admit/paths.js";
import type { PrivilegeFacts } from "./admit/privilege.js";
import { RefusalBook, type RefusalFacts } from "./admit/refusals.js";
import type { ReservationDesk } from "./admit/reservations/desk.js";
import { ServerGrants } from "./admit/server-grants.js";
import { Bridge } from "./fabric/bridge.js";
import { devicesInMaps, type FabricSettings } from "./fabric/lun-map.js";
import type { BridgeSession, SessionView } from "./fabric/sessions.js";
import type { TraceFilter } from "./native/records.js";
import type { NativePlane } from "./native/types.js";
import type { PlaneNote, Punt, WrittenExtent } from "./plane.js";
import { refusedEvent, type ServerEvent } from "./server-events.js";
import { type GateParts, makeGate, type ServerGate, stopGate } from "./server-gate.js";
import type { Config } from "./sys/config.js";
import { iscsiSchema } from "./sys/config-fabric.js";
import { GantryError } from "./sys/errors.js";

export interface ServersOptions extends GateParts {
  /** Told which arbiter there is. */
  readonly desk: Pick<ReservationDesk, "attach">;
}

interface Running extends ServerGate {
  readonly bridge: Bridge;
  readonly unsubscribe: () => void;
}

export class Servers {
  readonly #options: ServersOptions;
  readonly #refusals: RefusalBook;
  #config: Config;
  #running: Running | undefined;
  /** Starting, reloading and stopping, one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: ServersOptions, config: Config) {
    this.#options = options;
    this.#config = config;
    this.#refusals = new RefusalBook({ ...options, onReport: (report) => this.#tell(refusedEvent(report)) });
  }

  /** Rejects with PORTAL_UNUSABLE or CONFIG_INVALID; then no server can log in. */
  start(): Promise<void> {
    return this.#inTurn(() => this.#set(this.#config));
  }

  reload(config: Config): Promise<void> {
    return this.#inTurn(() => this.#set(config));
  }

  async stop(): Promise<void> {
    await this.#inTurn(() => this.#end());
    this.#refusals.stop();
  }

  sessions(): readonly SessionView[] {
    return this.#running?.bridge.sessions() ?? [];
  }

  /** Who was refused what, the latest first. */
  refusals(): readonly RefusalFacts[] {
    return this.#refusals.list();
  }

  /** Who writes on the disks that servers share. */
  privileges(): readonly PrivilegeFacts[] {
    return this.#running?.privileges.list() ?? [];
  }

  /** @throws GantryError DEVICE_UNKNOWN, PRIVILEGE_* */
  async movePrivilege(device: string, from: string, to: string): Promise<PrivilegeFacts> {
    this.#options.devices.config(device);
    const running = this.#running;
    if (running !== undefined) return running.privileges.move(device, from, to);
    throw new GantryError("PRIVILEGE_NOT_SHARED", `No server can log in, so nobody writes on ${device}.`);
  }

  /** A copy job wrote on a disk. Servers that have it as a LUN learn of it as of what another server writes. */
  wrote(device: string, extents: readonly WrittenExtent[]): void {
    const running = this.#running;
    if (running === undefined || !this.#maps().has(device)) return;
    running.copies.wrote(device, extents);
    running.volumes.wrote(device, extents);
    if (this.#options.devices.config(device).tell_readers) running.keeper.mediumChanged(device, false);
  }

  /** Devices that servers may reach. */
  units(): ReturnType<Bridge["units"]> {
    return this.#running?.bridge.units() ?? [];
  }

  /** Of a data plane that is not there nothing is recorded. */
  trace(filters: readonly TraceFilter[]): void {
    this.#running?.bridge.plane.trace(filters);
  }

  takeTrace(): ReturnType<NativePlane["takeTrace"]> {
    return this.#running?.bridge.plane.takeTrace() ?? { records: [], lost: 0n };
  }

  /** What is counted of all sessions; absent: no server can log in. */
  counters(): Record<string, unknown> {
    return { refused: this.#refusals.total, ...this.#running?.bridge.stats() };
  }

  /** For status; undefined: no server can log in. */
  facts(): Record<string, unknown> | undefined {
    const running = this.#running;
    return running === undefined ? undefined : { ...running.bridge.facts(), units: running.bridge.units() };
  }

  /** Ends leases of reservations; to be called every few seconds. */
  async expire(): Promise<void> {
    await this.#running?.keeper.room.arbiter.expire();
  }

  async #set(config: Config): Promise<void> {
    const settings = fabricSettings(config);
    this.#config = config;
    if (settings === undefined) await this.#end(true);
    else if (this.#running === undefined) await this.#begin(settings);
    else await this.#running.bridge.reload(settings);
  }

  async #begin(settings: FabricSettings): Promise<void> {
    const { native, devices, ring, time, clock, timers, log, desk } = this.#options;
    const grants = new ServerGrants(ring);
    let gate: ServerGate | undefined;
    let unsubscribe = (): void => {};
    const bridge = await Bridge.start({
      native,
      devices,
      settings,
      classes: CLASS_ROWS,
      keeper: (plane) => {
        const made = makeGate({
          ...this.#options,
          plane,
          grants,
          refusals: this.#refusals,
          config: () => this.#config,
          units: () => this.units(),
          onPaths: () => this.#running?.bridge.pathsChanged(),
          tell: (event) => this.#tell(event),
        });
        gate = made;
        unsubscribe = grants.start((initiators, gives) => {
          // What is lost is lost first, whoever else gets it; of what is given first who writes, so that it is told once.
          if (!gives) made.keeper.keysChanged(initiators);
          made.privileges.keysChanged(initiators);
          if (gives) made.keeper.keysChanged(initiators);
        });
        // Before any session gets a path: who wrote before a loss of power does so again.
        made.privileges.start();
        return pathKeeper(made.keeper);
      },
      keySecrets: new KeySecrets(ring, time),
      holders: () => grants.names(),
      name: this.#config.bridge.id,
      clock,
      timers,
      log,
    }).catch((error: unknown) => {
      unsubscribe();
      stopGate(gate);
      throw error;
    });
    if (gate === undefined) throw new Error("the bridge has no keeper of paths");
    this.#running = { bridge, ...gate, unsubscribe };
    desk.attach(gate.keeper.room.arbiter);
  }

  /** Devices that are LUNs of some target. */
  #maps(): ReadonlySet<string> {
    const settings = fabricSettings(this.#config);
    return settings === undefined ? new Set() : devicesInMaps(settings);
  }

  /** Nobody waits for it: the lists say the same to who asks. */
  #tell(event: ServerEvent): void {
    this.#options.publish(event).catch((error: unknown) => {
      this.#options.log.warn({ event: event.event, error }, "the broker could not be told of an event");
    });
  }

  async #end(forGood = false): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    this.#options.desk.attach(undefined);
    running.unsubscribe();
    // Whoever looks at the data plane by himself does not do so any more when it is closed.
    running.volumes.stop();
    await running.copies.stop();
    await running.bridge.stop(forGood);
    stopGate(running);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}

function pathKeeper(keeper: PathKeeper) {
  return {
    opened: (session: BridgeSession) => keeper.opened(kept(session)),
    mapped: (session: BridgeSession) => keeper.mapped(kept(session)),
    closed: (nexus: number) => keeper.closed(nexus),
    onPunt: (punt: Punt) => keeper.onPunt(punt),
    onNote: (note: PlaneNote) => keeper.onNote(note),
    reachable: (nexus: number) => keeper.seen(nexus)?.paths().keys() ?? [],
  };
}

/** Without [iscsi] nobody logs in here, but the kernel's target may lead here. */
function fabricSettings({ iscsi, target, lio, zone }: Config): FabricSettings | undefined {
  if (iscsi === undefined && lio.length === 0) return undefined;
  return { iscsi: iscsi ?? v.parse(iscsiSchema, { portals: [] }), target, lio, zone };
}

const kept = ({ nexus, origin, port, luns }: BridgeSession) => ({ nexus, port, luns, initiator: origin });
