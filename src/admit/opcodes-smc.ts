// Commands of changers (SMC-3 clause 6). Reservations: SMC-3 table 9.
import { changer, named, row } from "./opcode-row.js";
import type { OpcodeRow } from "./opcodes.js";

export const SMC_ROWS: readonly OpcodeRow[] = [
  row(0x07, "all", changer("INITIALIZE ELEMENT STATUS"), "move", "forward", ["slow"]),
  row(
    0x37,
    "all",
    named({ disk: "READ DEFECT DATA(10)", changer: "INITIALIZE ELEMENT STATUS WITH RANGE" }),
    "look-ahead",
    "forward",
    ["slow"],
  ),
  row(0xa5, "all", changer("MOVE MEDIUM"), "move", "forward", ["slow"]),
  row(0xa6, "all", changer("EXCHANGE MEDIUM"), "move", "forward", ["slow"]),
  row(0xb6, "all", changer("SEND VOLUME TAG"), "move", "forward", []),
  row(0xb8, "all", changer("READ ELEMENT STATUS"), "inspect", "forward", ["slow"]),
];
