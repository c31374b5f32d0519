// Names that SCSI standards give to small numbers.

/** SPC-4 4.5.6, by number. */
export const SENSE_KEYS = [
  "NO SENSE",
  "RECOVERED ERROR",
  "NOT READY",
  "MEDIUM ERROR",
  "HARDWARE ERROR",
  "ILLEGAL REQUEST",
  "UNIT ATTENTION",
  "DATA PROTECT",
  "BLANK CHECK",
  "VENDOR SPECIFIC",
  "COPY ABORTED",
  "ABORTED COMMAND",
  "RESERVED (0Ch)",
  "VOLUME OVERFLOW",
  "MISCOMPARE",
  "COMPLETED",
] as const;

export const SENSE_KEY = {
  NO_SENSE: 0x0,
  RECOVERED_ERROR: 0x1,
  NOT_READY: 0x2,
  MEDIUM_ERROR: 0x3,
  HARDWARE_ERROR: 0x4,
  ILLEGAL_REQUEST: 0x5,
  UNIT_ATTENTION: 0x6,
  DATA_PROTECT: 0x7,
  BLANK_CHECK: 0x8,
  COPY_ABORTED: 0xa,
  ABORTED_COMMAND: 0xb,
  VOLUME_OVERFLOW: 0xd,
  MISCOMPARE: 0xe,
  COMPLETED: 0xf,
} as const;

/** SAM-5 5.3.1. */
export const STATUS = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  CONDITION_MET: 0x04,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
  TASK_SET_FULL: 0x28,
  ACA_ACTIVE: 0x30,
  TASK_ABORTED: 0x40,
} as const;

export function statusName(status: number): string {
  const found = Object.entries(STATUS).find(([, value]) => value === status);
  return found === undefined ? `status ${status.toString(16).padStart(2, "0")}h` : found[0].replaceAll("_", " ");
}

/** SPC-4 6.4.2, peripheral device type. */
const DEVICE_TYPES: Readonly<Record<number, string>> = {
  0: "disk",
  1: "tape drive",
  2: "printer",
  3: "processor",
  4: "write-once disk",
  5: "CD or DVD drive",
  7: "optical disk",
  8: "media changer",
  12: "storage array controller",
  13: "enclosure",
  14: "simplified disk",
  15: "optical card reader",
  17: "object-based storage",
  18: "automation/drive interface",
  20: "host managed zoned disk",
  30: "well known logical unit",
  31: "no device",
};

export function deviceTypeName(type: number): string {
  return DEVICE_TYPES[type] ?? `device type ${type.toString(16).padStart(2, "0")}h`;
}

/** SSC-4, TapeAlert log page: flags 1–64; a hole is reserved or obsolete. */
export const TAPE_ALERTS: Readonly<Record<number, string>> = {
  1: "read warning",
  2: "write warning",
  3: "hard error",
  4: "media",
  5: "read failure",
  6: "write failure",
  7: "media life",
  8: "not data grade",
  9: "write protect",
  10: "medium removal prevented",
  11: "cleaning media",
  12: "unsupported format",
  13: "recoverable mechanical cartridge failure",
  14: "unrecoverable mechanical cartridge failure",
  15: "memory chip in cartridge failure",
  16: "forced eject",
  17: "read only format",
  18: "tape directory corrupted on load",
  19: "nearing media life",
  20: "cleaning required",
  21: "cleaning requested",
  22: "expired cleaning media",
  23: "invalid cleaning tape",
  24: "retension requested",
  25: "multi-port interface error on a primary port",
  26: "cooling fan failure",
  27: "power supply failure",
  28: "power consumption",
  29: "drive preventive maintenance required",
  30: "hardware A",
  31: "hardware B",
  32: "primary interface",
  33: "eject media",
  34: "microcode update failure",
  35: "drive humidity",
  36: "drive temperature",
  37: "drive voltage",
  38: "predictive failure",
  39: "diagnostics required",
  50: "lost statistics",
  51: "tape directory invalid at unload",
  52: "tape system area write failure",
  53: "tape system area read failure",
  54: "no start of data",
  55: "loading or threading failure",
  56: "unrecoverable unload failure",
  57: "automation interface failure",
  58: "microcode failure",
  59: "WORM medium - integrity check failed",
  60: "WORM medium - overwrite attempted",
};
