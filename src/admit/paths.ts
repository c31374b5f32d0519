// The keeper of paths: for every LUN of every session one verdict, made of the keys that are granted to the initiator's
// name and of what reservations leave, and set in the data plane when it differs from what is set there. Deny by
// default: a LUN without a right has no path.
import type { Plane, PlaneNote, Punt, Verdict } from "../plane.js";
import type { Clock, Timers } from "../sys/clock.js";
import type { Logger } from "../sys/log.js";
import { LogLimit } from "../sys/log-limit.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { fixedSense } from "../wire/sense-encode.js";
import type { InitiatorPort } from "../wire/transport-id.js";
import type { DeviceClass, Right } from "./key.js";
import { commandName, gateMask, isArbitrated, reservationClasses } from "./opcodes.js";
import type { ReservationRoom } from "./reservations/room.js";
import type { ServerGrant, ServerGrants } from "./server-grants.js";
import type { TrustedTime } from "./trusted-clock.js";

/** SPC-4 annex D: what a server is told when its view of the bridge changes. */
const REPORTED_LUNS_CHANGED = [0x3f, 0x0e] as const;
const INVALID_OPCODE = 0x20;
/** MODE SENSE shows write protection or not. */
const MODE_PARAMETERS_CHANGED = [0x2a, 0x01] as const;
const LOG_PERIOD_MS = 60_000;
const LOOK_AGAIN_MS = 1000;

export interface KeptSession {
  readonly nexus: number;
  readonly initiator: InitiatorPort & { readonly name: string };
  /** Relative target port identifier. */
  readonly port: number;
  readonly luns: readonly { readonly lun: number; readonly device: string; readonly unit: number }[];
}

export interface Refusals {
  readonly initiator: string;
  readonly device: string;
  readonly why: string;
  /** The first of them. */
  readonly command: string;
  count: bigint;
  lastMs: number;
}

export interface PathsOptions {
  readonly plane: Pick<Plane, "setPath" | "clearPath" | "attention" | "abort" | "answer">;
  readonly grants: Pick<ServerGrants, "of">;
  readonly time: TrustedTime;
  readonly room: (changed: (device: string) => void) => ReservationRoom;
  readonly typeOf: (device: string) => DeviceClass;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Pick<Logger, "warn">;
}

interface Path {
  readonly device: string;
  readonly unit: number;
  readonly verdict: Verdict;
}

interface Kept {
  session: KeptSession;
  readonly paths: Map<number, Path>;
}

/** Kinds of refusals that are kept apart; more are in the log only. */
const REFUSALS_MAX = 1000;

export class PathKeeper {
  readonly room: ReservationRoom;
  readonly #options: PathsOptions;
  readonly #kept = new Map<number, Kept>();
  readonly #refusals = new Map<string, Refusals>();
  readonly #logged: LogLimit;
  #timer: (() => void) | undefined;

  constructor(options: PathsOptions) {
    this.#options = options;
    this.room = options.room((device) => this.#compileDevice(device));
    this.#logged = new LogLimit({
      clock: options.clock,
      lines: 20,
      periodMs: LOG_PERIOD_MS,
      onSkipped: (count) => options.log.warn({ count }, "more commands were refused than were logged"),
    });
  }

  opened(session: KeptSession): void {
    this.room.opened(session);
    const kept: Kept = { session, paths: new Map() };
    this.#kept.set(session.nexus, kept);
    this.#compile(kept, false);
    this.#wake();
  }

  mapped(session: KeptSession): void {
    const kept = this.#kept.get(session.nexus);
    if (kept === undefined) return;
    this.room.opened(session);
    kept.session = session;
    this.#compile(kept, true);
    this.#wake();
  }

  closed(nexus: number): void {
    this.room.closed(nexus);
    this.#kept.delete(nexus);
  }

  /** Keys of these initiators came or went; undefined: it is time, and everybody is judged again. */
  keysChanged(initiators?: ReadonlySet<string>): void {
    for (const kept of this.#kept.values())
      if (initiators?.has(kept.session.initiator.name) ?? true) this.#compile(kept, true);
    this.#wake();
  }

  onPunt(punt: Punt): void {
    if (isArbitrated(punt.cdb[0] ?? 0)) this.room.onPunt(punt);
    else
      this.#options.plane.answer(
        punt.id,
        STATUS.CHECK_CONDITION,
        fixedSense(SENSE_KEY.ILLEGAL_REQUEST, INVALID_OPCODE, 0),
      );
  }

  onNote(note: PlaneNote): void {
    if (note.kind === "refused") this.#refused(note);
    this.room.onNote(note);
  }

  /** Who was refused what, the latest last. */
  refusals(): readonly Refusals[] {
    return [...this.#refusals.values()].sort((a, b) => a.lastMs - b.lastMs);
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
  }

  #compileDevice(device: string): void {
    for (const kept of this.#kept.values())
      if (kept.session.luns.some((entry) => entry.device === device)) this.#compile(kept, true, device);
  }

  /** tell: the initiator has seen the paths as they were. */
  #compile(kept: Kept, tell: boolean, only?: string): void {
    const { plane } = this.#options;
    const { nexus, luns } = kept.session;
    let inventory = false;
    for (const [lun, path] of [...kept.paths]) {
      const entry = luns.find((one) => one.lun === lun && one.device === path.device && one.unit === path.unit);
      if (entry !== undefined && this.#verdict(kept, entry.device).gate !== 0) continue;
      kept.paths.delete(lun);
      plane.clearPath(nexus, lun);
      inventory = true;
    }
    for (const { lun, device, unit } of luns) {
      if (only !== undefined && device !== only) continue;
      const verdict = this.#verdict(kept, device);
      if (verdict.gate === 0) continue;
      const before = kept.paths.get(lun);
      if (before !== undefined && sameVerdict(before.verdict, verdict)) continue;
      kept.paths.set(lun, { device, unit, verdict });
      plane.setPath(nexus, lun, unit, verdict);
      if (before === undefined) inventory = true;
      else if (before.verdict.gate !== verdict.gate) this.#rightsChanged(nexus, lun, unit, before.verdict, verdict);
    }
    if (tell && inventory) for (const lun of kept.paths.keys()) plane.attention(nexus, lun, ...REPORTED_LUNS_CHANGED);
  }

  /** What a right was taken from does not go on either. */
  #rightsChanged(nexus: number, lun: number, unit: number, before: Verdict, after: Verdict): void {
    const { plane, log } = this.#options;
    plane.attention(nexus, lun, ...MODE_PARAMETERS_CHANGED);
    if ((before.gate & ~after.gate) === 0) return;
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
    return grants.of(session.initiator.name, device, typeOf(device), time.nowMs());
  }

  #verdict(kept: Kept, device: string): Verdict {
    const { clock, time, typeOf } = this.#options;
    const { rights } = this.#grant(kept, device);
    const type = typeOf(device);
    const nexus = this.room.textOf(kept.session.nexus);
    const held: ReadonlySet<Right> = new Set(rights.keys());
    return {
      gate: nexus === undefined ? 0 : gateMask(type, held),
      reservation: nexus === undefined ? 0 : this.room.arbiter.mask(device, nexus, reservationClasses(type)),
      visible: held.size > 0,
      writeProtected: !held.has("write"),
      // Whichever right ends first ends the verdict; what is left is judged by then.
      ...(held.size > 0 && {
        expiresMonotonicMs: clock.monotonicMs() + (Math.min(...rights.values()) - time.nowMs()),
      }),
    };
  }

  /** Sleeps until the first key of anybody here ends or begins. */
  #wake(): void {
    const { time, timers } = this.#options;
    this.#timer?.();
    this.#timer = undefined;
    if (this.#kept.size === 0) return;
    let changesMs = Number.POSITIVE_INFINITY;
    for (const kept of this.#kept.values())
      for (const { device } of kept.session.luns)
        changesMs = Math.min(changesMs, this.#grant(kept, device).changesMs ?? changesMs);
    // The wall clock may be set, or become trusted, at any time.
    const waitMs = Math.max(0, Math.min(changesMs - time.nowMs(), LOOK_AGAIN_MS));
    this.#timer = timers.after(waitMs, () => this.keysChanged());
  }

  #refused(note: Extract<PlaneNote, { kind: "refused" }>): void {
    const { clock, log } = this.#options;
    const session = note.nexus === undefined ? undefined : this.#kept.get(note.nexus)?.session;
    const initiator = session?.initiator.name ?? "several";
    const entry = session?.luns.find(({ lun }) => lun === note.lun);
    const device = entry?.device ?? `LUN ${note.lun ?? "?"}`;
    const command = commandName(note.opcode, entry === undefined ? undefined : this.#options.typeOf(entry.device));
    const key = `${initiator}\n${device}\n${note.why}`;
    const known = this.#refusals.get(key) ?? { initiator, device, why: note.why, command, count: 0n, lastMs: 0 };
    known.count += note.count;
    known.lastMs = clock.nowMs();
    if (this.#refusals.has(key) || this.#refusals.size < REFUSALS_MAX) this.#refusals.set(key, known);
    const holder = note.why === "reserved" ? this.room.arbiter.holder(device) : undefined;
    if (this.#logged.take())
      log.warn({ initiator, device, why: note.why, command, count: note.count, holder }, "a command was refused");
  }
}

/** The end of a key moves by less than a millisecond from reckoning to reckoning. */
function sameVerdict(a: Verdict, b: Verdict): boolean {
  const [endA, endB] = [
    a.expiresMonotonicMs ?? Number.POSITIVE_INFINITY,
    b.expiresMonotonicMs ?? Number.POSITIVE_INFINITY,
  ];
  return (
    a.gate === b.gate &&
    a.reservation === b.reservation &&
    a.visible === b.visible &&
    a.writeProtected === b.writeProtected &&
    (endA === endB || Math.abs(endA - endB) < 2)
  );
}
