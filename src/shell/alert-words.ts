// TapeAlert flags for people: how bad it is, and what to do (SSC-4 annex A: severity C, W, I and recommended action).
import type { Row } from "../sys/text.js";

const CRITICAL = [4, 5, 6, 9, 13, 14, 16, 20, 22, 23, 30, 31, 33, 38, 52, 53, 54, 55, 56, 57];
const INFORMATION = [10, 11, 12, 19];

const MEDIUM = "copy what is needed from the cartridge, and do not use it any more";
const ACTIONS: Readonly<Record<number, string>> = {
  3: "clean the drive; if it comes again, try another cartridge, then call service",
  4: MEDIUM,
  5: MEDIUM,
  6: "test the drive with another cartridge; if that is good, copy this one and do not use it any more",
  7: MEDIUM,
  9: "take the write protection off, or use another cartridge",
  13: "the cartridge is damaged; take it out by hand if it does not come",
  14: "the cartridge is damaged; do not pull it, call service",
  15: "the memory in the cartridge is defective; copy it while it can be read",
  16: "load it again; somebody ejected it by force",
  18: "read the whole tape once, so that its directory is made again",
  19: "plan to copy the cartridge to a new one",
  20: "clean the drive now, before anything else",
  21: "clean the drive when it is free",
  22: "use a new cleaning cartridge",
  23: "use a cleaning cartridge that fits the drive",
  26: "look at the fan of the drive and of its enclosure",
  27: "look at the redundant power supply",
  29: "have the drive serviced",
  30: "eject the cartridge and reset the drive; if it comes again, call service",
  31: "switch the drive off and on; if it comes again, call service",
  32: "look at cables and connections of the drive",
  34: "the firmware was not taken; try again with the right file",
  36: "look at the cooling of the drive",
  38: "have the drive replaced before it fails",
  39: "run the drive's diagnostics",
  51: "read the whole tape once, so that its directory is made again",
  55: "take the cartridge out and look at it; try another one",
  58: "update the firmware of the drive",
};

export function alertWords(flag: number, name = "reserved"): Row {
  const severity = CRITICAL.includes(flag) ? "CRITICAL" : INFORMATION.includes(flag) ? "information" : "warning";
  return { flag, severity, name, do: ACTIONS[flag] ?? "" };
}
