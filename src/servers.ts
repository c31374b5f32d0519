// The side of the daemon that servers log in to: the bridge with its gate and its arbiter, made when the configuration
// has [iscsi], and made, changed or ended by a reload.
import { KeySecrets } from "./admit/key-chap.js";
import type { KeyRing } from "./admit/key-ring.js";
import { CLASS_ROWS } from "./admit/opcodes.js";
import { PathKeeper, type Refusals } from "./admit/paths.js";
import type { ReservationDesk } from "./admit/reservations/desk.js";
import type { ReservationFacts } from "./admit/reservations/facts.js";
import { ReservationRoom } from "./admit/reservations/room.js";
import { ServerGrants } from "./admit/server-grants.js";
import type { TrustedTime } from "./admit/trusted-clock.js";
import type { DeviceRegistry } from "./device/registry.js";
import { Bridge, type BridgeSession, type SessionView } from "./fabric/bridge.js";
import type { FabricSettings } from "./fabric/lun-map.js";
import type { Native, NativePlane } from "./native/types.js";
import type { Clock, Timers } from "./sys/clock.js";
import type { Config } from "./sys/config.js";
import type { Logger } from "./sys/log.js";
import type { Store } from "./sys/store.js";

/** Peripheral device types (SPC-4 6.6.2). */
const TYPE_NUMBER = { disk: 0, tape: 1 } as const;

export interface ServersOptions {
  readonly native: Native;
  readonly devices: DeviceRegistry;
  readonly ring: KeyRing;
  readonly time: TrustedTime;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** Told which arbiter there is. */
  readonly desk: Pick<ReservationDesk, "attach">;
  /** Told to the broker. */
  readonly onReservation: (facts: ReservationFacts, why: string) => void;
}

interface Running {
  readonly bridge: Bridge;
  readonly keeper: PathKeeper;
  readonly unsubscribe: () => void;
}

export class Servers {
  readonly #options: ServersOptions;
  #config: Config;
  #running: Running | undefined;
  /** Starting, reloading and stopping, one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: ServersOptions, config: Config) {
    this.#options = options;
    this.#config = config;
  }

  /** Rejects with PORTAL_UNUSABLE or CONFIG_INVALID; then no server can log in. */
  start(): Promise<void> {
    return this.#inTurn(() => this.#set(this.#config));
  }

  reload(config: Config): Promise<void> {
    return this.#inTurn(() => this.#set(config));
  }

  stop(): Promise<void> {
    return this.#inTurn(() => this.#end());
  }

  sessions(): readonly SessionView[] {
    return this.#running?.bridge.sessions() ?? [];
  }

  refusals(): readonly Refusals[] {
    return this.#running?.keeper.refusals() ?? [];
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
    if (settings === undefined) await this.#end();
    else if (this.#running === undefined) await this.#begin(settings);
    else await this.#running.bridge.reload(settings);
  }

  async #begin(settings: FabricSettings): Promise<void> {
    const { native, devices, ring, time, clock, timers, log, desk } = this.#options;
    const grants = new ServerGrants(ring);
    let keeper: PathKeeper | undefined;
    const unsubscribe = grants.start((initiators) => keeper?.keysChanged(initiators));
    const bridge = await Bridge.start({
      native,
      devices,
      settings,
      classes: CLASS_ROWS,
      keeper: (plane) => {
        const made = this.#keeper(plane, grants);
        keeper = made;
        return {
          opened: (session) => made.opened(kept(session)),
          mapped: (session) => made.mapped(kept(session)),
          closed: (nexus) => made.closed(nexus),
          onPunt: (punt) => made.onPunt(punt),
          onNote: (note) => made.onNote(note),
        };
      },
      keySecrets: new KeySecrets(ring, time),
      clock,
      timers,
      log,
    }).catch((error: unknown) => {
      unsubscribe();
      keeper?.stop();
      throw error;
    });
    if (keeper === undefined) throw new Error("the bridge has no keeper of paths");
    this.#running = { bridge, keeper, unsubscribe };
    desk.attach(keeper.room.arbiter);
  }

  #keeper(plane: NativePlane, grants: ServerGrants): PathKeeper {
    const { time, devices, store, clock, timers, log, onReservation } = this.#options;
    const typeOf = (device: string) => devices.config(device).type;
    return new PathKeeper({
      plane,
      grants,
      time,
      typeOf,
      clock,
      timers,
      log,
      room: (changed) => {
        const room = new ReservationRoom({
          plane,
          store,
          clock,
          log,
          policy: () => ({
            reading: this.#config.iscsi?.job_reading ?? "shared",
            leaseMs: (this.#config.iscsi?.reservation_lease_s ?? 0) * 1000,
          }),
          onChange: onReservation,
          deviceType: (device) => TYPE_NUMBER[typeOf(device)],
          changed,
        });
        // Before any session gets a path: what survived a loss of power holds.
        room.arbiter.load();
        return room;
      },
    });
  }

  async #end(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    this.#options.desk.attach(undefined);
    running.unsubscribe();
    await running.bridge.stop();
    running.keeper.stop();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}

function fabricSettings({ iscsi, target, zone }: Config): FabricSettings | undefined {
  return iscsi === undefined ? undefined : { iscsi, target, zone };
}

function kept({ nexus, initiator, isid, port, luns }: BridgeSession) {
  return { nexus, port, luns, initiator: { protocol: "iscsi", name: initiator, isid } as const };
}
