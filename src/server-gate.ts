// What decides about servers, put together: who may reach what (the keeper of paths with its arbiter), who of several writes
// on a shared disk, what readers learn of writes, and third-party copies.
import { InbandKeys } from "./admit/inband.js";
import type { KeyRing } from "./admit/key-ring.js";
import { WRITE_CLASSES } from "./admit/path-verdict.js";
import { PathKeeper } from "./admit/paths.js";
import { WritePrivileges } from "./admit/privilege.js";
import type { RefusalBook } from "./admit/refusals.js";
import type { ReservationFacts } from "./admit/reservations/facts.js";
import type { Wanted } from "./admit/reservations/preemption.js";
import { ReservationRoom } from "./admit/reservations/room.js";
import type { ServerGrants } from "./admit/server-grants.js";
import type { TrustedTime } from "./admit/trusted-clock.js";
import { VolumeWatch } from "./admit/volume.js";
import { Copies } from "./copies.js";
import type { CopyBook } from "./copy-manager/book.js";
import { flushDisk } from "./device/flush.js";
import type { DeviceRegistry } from "./device/registry.js";
import type { UnitFacts } from "./fabric/units.js";
import type { Native, NativePlane } from "./native/types.js";
import type { Plane } from "./plane.js";
import { privilegeEvent, type ServerEvent, volumeEvent } from "./server-events.js";
import type { Clock, Timers } from "./sys/clock.js";
import type { Config } from "./sys/config.js";
import type { Logger } from "./sys/log.js";
import type { Store } from "./sys/store.js";

/** Peripheral device types (SPC-4 6.6.2). */
const TYPE_NUMBER = { disk: 0, tape: 1, changer: 8 } as const;

export interface GateParts {
  readonly native: Native;
  readonly devices: DeviceRegistry;
  readonly ring: KeyRing;
  readonly time: TrustedTime;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** Told to the broker. */
  readonly onReservation: (facts: ReservationFacts, why: string) => void;
  /** The broker is asked whether a device is to be taken from who has it. */
  readonly onWanted: (wanted: Wanted) => void;
  /** Told of third-party copies. */
  readonly book?: Pick<CopyBook, "begun" | "ended" | "refused">;
  /** To the broker; resolves when it is delivered. */
  readonly publish: (event: ServerEvent) => Promise<void>;
}

export interface GateOptions extends GateParts {
  readonly plane: NativePlane;
  readonly grants: ServerGrants;
  readonly refusals: RefusalBook;
  /** As it is now. */
  readonly config: () => Config;
  /** Devices that servers may reach now. */
  readonly units: () => readonly UnitFacts[];
  /** Paths were made or taken. */
  readonly onPaths: () => void;
  /** To the broker, and nobody waits for it. */
  readonly tell: (event: ServerEvent) => void;
}

export interface ServerGate {
  readonly keeper: PathKeeper;
  readonly privileges: WritePrivileges;
  readonly volumes: VolumeWatch;
  readonly copies: Copies;
}

/** Nothing is started yet but the arbiter, which has loaded what survived a loss of power. */
export function makeGate(options: GateOptions): ServerGate {
  const { devices, plane, timers, publish } = options;
  const copies = makeCopies(options, () => ({ keeper, volumes }));
  const privileges = makePrivileges(options, copies.plane, (device) => keeper.deviceChanged(device));
  const keeper: PathKeeper = makeKeeper(options, copies, {
    mayWrite: (device, initiator) => privileges.mayWrite(device, initiator),
    onPaths: () => {
      volumes.changed();
      options.onPaths();
    },
  });
  const volumes: VolumeWatch = new VolumeWatch({
    plane,
    timers,
    watched: () => new Map([...keeper.writable()].filter(([device]) => devices.config(device).type === "disk")),
    publish: (change) => publish(volumeEvent(change)),
    onWritten: (device, extents) => copies.wrote(device, extents),
    tell: (device) => {
      if (devices.config(device).tell_readers) keeper.mediumChanged(device, true);
    },
  });
  return { keeper, privileges, volumes, copies };
}

export function stopGate(gate: ServerGate | undefined): void {
  gate?.keeper.stop();
  gate?.privileges.stop();
  gate?.volumes.stop();
}

function makeCopies(options: GateOptions, gate: () => Pick<ServerGate, "keeper" | "volumes">): Copies {
  return new Copies({
    ...options,
    keeper: () => gate().keeper,
    settleWrites: (device) => gate().volumes.look(device),
    onWrote: (device, extents) => {
      const { keeper, volumes } = gate();
      volumes.wrote(device, extents, true);
      if (options.devices.config(device).tell_readers) keeper.mediumChanged(device, true);
    },
  });
}

function makePrivileges(
  { grants, devices, store, time, clock, timers, log, units, tell }: GateOptions,
  plane: Pick<Plane, "drain">,
  changed: (device: string) => void,
): WritePrivileges {
  return new WritePrivileges({
    grants,
    devices: devices
      .all()
      .filter(({ type, writers }) => type === "disk" && writers === "one")
      .map(({ name }) => name),
    store,
    time,
    clock,
    timers,
    log,
    settle: async (device) => {
      const unit = units().find((one) => one.device === device && one.ready);
      if (unit !== undefined) await plane.drain(unit.unit, WRITE_CLASSES);
      await flushDisk(devices, device);
    },
    changed,
    onChange: (facts, why) => tell(privilegeEvent(facts, why)),
  });
}

function makeKeeper(
  options: GateOptions,
  copies: Copies,
  asks: { mayWrite(device: string, initiator: string): boolean; onPaths(): void },
): PathKeeper {
  const { plane, grants, ring, time, devices, clock, timers, log, refusals } = options;
  return new PathKeeper({
    plane,
    grants,
    time,
    typeOf: (device) => devices.config(device).type,
    clock,
    timers,
    log,
    ...asks,
    refusals,
    copies: () => copies.thirdParty,
    inband: ({ settled, refusedKey }) => new InbandKeys({ plane, ring, onSettled: settled, onRefused: refusedKey }),
    room: (changed) => makeRoom(options, copies.plane, changed),
  });
}

function makeRoom(options: GateOptions, plane: Copies["plane"], changed: (device: string) => void): ReservationRoom {
  const { devices, store, clock, timers, log, config, onReservation, onWanted } = options;
  const room = new ReservationRoom({
    plane,
    store,
    clock,
    timers,
    log,
    policy: () => {
      const { iscsi } = config();
      return {
        reading: iscsi?.job_reading ?? "shared",
        leaseMs: (iscsi?.reservation_lease_s ?? 0) * 1000,
        preempt: iscsi?.preempt ?? "off",
      };
    },
    priorityOf: (device, initiator) => priorityOf(options, device, initiator),
    onWanted,
    onChange: onReservation,
    deviceType: (device) => TYPE_NUMBER[devices.config(device).type],
    changed,
  });
  // Before any session gets a path: what survived a loss of power holds.
  room.arbiter.load();
  return room;
}

/** While nobody knows the time nobody knows whose key is in force, and nothing is taken from anybody. */
function priorityOf({ grants, devices, time }: GateOptions, device: string, initiator: string): number {
  if (time.fault() !== undefined) return Number.POSITIVE_INFINITY;
  return grants.priorityOf(initiator, device, devices.config(device).type, time.nowMs()) ?? -1;
}
