// How a command fares when another nexus has reserved the unit. The tables of SPC-4 5.13.1 (table 66), SBC-3 4.17,
// SSC-4 4.2.20, SMC-3 4.10 and, for RESERVE and RELEASE, SPC-2 5.5.1 have few kinds of rows; a reservation class is
// one of them. Every row of the opcode table names its class; there is none for "not said", and an opcode that no
// table knows is refused before this is asked.

export const RESERVATION_CLASSES = ["always", "status", "read", "change", "arbiter"] as const;

/**
 * - `always`: allowed whoever reserved: INQUIRY, REPORT LUNS, REQUEST SENSE, LOG SENSE, READ CAPACITY, REPORT
 *   TARGET PORT GROUPS, RECEIVE COPY RESULTS, REPORT DENSITY SUPPORT.
 * - `status`: conflicts with RESERVE only, with no persistent reservation: TEST UNIT READY, READ POSITION,
 *   READ BLOCK LIMITS.
 * - `read`: goes through Write Exclusive, not through Exclusive Access: READ and VERIFY of disks, PRE-FETCH, GET LBA
 *   STATUS, MODE SENSE, READ ATTRIBUTE, READ BUFFER, RECEIVE DIAGNOSTIC RESULTS, REPORT SUPPORTED OPERATION CODES.
 * - `change`: conflicts with every reservation: all that writes, changes modes, or moves a tape or a medium (so READ,
 *   SPACE and REWIND of a tape: they take the position from under the holder).
 * - `arbiter`: the mask never stops it, because its CDB or the registrations decide: PERSISTENT RESERVE IN and OUT,
 *   RESERVE, RELEASE, PREVENT ALLOW MEDIUM REMOVAL, START STOP UNIT. Such a row is always a punt.
 */
export type ReservationClass = (typeof RESERVATION_CLASSES)[number];

/** SPC-4 table 69, TYPE field. */
export const PR_TYPE = {
  WRITE_EXCLUSIVE: 1,
  EXCLUSIVE_ACCESS: 3,
  WRITE_EXCLUSIVE_REGISTRANTS: 5,
  EXCLUSIVE_ACCESS_REGISTRANTS: 6,
  WRITE_EXCLUSIVE_ALL: 7,
  EXCLUSIVE_ACCESS_ALL: 8,
} as const;
export type PrType = (typeof PR_TYPE)[keyof typeof PR_TYPE];

const TYPES: readonly number[] = Object.values(PR_TYPE);
export const isPrType = (type: number): type is PrType => TYPES.includes(type);

/** Every registered nexus is a holder (SPC-4 5.13.10). */
export const isAllRegistrants = (type: PrType): boolean => type >= PR_TYPE.WRITE_EXCLUSIVE_ALL;
/** Every registered nexus may do everything: Registrants Only and All Registrants. */
export const admitsRegistrants = (type: PrType): boolean => type >= PR_TYPE.WRITE_EXCLUSIVE_REGISTRANTS;

const WRITE_EXCLUSIVE_TYPES: readonly PrType[] = [
  PR_TYPE.WRITE_EXCLUSIVE,
  PR_TYPE.WRITE_EXCLUSIVE_REGISTRANTS,
  PR_TYPE.WRITE_EXCLUSIVE_ALL,
];
export const isWriteExclusive = (type: PrType): boolean => WRITE_EXCLUSIVE_TYPES.includes(type);

/** What is left to a nexus: everything, or what goes through another's reservation of that kind. */
export type Standing = "free" | "write-exclusive" | "exclusive-access" | "reserved" | "lost";

const THROUGH: Readonly<Record<Standing, readonly ReservationClass[]>> = {
  free: RESERVATION_CLASSES,
  "write-exclusive": ["always", "status", "read", "arbiter"],
  "exclusive-access": ["always", "status", "arbiter"],
  // SPC-2 5.5.1: RESERVE stops also TEST UNIT READY and MODE SENSE.
  reserved: ["always", "arbiter"],
  // Who reserved the unit is not known any more (SPC-4 5.13.5): nobody may touch the medium.
  lost: ["always", "arbiter"],
};

export const goesThrough = (standing: Standing, kind: ReservationClass): boolean => THROUGH[standing].includes(kind);

/** The data plane's mask: bit n is set where class number n, whose reservation class is at place n, goes through. */
export function reservationMask(standing: Standing, classes: readonly ReservationClass[]): number {
  return classes.reduce((mask, kind, bit) => (goesThrough(standing, kind) ? mask | (1 << bit) : mask), 0);
}
