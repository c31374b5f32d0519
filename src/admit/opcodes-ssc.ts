// Commands of tape drives (SSC-4 clauses 5 to 7); what shares its opcode with a disk's is there. Reservations: SSC-4
// table 9: whatever moves the tape conflicts, also with Write Exclusive, for the position is the holder's.
import { named, row, tape } from "./opcode-row.js";
import type { OpcodeRow } from "./opcodes.js";

export const SSC_ROWS: readonly OpcodeRow[] = [
  row(0x01, "all", tape("REWIND"), "position", "forward", ["slow"]),
  row(0x05, "all", tape("READ BLOCK LIMITS"), "status", "forward", []),
  row(0x0b, "all", tape("SET CAPACITY"), "write", "forward", ["writes", "slow"]),
  row(0x0f, "all", tape("READ REVERSE(6)"), "read", "forward", []),
  row(0x10, "all", tape("WRITE FILEMARKS(6)"), "write", "forward", ["writes", "slow"]),
  row(0x11, "all", tape("SPACE(6)"), "position", "forward", ["slow"]),
  row(0x13, "all", tape("VERIFY(6)"), "read", "forward", ["slow"]),
  row(0x14, "all", tape("RECOVER BUFFERED DATA"), "read", "forward", []),
  row(0x19, "all", tape("ERASE(6)"), "write", "forward", ["writes", "slow"]),
  row(0x2b, "all", named({ tape: "LOCATE(10)", changer: "POSITION TO ELEMENT" }), "position", "forward", ["slow"]),
  row(0x44, "all", tape("REPORT DENSITY SUPPORT"), "identify", "forward", []),
  row(0x80, "all", tape("WRITE FILEMARKS(16)"), "write", "forward", ["writes", "slow"]),
  row(0x81, "all", tape("READ REVERSE(16)"), "read", "forward", []),
  row(0x82, "all", tape("ALLOW OVERWRITE"), "write", "forward", ["writes"]),
  row(0x92, "all", tape("LOCATE(16)"), "position", "forward", ["slow"]),
];
