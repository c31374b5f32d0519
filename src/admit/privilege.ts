// Who may write on a disk that servers share: of all whose keys let them write, one. The one who has the privilege keeps
// it while its keys last; without one it goes to the key that was issued first; the broker's word moves it. It changes
// hands at a command boundary: whoever had it reads only from then on, what it was writing ends, the disk's cache is
// emptied, and only then does the next one write. At no moment are there two.
import type { Clock, Timers } from "../sys/clock.js";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import type { Store } from "../sys/store.js";
import { byAge, oldest } from "./privilege-order.js";
import { loadPrivileges, type PrivilegeRecord, packPrivilege, privilegeKey } from "./privilege-records.js";
import type { ServerGrants } from "./server-grants.js";
import type { TrustedTime } from "./trusted-clock.js";

/** The wall clock may be set at any time. */
const LOOK_AGAIN_MS = 1000;
/** Ten thousand keys may end at once, and whoever else has something to do is not to wait for that. */
const SLICE_MS = 10;
export const WAITING_MAX = 100;

export interface PrivilegeFacts {
  readonly device: string;
  /** Absent: nobody may write now. */
  readonly writer?: string;
  readonly sinceMs?: number;
  /** Others whose keys let them write, the oldest key first; at most WAITING_MAX. */
  readonly waiting: readonly string[];
  /** It is changing hands; nobody writes. */
  readonly moving: boolean;
}

export interface PrivilegeOptions {
  readonly grants: Pick<ServerGrants, "of" | "names">;
  /** Disks with one writer. */
  readonly devices: readonly string[];
  readonly store: Store;
  readonly time: TrustedTime;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Pick<Logger, "error">;
  /** Resolves when no write of a server runs on the disk and its cache is on stable storage. */
  readonly settle: (device: string) => Promise<void>;
  /** Compiles the paths of a disk anew before it returns. */
  readonly changed: (device: string) => void;
  /** Told to the broker. */
  readonly onChange: (facts: PrivilegeFacts, why: string) => void;
}

interface Shared {
  /** Whose keys let them write → when the oldest such key was issued. */
  readonly candidates: Map<string, number>;
  /** When time alone changes what an initiator may do. */
  readonly changesMs: Map<string, number>;
  holds: PrivilegeRecord | undefined;
  moving: boolean;
  turn: Promise<unknown>;
}

export class WritePrivileges {
  readonly #options: PrivilegeOptions;
  readonly #shared = new Map<string, Shared>();
  /** Initiators whose keys changed and were not looked at yet: until they are, nobody new gets a privilege. */
  readonly #behind = new Set<string>();
  #nextMs = Number.POSITIVE_INFINITY;
  #timer: (() => void) | undefined;
  #slice: (() => void) | undefined;

  constructor(options: PrivilegeOptions) {
    this.#options = options;
  }

  /** Reads who had the privileges, and whose keys are installed. Before any session gets a path. */
  start(): void {
    const stored = loadPrivileges(this.#options.store);
    for (const device of this.#options.devices) {
      const holds = stored.get(device);
      this.#shared.set(device, {
        candidates: new Map(),
        changesMs: new Map(),
        holds,
        moving: false,
        turn: Promise.resolve(),
      });
    }
    this.keysChanged(new Set(this.#options.grants.names()));
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#slice?.();
    this.#slice = undefined;
    this.#behind.clear();
  }

  /** Constant time; asked for every path. Says nothing about keys. */
  mayWrite(device: string, initiator: string): boolean {
    const shared = this.#shared.get(device);
    return shared === undefined || (!shared.moving && shared.holds?.writer === initiator);
  }

  list(): readonly PrivilegeFacts[] {
    return [...this.#shared.keys()].map((device) => this.#facts(device)).filter(isOfInterest);
  }

  /** Keys of these initiators came or went. Those who have a privilege are judged at once, of others a slice at a time. */
  keysChanged(initiators: ReadonlySet<string>): void {
    const nowMs = this.#options.time.nowMs();
    for (const initiator of initiators) this.#behind.add(initiator);
    for (const [device, shared] of this.#shared) {
      const writer = shared.holds?.writer;
      if (writer !== undefined && this.#behind.has(writer)) this.#look(device, shared, writer, nowMs);
    }
    this.#goOn();
  }

  #goOn(): void {
    const { time, clock, timers } = this.#options;
    const nowMs = time.nowMs();
    const untilMs = clock.monotonicMs() + SLICE_MS;
    for (const initiator of this.#behind) {
      this.#behind.delete(initiator);
      for (const [device, shared] of this.#shared) this.#look(device, shared, initiator, nowMs);
      if (clock.monotonicMs() >= untilMs) break;
    }
    if (this.#behind.size > 0) {
      this.#slice ??= timers.after(0, () => {
        this.#slice = undefined;
        this.#goOn();
      });
      return;
    }
    for (const [device, shared] of this.#shared) this.#judge(device, shared);
    this.#wake();
  }

  /**
   * Resolves when it is on stable storage and in force. The same again changes nothing.
   * @throws GantryError PRIVILEGE_NOT_SHARED, PRIVILEGE_HOLDER_WRONG, PRIVILEGE_NO_KEY, PRIVILEGE_NOT_MOVED
   */
  move(device: string, from: string, to: string): Promise<PrivilegeFacts> {
    const shared = this.#shared.get(device);
    if (shared === undefined)
      return Promise.reject(
        new GantryError("PRIVILEGE_NOT_SHARED", `${device} is no disk with one writer among several servers.`),
      );
    return this.#inTurn(shared, async () => {
      if (shared.holds?.writer === to) return this.#facts(device);
      this.#check(device, shared, from, to);
      try {
        await this.#handOver(device, shared, to);
      } finally {
        this.#judge(device, shared);
      }
      this.#options.onChange(this.#facts(device), `moved from ${from} to ${to}`);
      return this.#facts(device);
    });
  }

  #check(device: string, shared: Shared, from: string, to: string): void {
    const writer = shared.holds?.writer;
    if (writer !== from)
      throw new GantryError(
        "PRIVILEGE_HOLDER_WRONG",
        `${from} does not have the write privilege of ${device}; ${writer ?? "nobody"} has it.`,
        { details: { device, ...(writer === undefined ? {} : { writer }) } },
      );
    this.#look(device, shared, to, this.#options.time.nowMs());
    if (shared.candidates.has(to)) return;
    throw new GantryError("PRIVILEGE_NO_KEY", `${to} has no key in force that lets it write on ${device}.`, {
      details: { device },
    });
  }

  /** The old one is stopped first, in memory; the new one writes when it is stored. What fails leaves it where it was. */
  async #handOver(device: string, shared: Shared, to: string): Promise<void> {
    const { settle, changed, store, clock } = this.#options;
    const holds: PrivilegeRecord = { writer: to, sinceMs: clock.nowMs() };
    shared.moving = true;
    changed(device);
    try {
      await settle(device);
      // Keys may have gone meanwhile.
      this.#look(device, shared, to, this.#options.time.nowMs());
      if (!shared.candidates.has(to))
        throw new GantryError("PRIVILEGE_NO_KEY", `The key of ${to} ended before it could write on ${device}.`);
      await store.put(privilegeKey(device), packPrivilege(holds));
      shared.holds = holds;
    } catch (error) {
      if (isGantryError(error) && error.code === "PRIVILEGE_NO_KEY") throw error;
      throw new GantryError(
        "PRIVILEGE_NOT_MOVED",
        `The write privilege of ${device} stays where it was: ${messageOf(error)}`,
        { cause: error, details: { device } },
      );
    } finally {
      shared.moving = false;
      changed(device);
    }
  }

  /** What one initiator's keys say of one disk now. */
  #look(device: string, { candidates, changesMs }: Shared, initiator: string, nowMs: number): void {
    const grant = this.#options.grants.of(initiator, device, "disk", nowMs);
    if (grant.writeSinceMs === undefined) candidates.delete(initiator);
    else candidates.set(initiator, grant.writeSinceMs);
    if (grant.changesMs === undefined) changesMs.delete(initiator);
    else changesMs.set(initiator, grant.changesMs);
    this.#nextMs = Math.min(this.#nextMs, grant.changesMs ?? this.#nextMs);
  }

  /** Whoever has it keeps it; without one it goes to the oldest key. */
  #judge(device: string, shared: Shared): void {
    const { holds, moving, candidates } = shared;
    if (moving || this.#behind.size > 0 || (holds !== undefined && candidates.has(holds.writer))) return;
    const next = oldest(candidates);
    if (next === undefined) return;
    if (holds === undefined) this.#give(device, shared, next);
    else void this.#inTurn(shared, () => this.#succeed(device, shared, holds.writer));
  }

  /** Nobody had it, so nothing has to end first. */
  #give(device: string, shared: Shared, writer: string): void {
    const { clock, store, log, changed, onChange } = this.#options;
    shared.holds = { writer, sinceMs: clock.nowMs() };
    // Not waited for: it was promised to nobody, and after a loss of power whoever has the oldest key gets it.
    store.put(privilegeKey(device), packPrivilege(shared.holds)).catch((error: unknown) => {
      log.error({ device, writer, error }, "who writes on a disk could not be stored");
    });
    changed(device);
    onChange(this.#facts(device), "its key is the oldest");
  }

  /** The keys of the one who had it ended. */
  async #succeed(device: string, shared: Shared, lost: string): Promise<void> {
    const next = oldest(shared.candidates);
    if (shared.holds?.writer !== lost || shared.candidates.has(lost) || next === undefined) return;
    try {
      await this.#handOver(device, shared, next);
      this.#options.onChange(this.#facts(device), `the key of ${lost} ended`);
      this.#judge(device, shared);
    } catch (error) {
      this.#options.log.error({ device, lost, next, error }, "the write privilege of a disk found no new holder yet");
      this.#options.timers.after(LOOK_AGAIN_MS, () => this.#judge(device, shared));
    }
  }

  #facts(device: string): PrivilegeFacts {
    const shared = this.#shared.get(device);
    if (shared === undefined) return { device, waiting: [], moving: false };
    const { holds, candidates, moving } = shared;
    const has = holds !== undefined && candidates.has(holds.writer);
    return {
      device,
      ...(has ? { writer: holds.writer, sinceMs: holds.sinceMs } : {}),
      waiting: byAge(candidates)
        .filter((name) => name !== holds?.writer)
        .slice(0, WAITING_MAX),
      moving,
    };
  }

  /** Keys begin and end by themselves. */
  #wake(): void {
    const { time, timers } = this.#options;
    this.#timer?.();
    this.#timer = undefined;
    if (this.#nextMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.max(0, Math.min(this.#nextMs - time.nowMs(), LOOK_AGAIN_MS));
    this.#timer = timers.after(waitMs, () => this.#due());
  }

  #due(): void {
    const nowMs = this.#options.time.nowMs();
    if (nowMs < this.#nextMs) {
      this.#wake();
      return;
    }
    this.#nextMs = Number.POSITIVE_INFINITY;
    const due = new Set<string>();
    for (const { changesMs } of this.#shared.values()) {
      for (const [initiator, atMs] of changesMs) {
        if (nowMs >= atMs) due.add(initiator);
        else this.#nextMs = Math.min(this.#nextMs, atMs);
      }
    }
    this.keysChanged(due);
  }

  #inTurn<T>(shared: Shared, work: () => Promise<T>): Promise<T> {
    const turn = shared.turn.then(work);
    shared.turn = turn.catch(() => undefined);
    return turn;
  }
}

const isOfInterest = ({ writer, waiting }: PrivilegeFacts): boolean => writer !== undefined || waiting.length > 0;
