// The one table of operation codes: what each command is, which right it needs, how reservations treat it, and who
// carries it out. The rows are in the files beside, one for each standard; every field of a row is required, so that a
// command cannot get in without a class. An opcode without a row is refused, whatever key and device.
//
// Third-party copies are punted and never passed on: a device would move data past the gate, so the bridge is the copy
// manager itself. Not in the table, so refused: WRITE BUFFER and ATA PASS-THROUGH (firmware), CHANGE ALIASES, SET TARGET
// PORT GROUPS, obsolete and vendor-specific codes.
import type { ClassRow } from "../plane.js";
import type { DeviceClass, Right } from "./key.js";
import { SBC_ROWS } from "./opcodes-sbc.js";
import { SMC_ROWS } from "./opcodes-smc.js";
import { SPC_ROWS } from "./opcodes-spc.js";
import { SSC_ROWS } from "./opcodes-ssc.js";
import type { ReservationClass } from "./reservations/classes.js";

/** What a key must give: any right at all, one of several, or nothing ever suffices on that type of device. */
type Need = "any" | "never" | readonly Right[];

interface CommandClass {
  /** Bit in the data plane's masks. */
  readonly bit: number;
  readonly need: Readonly<Record<DeviceClass, Need>>;
  readonly reservation: Readonly<Record<DeviceClass, ReservationClass>>;
}

const everywhere = <T>(value: T): Record<DeviceClass, T> => ({ disk: value, tape: value, changer: value });

const READ: Need = ["read"];
const WRITE: Need = ["write"];
const EITHER: Need = ["read", "write"];
const MEDIA: Need = ["media-control"];

/**
 * One opcode means different commands on different devices (08h is READ(6) of disks and of tapes, 91h SYNCHRONIZE
 * CACHE(16) and SPACE(16)), and the data plane knows one class for each; so a class says for every type of device what
 * it needs and how reservations treat it.
 */
export const COMMAND_CLASSES = {
  /** Harms nobody: INQUIRY, REPORT LUNS, REQUEST SENSE, LOG SENSE, READ CAPACITY. */
  identify: { bit: 0, need: everywhere("any"), reservation: everywhere("always") },
  status: { bit: 1, need: everywhere("any"), reservation: everywhere("status") },
  /** Looks at the device: MODE SENSE, REPORT SUPPORTED OPERATION CODES, READ ATTRIBUTE. */
  inspect: { bit: 2, need: everywhere("any"), reservation: everywhere("read") },
  /** READ and VERIFY that disks and tapes share; on a tape they take the position from under the holder. */
  read: {
    bit: 3,
    need: { disk: READ, tape: READ, changer: "never" },
    reservation: { disk: "read", tape: "change", changer: "change" },
  },
  /** READ, VERIFY and the like that only disks have. */
  "disk-read": {
    bit: 4,
    need: { disk: READ, tape: "never", changer: "never" },
    reservation: { disk: "read", tape: "change", changer: "change" },
  },
  /** Moves a tape without changing it; SYNCHRONIZE CACHE, which stores what was acknowledged. */
  position: { bit: 5, need: { disk: EITHER, tape: EITHER, changer: MEDIA }, reservation: everywhere("change") },
  /** WRITE and what changes the medium, that disks and tapes share or only tapes have. */
  write: { bit: 6, need: { disk: WRITE, tape: WRITE, changer: "never" }, reservation: everywhere("change") },
  "disk-write": { bit: 7, need: { disk: WRITE, tape: "never", changer: "never" }, reservation: everywhere("change") },
  /** MODE SELECT, LOG SELECT: a tape's block size is whoever uses it, a disk's pages concern all of its users. */
  configure: { bit: 8, need: { disk: WRITE, tape: EITHER, changer: MEDIA }, reservation: everywhere("change") },
  /** 34h: PRE-FETCH(10) of disks, READ POSITION of tapes. 37h: READ DEFECT DATA(10), and of changers a look around. */
  "look-ahead": {
    bit: 9,
    need: { disk: READ, tape: "any", changer: MEDIA },
    reservation: { disk: "read", tape: "status", changer: "change" },
  },
  /** PERSISTENT RESERVE IN. */
  "ask-reservation": { bit: 10, need: everywhere("any"), reservation: everywhere("arbiter") },
  /** RESERVE, RELEASE, PERSISTENT RESERVE OUT. */
  reserve: { bit: 11, need: everywhere(["exclusive"]), reservation: everywhere("arbiter") },
  /** 1Bh: START STOP UNIT, LOAD UNLOAD. */
  load: { bit: 12, need: everywhere(MEDIA), reservation: everywhere("arbiter") },
  /** PREVENT ALLOW MEDIUM REMOVAL: whoever uses a medium may hold it fast. */
  removal: {
    bit: 13,
    need: { disk: EITHER, tape: EITHER, changer: MEDIA },
    reservation: everywhere("arbiter"),
  },
  /** MOVE MEDIUM and what else moves cartridges. */
  move: { bit: 14, need: { disk: "never", tape: "never", changer: MEDIA }, reservation: everywhere("change") },
  /**
   * Judged by the supervisor alone. SECURITY PROTOCOL IN and OUT: keys are presented by them; what is not ours is judged
   * when it is passed on. Third-party copies: each device that a copy names is judged by itself.
   */
  supervisor: { bit: 15, need: everywhere("any"), reservation: everywhere("always") },
} as const satisfies Record<string, CommandClass>;

export type CommandClassName = keyof typeof COMMAND_CLASSES;

export interface OpcodeRow {
  readonly opcode: number;
  /** "all": whatever the service action. */
  readonly action: number | "all";
  /** What the command is called on each type of device that has it. */
  readonly names: Partial<Record<DeviceClass, string>>;
  readonly class: CommandClassName;
  readonly handling: ClassRow["handling"];
  /** Carried out with a unit attention pending (SAM-5 5.14.1). */
  readonly passesAttention: boolean;
  /** Changes the medium: DATA PROTECT for who may only read, and told to the readers of a shared volume. */
  readonly writes: boolean;
  /** May take long. */
  readonly slow: boolean;
  /** A punt that may be answered hours later. */
  readonly patient: boolean;
}

export const OPCODES: readonly OpcodeRow[] = [...SPC_ROWS, ...SBC_ROWS, ...SSC_ROWS, ...SMC_ROWS];

/** For the data plane. */
export const CLASS_ROWS: readonly ClassRow[] = OPCODES.map((row) => ({
  opcode: row.opcode,
  ...(row.action === "all" ? {} : { action: row.action }),
  class: COMMAND_CLASSES[row.class].bit,
  handling: row.handling,
  ...(row.passesAttention && { noAttention: true }),
  ...(row.writes && { writes: true }),
  ...(row.slow && { slow: true }),
  ...(row.patient && { patient: true }),
}));

const CLASSES: readonly CommandClass[] = Object.values(COMMAND_CLASSES).toSorted((a, b) => a.bit - b.bit);

/** Bits of classes; for Plane.drain and the like. */
export const maskOf = (...names: readonly CommandClassName[]): number =>
  names.reduce((mask, name) => mask | (1 << COMMAND_CLASSES[name].bit), 0);

const meets = (need: Need, rights: ReadonlySet<Right>): boolean =>
  need !== "never" && (need === "any" ? rights.size > 0 : need.some((right) => rights.has(right)));

/** The gate mask of a path: no right at all is no path. */
export function gateMask(type: DeviceClass, rights: ReadonlySet<Right>): number {
  return CLASSES.reduce((mask, { bit, need }) => (meets(need[type], rights) ? mask | (1 << bit) : mask), 0);
}

/** Reservation class by bit, for the arbiter's mask. */
export function reservationClasses(type: DeviceClass): readonly ReservationClass[] {
  return CLASSES.map(({ reservation }) => reservation[type]);
}

const ARBITRATED: ReadonlySet<number> = new Set(
  OPCODES.filter((row) => row.handling === "punt" && COMMAND_CLASSES[row.class].reservation.disk === "arbiter").map(
    ({ opcode }) => opcode,
  ),
);

/** Whether the arbiter judges the CDB, or carries the command out. */
export const isArbitrated = (opcode: number): boolean => ARBITRATED.has(opcode);

/** In words, for people who read of refusals. */
export function commandName(opcode: number, type: DeviceClass | undefined): string {
  const rows = OPCODES.filter((row) => row.opcode === opcode);
  const names = new Set(rows.flatMap(({ names: by }) => (type === undefined ? Object.values(by) : (by[type] ?? []))));
  const hex = `${opcode.toString(16).toUpperCase().padStart(2, "0")}h`;
  const [first] = names;
  return first === undefined || names.size > 1 ? `command ${hex}` : `${first} (${hex})`;
}
