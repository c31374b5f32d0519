// The keeper of paths: for every LUN of every session one verdict, made of the keys that are granted to the initiator's
// name and of what reservations leave, and set in the data plane when it differs from what is set there. Deny by
// default: a LUN without a right has no path; where LUN 0 has none there is a place to present a key at.
import { NO_UNIT, type Plane, type PlaneNote, type Punt } from "../plane.js";
import type { Clock, Timers } from "../sys/clock.js";
import type { Logger } from "../sys/log.js";
import { STATUS } from "../wire/names.js";
import { initiatorName } from "../wire/transport-id.js";
import type { InbandKeys } from "./inband.js";
import { type Kept, type KeptSession, nextOf, type Path } from "./kept-session.js";
import type { DeviceClass } from "./key.js";
import { commandName, isArbitrated, reservationClasses } from "./opcodes.js";
import { EARLY_MS, type PathVerdict, PLACE, sameVerdict, verdictOf } from "./path-verdict.js";
import { answerPunt, NO_LOGICAL_UNIT } from "./punts.js";
import type { RefusalBook } from "./refusals.js";
import type { ReservationRoom } from "./reservations/room.js";
import type { ServerGrant, ServerGrants } from "./server-grants.js";
import type { TrustedTime } from "./trusted-clock.js";

/** SPC-4 annex D: what a server is told when its view of the bridge changes. */
const REPORTED_LUNS_CHANGED = [0x3f, 0x0e] as const;
/** MODE SENSE shows write protection or not. */
const MODE_PARAMETERS_CHANGED = [0x2a, 0x01] as const;
/** NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED: the one that says that what was read may not be there any more. */
const MEDIUM_MAY_HAVE_CHANGED = [0x28, 0x00] as const;
const LOOK_AGAIN_MS = 1000;
const nameOf = ({ initiator }: KeptSession): string => initiatorName(initiator);
const NO_PATHS: ReadonlyMap<number, Path> = new Map();

/** The copy manager, as far as paths go: its commands reach it, and it learns when somebody may do other things. */
export interface ThirdParty {
  takes(cdb: Uint8Array): boolean;
  onPunt(punt: Punt): void;
  onNote(note: PlaneNote): void;
  /** Keys or reservations changed. */
  judge(): void;
  nexusClosed(text: string): void;
}

/** What a session may reach now. */
export interface SeenSession {
  readonly text: string;
  readonly initiator: string;
  readonly paths: () => ReadonlyMap<number, Path>;
}

export interface PathsOptions {
  readonly plane: Pick<Plane, "setPath" | "clearPath" | "attention" | "abort" | "answer" | "pass">;
  readonly grants: Pick<ServerGrants, "of">;
  readonly time: TrustedTime;
  readonly room: (changed: (device: string) => void) => ReservationRoom;
  readonly inband: (
    keeper: Pick<PathKeeper, "settled"> & { refusedKey(nexus: number, lun: number, code: string): void },
  ) => InbandKeys;
  readonly refusals: RefusalBook;
  /** Whether the initiator has the write privilege of the device, or need not. */
  readonly mayWrite: (device: string, initiator: string) => boolean;
  readonly typeOf: (device: string) => DeviceClass;
  /** Somebody's paths are others than before. */
  readonly onPaths: () => void;
  readonly copies: () => ThirdParty;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Pick<Logger, "warn">;
}

export class PathKeeper {
  readonly room: ReservationRoom;
  readonly #options: PathsOptions;
  readonly #inband: InbandKeys;
  readonly #kept = new Map<number, Kept>();
  #timer: (() => void) | undefined;
  /** Whether the clock was, when it was looked at last. */
  #trusted = true;

  constructor(options: PathsOptions) {
    this.#options = options;
    this.room = options.room((device) => this.deviceChanged(device));
    this.#inband = options.inband({
      settled: (nexus) => this.settled(nexus),
      refusedKey: (nexus, lun, code) => this.#count(nexus, lun, code, "SECURITY PROTOCOL OUT (B5h)", 1n),
    });
  }

  opened(session: KeptSession): void {
    this.room.opened(session);
    const kept: Kept = { session, paths: new Map(), changesMs: new Map(), place: false };
    this.#kept.set(session.nexus, kept);
    this.#compile(kept, false);
    this.#compiled();
  }

  mapped(session: KeptSession): void {
    const kept = this.#kept.get(session.nexus);
    if (kept === undefined) return;
    this.room.opened(session);
    kept.session = session;
    kept.changesMs.clear();
    this.#compile(kept, true);
    this.#compiled();
  }

  closed(nexus: number): void {
    const text = this.room.textOf(nexus);
    if (text !== undefined) this.#options.copies().nexusClosed(text);
    this.room.closed(nexus);
    this.#inband.closed(nexus);
    this.#kept.delete(nexus);
    this.#options.onPaths();
  }

  /** Keys of these initiators came or went. */
  keysChanged(initiators: ReadonlySet<string>): void {
    for (const kept of this.#kept.values()) if (initiators.has(nameOf(kept.session))) this.#compile(kept, true);
    this.#compiled();
  }

  /** Reservations or the write privilege of a device changed. */
  deviceChanged(device: string): void {
    for (const kept of this.#kept.values())
      if (kept.session.luns.some((entry) => entry.device === device)) this.#compile(kept, true, device);
    this.#compiled();
  }

  /** The key that this session presented was answered: the path that it came on may change now. */
  settled(nexus: number): void {
    const kept = this.#kept.get(nexus);
    if (kept === undefined) return;
    this.#compile(kept, true);
    this.#compiled();
  }

  /** undefined: the nexus is gone. */
  seen(nexus: number): SeenSession | undefined {
    const kept = this.#kept.get(nexus);
    const text = this.room.textOf(nexus);
    if (kept === undefined || text === undefined) return undefined;
    return { text, initiator: nameOf(kept.session), paths: () => this.#kept.get(nexus)?.paths ?? NO_PATHS };
  }

  /** Devices that somebody may write on now, and their unit. */
  writable(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const { paths } of this.#kept.values())
      for (const { device, unit, verdict } of paths.values()) if (!verdict.writeProtected) found.set(device, unit);
    return found;
  }

  /** Another wrote: whoever did not is told with the next command. @param server one of those that may write did */
  mediumChanged(device: string, server: boolean): void {
    for (const { session, paths } of this.#kept.values())
      for (const [lun, path] of paths)
        if (path.device === device && (path.verdict.writeProtected || !server))
          this.#options.plane.attention(session.nexus, lun, ...MEDIUM_MAY_HAVE_CHANGED);
  }

  onPunt(punt: Punt): void {
    const { plane, typeOf } = this.#options;
    const kept = this.#kept.get(punt.nexus);
    const path = kept?.paths.get(punt.lun);
    const nexus = this.room.textOf(punt.nexus);
    if (kept === undefined || nexus === undefined) plane.answer(punt.id, STATUS.BUSY);
    else if (this.#inband.takes(punt.cdb)) void this.#inband.onPunt(punt, nameOf(kept.session));
    else if (path === undefined) {
      plane.answer(punt.id, STATUS.CHECK_CONDITION, NO_LOGICAL_UNIT);
      this.#count(punt.nexus, punt.lun, "no-path", commandName(punt.cdb[0] ?? 0, undefined), 1n);
    } else if (this.#options.copies().takes(punt.cdb)) this.#options.copies().onPunt(punt);
    else if (isArbitrated(punt.cdb[0] ?? 0)) this.room.onPunt(punt);
    else
      answerPunt(plane, punt, {
        type: typeOf(path.device),
        mayWrite: !path.verdict.writeProtected,
        standing: this.room.arbiter.standing(path.device, nexus),
      });
  }

  onNote(note: PlaneNote): void {
    if (note.kind === "refused") {
      const device = note.lun === undefined ? undefined : this.#deviceAt(note.nexus, note.lun);
      const command = commandName(note.opcode, device === undefined ? undefined : this.#options.typeOf(device));
      this.#count(note.nexus, note.lun, note.why, command, note.count);
    }
    this.#options.copies().onNote(note);
    this.room.onNote(note);
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
  }

  /** tell: the initiator has seen the paths as they were. */
  #compile(kept: Kept, tell: boolean, only?: string): void {
    const { plane } = this.#options;
    const { nexus, luns } = kept.session;
    const concerned = new Set(luns.map(({ device }) => device).filter((device) => (only ?? device) === device));
    const verdicts = new Map([...concerned].map((device) => [device, this.#verdict(kept, device)]));
    let inventory = this.#clearLost(kept, verdicts);
    for (const { lun, device, unit } of luns) {
      const verdict = verdicts.get(device);
      const before = kept.paths.get(lun);
      if (verdict === undefined || verdict.gate === 0 || (before !== undefined && sameVerdict(before.verdict, verdict)))
        continue;
      if (lun === 0 && kept.place) {
        // The command that brought the key is still to be answered, on the path that would go.
        if (this.#inband.isBusy(nexus)) continue;
        kept.place = false;
      }
      kept.paths.set(lun, { device, unit, verdict });
      plane.setPath(nexus, lun, unit, verdict);
      if (before === undefined) inventory = true;
      else if (before.verdict.gate !== verdict.gate) this.#rightsChanged(nexus, lun, unit, before.verdict, verdict);
    }
    this.#place(kept);
    if (!tell || !inventory) return;
    const told = kept.place ? [0, ...kept.paths.keys()] : kept.paths.keys();
    for (const lun of told) plane.attention(nexus, lun, ...REPORTED_LUNS_CHANGED);
  }

  /** Once, after however many. */
  #compiled(): void {
    this.#options.onPaths();
    this.#options.copies().judge();
    this.#wake();
  }

  /** Whether there was any. What runs on such a path is aborted with it. */
  #clearLost(kept: Kept, verdicts: ReadonlyMap<string, PathVerdict>): boolean {
    const { nexus, luns } = kept.session;
    let lost = false;
    for (const [lun, path] of [...kept.paths]) {
      const entry = luns.find((one) => one.lun === lun && one.device === path.device && one.unit === path.unit);
      // Without a verdict here it was not asked about.
      if (entry !== undefined && verdicts.get(entry.device)?.gate !== 0) continue;
      kept.paths.delete(lun);
      this.#options.plane.clearPath(nexus, lun);
      lost = true;
    }
    return lost;
  }

  #place(kept: Kept): void {
    if (kept.place || kept.paths.has(0)) return;
    this.#options.plane.setPath(kept.session.nexus, 0, NO_UNIT, PLACE);
    kept.place = true;
  }

  /** What keys no longer allow does not go on either. A write privilege that moves lets what runs end. */
  #rightsChanged(nexus: number, lun: number, unit: number, before: PathVerdict, after: PathVerdict): void {
    const { plane, log } = this.#options;
    plane.attention(nexus, lun, ...MODE_PARAMETERS_CHANGED);
    if ((before.keyGate & ~after.keyGate) === 0) return;
    plane.abort(unit, { nexus, status: STATUS.TASK_ABORTED }).catch((error: unknown) => {
      log.warn({ nexus, lun, error }, "commands whose key was taken back could not be aborted");
    });
  }

  /**
   * While the clock is not trusted nobody comes in: whether a key is in force cannot be told. Who is in was let in under
   * a trusted clock, and that goes on by the monotonic one.
   */
  #grant({ session, paths }: Kept, device: string): ServerGrant {
    const { grants, time, typeOf } = this.#options;
    const isIn = [...paths.values()].some((path) => path.device === device);
    if (time.fault() !== undefined && !isIn) return { rights: new Map() };
    return grants.of(nameOf(session), device, typeOf(device), time.nowMs());
  }

  #verdict(kept: Kept, device: string): PathVerdict {
    const { clock, time, typeOf, mayWrite } = this.#options;
    const type = typeOf(device);
    const { nexus } = kept.session;
    const text = this.room.textOf(nexus);
    const grant = this.#grant(kept, device);
    if (grant.changesMs === undefined) kept.changesMs.delete(device);
    else kept.changesMs.set(device, grant.changesMs);
    return verdictOf({
      type,
      rights: text === undefined ? new Map() : grant.rights,
      mayWrite: mayWrite(device, nameOf(kept.session)),
      reservation: text === undefined ? 0 : this.room.arbiter.mask(device, text, reservationClasses(type)),
      nowMs: time.nowMs(),
      monotonicMs: clock.monotonicMs(),
    });
  }

  /** Sleeps until the first key of anybody here ends or begins; no longer, for the wall clock may be set. */
  #wake(): void {
    const { time, timers } = this.#options;
    this.#timer?.();
    this.#timer = undefined;
    if (this.#kept.size === 0) return;
    let changesMs = Number.POSITIVE_INFINITY;
    for (const kept of this.#kept.values()) changesMs = Math.min(changesMs, nextOf(kept));
    const untilMs = changesMs - time.nowMs();
    const waitMs = Math.max(0, Math.min(untilMs > EARLY_MS ? untilMs - EARLY_MS : untilMs, LOOK_AGAIN_MS));
    this.#timer = timers.after(waitMs, () => this.#due());
  }

  /** Whose keys end or begin now; everybody when the clock is trusted again, or no more. */
  #due(): void {
    const { time } = this.#options;
    const trusted = time.fault() === undefined;
    const all = trusted !== this.#trusted;
    this.#trusted = trusted;
    const nowMs = time.nowMs();
    const due = [...this.#kept.values()].filter((kept) => all || nextOf(kept) - EARLY_MS <= nowMs);
    for (const kept of due) this.#compile(kept, true);
    if (due.length > 0) this.#compiled();
    else this.#wake();
  }

  #deviceAt(nexus: number | undefined, lun: number): string | undefined {
    const session = nexus === undefined ? undefined : this.#kept.get(nexus)?.session;
    return session?.luns.find((entry) => entry.lun === lun)?.device;
  }

  #count(nexus: number | undefined, lun: number | undefined, why: string, command: string, count: bigint): void {
    const session = nexus === undefined ? undefined : this.#kept.get(nexus)?.session;
    const device = lun === undefined ? undefined : this.#deviceAt(nexus, lun);
    this.#options.refusals.note({
      initiator: session === undefined ? "several" : nameOf(session),
      device: device ?? (lun === undefined ? "several" : `LUN ${lun}`),
      why,
      command,
      count,
      holder: why === "reserved" && device !== undefined ? this.room.arbiter.holder(device) : undefined,
    });
  }
}
