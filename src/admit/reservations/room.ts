// The arbiter among the sessions: knows who is logged in and which LUNs lead where, so that the keeper of paths needs
// to tell it only what it is told itself.
import type { PlaneNote, Punt } from "../../plane.js";
import type { InitiatorPort } from "../../wire/transport-id.js";
import { Arbiter } from "./arbiter.js";
import type { ArbiterOptions, ArbiterPath, ArbiterPaths, UnitFacts } from "./arbiter-options.js";
import { type NexusText, nexusText } from "./state.js";

/** A session as far as reservations go. */
export interface ReservingSession {
  readonly nexus: number;
  readonly initiator: InitiatorPort;
  /** Relative target port identifier. */
  readonly port: number;
  readonly luns: readonly { readonly lun: number; readonly device: string; readonly unit: number }[];
}

export interface ReservationRoomOptions extends Omit<ArbiterOptions, "paths"> {
  /** Peripheral device type of a device. */
  readonly deviceType: (device: string) => number;
  /** Compiles the verdicts of a device anew and sets them before it returns. */
  readonly changed: (device: string) => void;
}

interface Seat {
  readonly text: NexusText;
  readonly session: ReservingSession;
}

/** SAM-5 7: the one task management function that resets no unit; the plane tells of no other that resets none. */
const IT_NEXUS_RESET = 0x10;

export class ReservationRoom {
  readonly arbiter: Arbiter;
  readonly #seats = new Map<number, Seat>();
  readonly #options: ReservationRoomOptions;
  /** Target ports that were seen with a device: a registration through all of them needs to know which they are. */
  readonly #ports = new Map<string, Set<number>>();

  constructor(options: ReservationRoomOptions) {
    this.#options = options;
    this.arbiter = new Arbiter({ ...options, paths: this.#paths() });
  }

  /** Before the paths of the session are set: its masks are asked for next. */
  opened(session: ReservingSession): void {
    this.#seats.set(session.nexus, { session, text: nexusText(session.initiator, session.port) });
    for (const { device } of session.luns) {
      this.#ports.set(device, (this.#ports.get(device) ?? new Set<number>()).add(session.port));
    }
  }

  /** RESERVE ends with the session, also when the nexus is back already: reinstatement is a nexus loss (RFC 7143 6.3.5). */
  closed(nexus: number): void {
    this.#lost(nexus);
    this.#seats.delete(nexus);
  }

  /** The text that mask() wants; undefined: no such session. */
  textOf(nexus: number): NexusText | undefined {
    return this.#seats.get(nexus)?.text;
  }

  onPunt(punt: Punt): void {
    void this.arbiter.punt(punt);
  }

  onNote(note: PlaneNote): void {
    if (note.kind !== "reset") return;
    if (note.function === IT_NEXUS_RESET) {
      this.#lost(note.nexus);
      return;
    }
    const device = this.#unit(note.unit)?.device;
    if (device !== undefined) void this.arbiter.unitReset(device);
  }

  #lost(nexus: number): void {
    const seat = this.#seats.get(nexus);
    if (seat === undefined) return;
    for (const { device } of seat.session.luns) void this.arbiter.nexusLost(device, seat.text);
  }

  #paths(): ArbiterPaths {
    return {
      nexusText: (nexus) => this.textOf(nexus),
      unit: (unit) => this.#unit(unit),
      pathsTo: (device) => this.#pathsTo(device),
      targetPorts: (device) => [...(this.#ports.get(device) ?? [])].sort((a, b) => a - b),
      changed: (device) => this.#options.changed(device),
    };
  }

  #unit(unit: number): UnitFacts | undefined {
    for (const { session } of this.#seats.values()) {
      const found = session.luns.find((entry) => entry.unit === unit);
      if (found !== undefined) return { device: found.device, deviceType: this.#options.deviceType(found.device) };
    }
    return undefined;
  }

  #pathsTo(device: string): readonly ArbiterPath[] {
    return [...this.#seats.values()].flatMap(({ text, session }) =>
      session.luns
        .filter((entry) => entry.device === device)
        .map(({ lun, unit }) => ({ nexus: session.nexus, lun, unit, text })),
    );
  }
}
