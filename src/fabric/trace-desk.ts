// Traces of commands, of servers and of the bridge's own (copy jobs): who or what is recorded and until when, and the last
// of what was. The data plane knows nexuses and units by numbers that come and go; names of initiators and devices stay.
import type { OwnCommands } from "../device/own-commands.js";
import type { TraceFilter, TraceRecord } from "../native/records.js";
import type { Clock, Timers } from "../sys/clock.js";
import { GantryError } from "../sys/errors.js";

/** Kept for whoever looks; the data plane holds as many that were not taken yet. */
const KEPT = 4096;
/** How often the data plane is asked: before it has no more room at some thousand commands in a second. */
const TAKE_MS = 100;
const MOST = 8;
const FILTERS_MAX = 64;

export interface TraceSource {
  sessions(): readonly { readonly nexus: number; readonly initiator: string; readonly peer: string }[];
  units(): readonly { readonly device: string; readonly unit: number }[];
  /** Nothing when there is no data plane. */
  trace(filters: readonly TraceFilter[]): void;
  takeTrace(): { readonly records: readonly TraceRecord[]; readonly lost: bigint };
}

export interface TraceDeskOptions {
  readonly source: TraceSource;
  /** What the bridge itself sends to devices. */
  readonly own: Pick<OwnCommands, "record" | "take">;
  readonly isDevice: (name: string) => boolean;
  readonly clock: Clock;
  readonly timers: Timers;
  /** CLOCK_MONOTONIC in nanoseconds, of which records tell. */
  readonly nowNs: () => bigint;
}

export interface TraceFacts {
  readonly what: string;
  readonly kind: "device" | "initiator";
  readonly untilMs: number;
  /** I_T nexuses that it is about now. */
  readonly nexuses: number;
}

/** A command with names. */
export interface TracedCommand extends Omit<TraceRecord, "beganNs" | "endedNs" | "nexus" | "lun"> {
  readonly serial: number;
  /** With `lun`, of a server's command; absent: the bridge sent it itself. */
  readonly nexus?: number;
  readonly lun?: number;
  /** Of the wall clock, with microseconds after the point. */
  readonly beganMs: number;
  readonly tookUs: number;
  /** "" where the nexus is gone already, and of the bridge's own. */
  readonly initiator: string;
  readonly peer: string;
  readonly device: string;
}

const NOBODY = { initiator: "", peer: "" } as const;

/** iSCSI names, and names of ports in the ways that fabrics write them. */
const INITIATOR = /^((iqn|eui|naa)\.|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){7}$)/;

export class TraceDesk {
  readonly #options: TraceDeskOptions;
  /** What is recorded, and until when by the monotonic clock. */
  readonly #traces = new Map<string, { readonly kind: TraceFacts["kind"]; readonly untilMs: number }>();
  readonly #names = new Map<number, { readonly initiator: string; readonly peer: string }>();
  #commands: TracedCommand[] = [];
  #serial = 0;
  #lost = 0n;
  #recording = false;
  #timer: (() => void) | undefined;

  constructor(options: TraceDeskOptions) {
    this.#options = options;
  }

  /** @throws GantryError DEVICE_UNKNOWN, TRACE_FULL */
  on(what: string, seconds: number): TraceFacts {
    const { isDevice, clock, source } = this.#options;
    const kind = isDevice(what) ? "device" : "initiator";
    const isInitiator = INITIATOR.test(what) || source.sessions().some(({ initiator }) => initiator === what);
    if (kind === "initiator" && !isInitiator)
      throw new GantryError(
        "DEVICE_UNKNOWN",
        `"${what.slice(0, 80)}" is no device of this bridge and no initiator's name.`,
      );
    if (this.#traces.size >= MOST && !this.#traces.has(what))
      throw new GantryError("TRACE_FULL", `${MOST} traces are on; end one of them first.`);
    this.#traces.set(what, { kind, untilMs: clock.monotonicMs() + seconds * 1000 });
    this.#look();
    return this.#facts(what);
  }

  /** Undefined: all. @throws GantryError DEVICE_UNKNOWN when it is not recorded */
  off(what: string | undefined): void {
    this.#look();
    if (what === undefined) this.#traces.clear();
    else if (!this.#traces.delete(what))
      throw new GantryError("DEVICE_UNKNOWN", `"${what.slice(0, 80)}" is not being recorded.`);
    this.#look();
  }

  list(): readonly TraceFacts[] {
    this.#look();
    return [...this.#traces.keys()].map((what) => this.#facts(what));
  }

  /** Those after a serial number; lost: how many there was no room for, ever. */
  commands(after: number): { readonly commands: readonly TracedCommand[]; readonly lost: bigint } {
    this.#look();
    return { commands: this.#commands.filter(({ serial }) => serial > after), lost: this.#lost };
  }

  stop(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#traces.clear();
  }

  #facts(what: string): TraceFacts {
    const { clock } = this.#options;
    const { kind = "device", untilMs = 0 } = this.#traces.get(what) ?? {};
    const { source } = this.#options;
    const nexuses =
      kind === "device"
        ? source.sessions().length
        : source.sessions().filter(({ initiator }) => initiator === what).length;
    return { what, kind, untilMs: Math.round(clock.nowMs() + untilMs - clock.monotonicMs()), nexuses };
  }

  /** Takes what there is, forgets what is over, and tells the data plane which numbers are meant now. */
  #look(): void {
    const { clock, timers, source, own } = this.#options;
    for (const { nexus, initiator, peer } of source.sessions()) this.#names.set(nexus, { initiator, peer });
    this.#take();
    for (const [what, { untilMs }] of this.#traces) if (clock.monotonicMs() >= untilMs) this.#traces.delete(what);
    // Each time: a reload may have made another data plane, which knows nothing of it.
    const filters = this.#meant();
    const devices = [...this.#traces].flatMap(([what, { kind }]) => (kind === "device" ? [what] : []));
    const recording = filters.length > 0 || devices.length > 0;
    if (recording || this.#recording) {
      source.trace(filters);
      own.record(devices);
    }
    this.#recording = recording;
    this.#timer?.();
    this.#timer = undefined;
    if (this.#traces.size > 0) this.#timer = timers.after(TAKE_MS, () => this.#look());
    else this.#forgetNames();
  }

  #meant(): readonly TraceFilter[] {
    const { source } = this.#options;
    const [sessions, units] = [source.sessions(), source.units()];
    return [...this.#traces]
      .flatMap(([what, { kind }]): TraceFilter[] =>
        kind === "device"
          ? units.filter(({ device }) => device === what).map(({ unit }) => ({ unit }))
          : sessions.filter(({ initiator }) => initiator === what).map(({ nexus }) => ({ nexus })),
      )
      .slice(0, FILTERS_MAX);
  }

  #take(): void {
    const { source, own, clock, nowNs } = this.#options;
    const [servers, ours] = [source.takeTrace(), own.take()];
    this.#lost += servers.lost + ours.lost;
    if (servers.records.length + ours.commands.length === 0) return;
    const [wallMs, ns] = [clock.nowMs(), nowNs()];
    const devices = new Map(source.units().map(({ unit, device }) => [unit, device]));
    const named = [
      ...servers.records.map((record) => ({
        ...record,
        ...(this.#names.get(record.nexus) ?? NOBODY),
        device: record.unit === undefined ? "" : (devices.get(record.unit) ?? ""),
      })),
      ...ours.commands.map((command) => ({ ...command, ...NOBODY })),
    ].sort((a, b) => (a.endedNs < b.endedNs ? -1 : a.endedNs > b.endedNs ? 1 : 0));
    for (const { beganNs, endedNs, ...command } of named)
      this.#commands.push({
        ...command,
        serial: ++this.#serial,
        beganMs: wallMs - Number((ns - beganNs) / 1000n) / 1000,
        tookUs: Number((endedNs - beganNs) / 1000n),
      });
    if (this.#commands.length > KEPT) this.#commands = this.#commands.slice(-KEPT);
  }

  #forgetNames(): void {
    const there = new Set(this.#options.source.sessions().map(({ nexus }) => nexus));
    for (const nexus of this.#names.keys()) if (!there.has(nexus)) this.#names.delete(nexus);
  }
}
