// Commands of all device types (SPC-4 clause 6, SPC-2 for RESERVE and RELEASE). Reservations: SPC-4 table 66.
import { all, copying, named, row } from "./opcode-row.js";
import type { OpcodeRow } from "./opcodes.js";

export const SPC_ROWS: readonly OpcodeRow[] = [
  row(0x00, "all", all("TEST UNIT READY"), "status", "forward", []),
  row(0x03, "all", all("REQUEST SENSE"), "identify", "sense", ["attention"]),
  row(0x12, "all", all("INQUIRY"), "identify", "identity", ["attention"]),
  row(0x15, "all", all("MODE SELECT(6)"), "configure", "forward", []),
  row(0x16, "all", all("RESERVE(6)"), "reserve", "punt", []),
  row(0x17, "all", all("RELEASE(6)"), "reserve", "punt", []),
  row(0x1a, "all", all("MODE SENSE(6)"), "inspect", "forward", []),
  row(0x1c, "all", all("RECEIVE DIAGNOSTIC RESULTS"), "inspect", "forward", []),
  row(0x1d, "all", all("SEND DIAGNOSTIC"), "configure", "forward", ["slow"]),
  row(0x1e, "all", all("PREVENT ALLOW MEDIUM REMOVAL"), "removal", "punt", []),
  row(0x3c, "all", all("READ BUFFER"), "inspect", "forward", []),
  row(0x4c, "all", all("LOG SELECT"), "configure", "forward", []),
  row(0x4d, "all", all("LOG SENSE"), "identify", "forward", []),
  row(0x55, "all", all("MODE SELECT(10)"), "configure", "forward", []),
  row(0x56, "all", all("RESERVE(10)"), "reserve", "punt", []),
  row(0x57, "all", all("RELEASE(10)"), "reserve", "punt", []),
  row(0x5a, "all", all("MODE SENSE(10)"), "inspect", "forward", []),
  row(0x5e, "all", all("PERSISTENT RESERVE IN"), "ask-reservation", "punt", []),
  row(0x5f, "all", all("PERSISTENT RESERVE OUT"), "reserve", "punt", []),
  row(0x8c, "all", all("READ ATTRIBUTE"), "inspect", "forward", []),
  // It changes the medium's auxiliary memory, which no list of written extents can tell of, but a read-only key forbids.
  row(0x8d, "all", all("WRITE ATTRIBUTE"), "write", "forward", ["writes"]),
  row(0xa0, "all", all("REPORT LUNS"), "identify", "luns", ["attention"]),
  row(0xa2, "all", all("SECURITY PROTOCOL IN"), "supervisor", "punt", []),
  row(0xb5, "all", all("SECURITY PROTOCOL OUT"), "supervisor", "punt", []),
  // THIRD-PARTY COPY OUT and IN; those of tokens are in opcodes-sbc.ts.
  row(0x83, 0x00, copying("EXTENDED COPY(LID1)"), "supervisor", "punt", ["patient"]),
  row(0x83, 0x01, copying("EXTENDED COPY(LID4)"), "supervisor", "punt", ["patient"]),
  row(0x83, 0x1c, copying("COPY OPERATION ABORT"), "supervisor", "punt", ["patient"]),
  row(0x84, 0x00, copying("RECEIVE COPY STATUS(LID1)"), "supervisor", "punt", []),
  row(0x84, 0x01, copying("RECEIVE COPY DATA(LID1)"), "supervisor", "punt", []),
  row(0x84, 0x03, copying("RECEIVE COPY OPERATING PARAMETERS"), "supervisor", "punt", []),
  row(0x84, 0x04, copying("RECEIVE COPY FAILURE DETAILS(LID1)"), "supervisor", "punt", []),
  row(0x84, 0x05, copying("RECEIVE COPY STATUS(LID4)"), "supervisor", "punt", []),
  row(0x84, 0x06, copying("RECEIVE COPY DATA(LID4)"), "supervisor", "punt", []),
  row(0x84, 0x08, copying("REPORT ALL ROD TOKENS"), "supervisor", "punt", []),
  // MAINTENANCE IN: identifying information, target port groups, aliases, supported commands and functions, timestamp.
  row(0xa3, 0x05, all("REPORT IDENTIFYING INFORMATION"), "inspect", "forward", []),
  row(0xa3, 0x0a, all("REPORT TARGET PORT GROUPS"), "identify", "forward", []),
  // A real device knows nothing of the commands that the bridge has in front of it.
  row(0xa3, 0x0c, all("REPORT SUPPORTED OPERATION CODES"), "inspect", "punt", []),
  row(0xa3, 0x0d, all("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS"), "inspect", "forward", []),
  row(0xa3, 0x0e, all("REPORT PRIORITY"), "inspect", "forward", []),
  row(0xa3, 0x0f, all("REPORT TIMESTAMP"), "inspect", "forward", []),
  // MAINTENANCE OUT.
  row(0xa4, 0x06, all("SET IDENTIFYING INFORMATION"), "configure", "forward", []),
  row(0xa4, 0x0f, all("SET TIMESTAMP"), "configure", "forward", []),
  row(
    0x1b,
    "all",
    named({ disk: "START STOP UNIT", tape: "LOAD UNLOAD", changer: "OPEN/CLOSE IMPORT/EXPORT ELEMENT" }),
    "load",
    "punt",
    ["slow"],
  ),
];
