// The commands of third-party copies: THIRD-PARTY COPY OUT (83h) and IN (84h), SPC-4 6.3 to 6.5, 6.20 to 6.26, 6.31,
// SBC-3 POPULATE TOKEN and WRITE USING TOKEN. Both directions.
import { Fields, putUint } from "../bytes.js";

export const COPY_OUT = 0x83;
export const COPY_IN = 0x84;
const BYTES = 16;

interface Row {
  readonly opcode: number;
  readonly action: number;
  /** First byte and width of LIST IDENTIFIER; undefined: the command has none (or the parameter list has it). */
  readonly listId?: readonly [at: number, width: 1 | 4];
  /** PARAMETER LIST LENGTH or ALLOCATION LENGTH is in bytes 10 to 13; COPY OPERATION ABORT has neither. */
  readonly length: boolean;
}

export const COPY_COMMANDS = {
  "copy-lid1": { opcode: COPY_OUT, action: 0x00, length: true },
  "copy-lid4": { opcode: COPY_OUT, action: 0x01, length: true },
  "populate-token": { opcode: COPY_OUT, action: 0x10, listId: [6, 4], length: true },
  "write-using-token": { opcode: COPY_OUT, action: 0x11, listId: [6, 4], length: true },
  abort: { opcode: COPY_OUT, action: 0x1c, listId: [2, 4], length: false },
  "status-lid1": { opcode: COPY_IN, action: 0x00, listId: [2, 1], length: true },
  "data-lid1": { opcode: COPY_IN, action: 0x01, listId: [2, 1], length: true },
  "operating-parameters": { opcode: COPY_IN, action: 0x03, length: true },
  "failure-details": { opcode: COPY_IN, action: 0x04, listId: [2, 1], length: true },
  "status-lid4": { opcode: COPY_IN, action: 0x05, listId: [2, 4], length: true },
  "data-lid4": { opcode: COPY_IN, action: 0x06, listId: [2, 4], length: true },
  "token-information": { opcode: COPY_IN, action: 0x07, listId: [2, 4], length: true },
  "all-tokens": { opcode: COPY_IN, action: 0x08, length: true },
} as const satisfies Record<string, Row>;
export type CopyCommandKind = keyof typeof COPY_COMMANDS;

export interface CopyCommand {
  readonly kind: CopyCommandKind;
  /** 0 where the command has none. */
  readonly listId: number;
  /** Bytes of the parameter list, or of room for parameter data. */
  readonly length: number;
}

/** undefined: none of these commands, or cut short. */
export function decodeCopyCommand(cdb: Uint8Array): CopyCommand | undefined {
  if (cdb.length < BYTES) return undefined;
  const fields = new Fields(cdb, "third-party copy command");
  for (const [name, row] of Object.entries(COPY_COMMANDS) as [CopyCommandKind, Row][]) {
    if (row.opcode !== fields.u8(0) || row.action !== fields.bits(1, 4, 0)) continue;
    const [at, width] = row.listId ?? [0, 0];
    const listId = width === 0 ? 0 : width === 1 ? fields.u8(at) : fields.u32(at);
    return { kind: name, listId, length: row.length ? fields.u32(10) : 0 };
  }
  return undefined;
}

/** In the standards' words. */
export const COMMAND_NAMES: Readonly<Record<CopyCommandKind, string>> = {
  "copy-lid1": "EXTENDED COPY(LID1)",
  "copy-lid4": "EXTENDED COPY(LID4)",
  "populate-token": "POPULATE TOKEN",
  "write-using-token": "WRITE USING TOKEN",
  abort: "COPY OPERATION ABORT",
  "status-lid1": "RECEIVE COPY STATUS(LID1)",
  "data-lid1": "RECEIVE COPY DATA(LID1)",
  "operating-parameters": "RECEIVE COPY OPERATING PARAMETERS",
  "failure-details": "RECEIVE COPY FAILURE DETAILS",
  "status-lid4": "RECEIVE COPY STATUS(LID4)",
  "data-lid4": "RECEIVE COPY DATA(LID4)",
  "token-information": "RECEIVE ROD TOKEN INFORMATION",
  "all-tokens": "REPORT ALL ROD TOKENS",
};

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeCopyCommand({ kind, listId, length }: CopyCommand): Uint8Array {
  const row: Row = COPY_COMMANDS[kind];
  const cdb = new Uint8Array(BYTES);
  cdb[0] = row.opcode;
  cdb[1] = row.action;
  if (row.listId !== undefined) putUint(cdb, row.listId[0], row.listId[1], listId, "list identifier");
  if (row.length) putUint(cdb, 10, 4, length, "length");
  return cdb;
}
