// What a logical unit says of its copy manager, in data of its own: VPD page 8Fh, and its rows in REPORT SUPPORTED OPERATION
// CODES (SPC-4 6.35), where a real device knows nothing of the commands that the bridge carries out in front of it.
import { wholeIn } from "../wire/bytes.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { fixedSense } from "../wire/sense-encode.js";
import { COPY_COMMANDS, COPY_IN, COPY_OUT, type CopyCommandKind } from "../wire/xcopy/commands.js";
import { joined } from "../wire/xcopy/layout.js";
import { type CopyManagerType, supportsCommand, thirdPartyPage } from "./limits.js";
import type { CopyUnits } from "./units.js";

const INQUIRY = 0x12;
const PAGE = 0x8f;
const MAINTENANCE_IN = 0xa3;
const REPORT_CODES = 0x0c;
/** REPORTING OPTIONS. */
const ALL = 0;
const ONE_OPCODE = 1;
/** More than any device has rows for. */
const REPORT_BYTES = 16_384;
const ROW_BYTES = 8;
const TIMEOUTS_BYTES = 12;
const CDB_BYTES = 16;
const GROUP_NUMBER = 14;
const INVALID_FIELD_IN_CDB = fixedSense(SENSE_KEY.ILLEGAL_REQUEST, 0x24, 0x00);

export interface Described {
  readonly status: number;
  readonly sense?: Uint8Array;
  readonly data?: Uint8Array;
}

/** Whether the command asks for such data. */
export const asksForDescription = (cdb: Uint8Array): boolean =>
  (cdb[0] === INQUIRY && cdb[2] === PAGE) || isReport(cdb);

const isReport = (cdb: Uint8Array): boolean => cdb[0] === MAINTENANCE_IN && ((cdb[1] ?? 0) & 0x1f) === REPORT_CODES;

/** @param streams whether the asker sees a tape */
export async function describe(
  cdb: Uint8Array,
  device: string,
  type: CopyManagerType,
  streams: boolean,
  units: CopyUnits,
): Promise<Described> {
  const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.length);
  if (isReport(cdb)) return report(cdb, view.getUint32(6), device, type, units);
  const page = thirdPartyPage(type, type === "disk" ? await blockBytesOf(device, units) : 0, streams);
  return { status: STATUS.GOOD, data: page.subarray(0, view.getUint16(3)) };
}

/** 0: not known. */
async function blockBytesOf(device: string, units: CopyUnits): Promise<number> {
  try {
    const leased = await units.lease(device);
    await units.giveBack(leased, true);
    return leased.facts.blockBytes;
  } catch {
    return 0;
  }
}

async function report(
  cdb: Uint8Array,
  allocation: number,
  device: string,
  type: CopyManagerType,
  units: CopyUnits,
): Promise<Described> {
  const [options, timeouts] = [(cdb[2] ?? 0) & 0x07, ((cdb[2] ?? 0) & 0x80) !== 0];
  const opcode = cdb[3] ?? 0;
  const ours = opcode === COPY_OUT || opcode === COPY_IN;
  if (options !== ALL && ours) {
    // These operation codes have service actions, so that one has to be named.
    if (options === ONE_OPCODE || options > 3) return { status: STATUS.CHECK_CONDITION, sense: INVALID_FIELD_IN_CDB };
    const one = oneCommand(opcode, ((cdb[4] ?? 0) << 8) | (cdb[5] ?? 0), type, timeouts);
    return { status: STATUS.GOOD, data: one.subarray(0, allocation) };
  }
  const asked = cdb.slice();
  new DataView(asked.buffer).setUint32(6, REPORT_BYTES);
  const { outcome, status, sense, data } = await units.ask(device, asked, REPORT_BYTES);
  if (outcome !== "delivered") return { status: STATUS.BUSY };
  if (status !== STATUS.GOOD) return { status, sense };
  const whole = options === ALL ? allCommands(data, type, timeouts) : data;
  return { status, data: whole.subarray(0, allocation) };
}

/** The device's own rows, but for those of the copy manager, which are the bridge's. */
export function allCommands(data: Uint8Array, type: CopyManagerType, timeouts: boolean): Uint8Array {
  // A device that gives no length gives no rows.
  const told = data.length < 4 ? 0 : new DataView(data.buffer, data.byteOffset, data.length).getUint32(0);
  const end = Math.min(data.length, 4 + told);
  const rows: Uint8Array[] = [];
  for (let at = 4; at + ROW_BYTES <= end; ) {
    const length = ((data[at + 5] ?? 0) & 0x02) === 0 ? ROW_BYTES : ROW_BYTES + TIMEOUTS_BYTES;
    if (data[at] !== COPY_OUT && data[at] !== COPY_IN) rows.push(data.slice(at, at + length));
    at += length;
  }
  for (const [, { opcode, action }] of commandsOf(type)) {
    const row = new Uint8Array(ROW_BYTES + (timeouts ? TIMEOUTS_BYTES : 0));
    row.set([opcode, 0, 0, action, 0, 0x01 | (timeouts ? 0x02 : 0), 0, CDB_BYTES]);
    if (timeouts) row.set([0, TIMEOUTS_BYTES - 2], ROW_BYTES);
    rows.push(row);
  }
  const body = joined(...rows);
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, Number(wholeIn(body.length, 0n, 0xffff_ffffn, "command data length")));
  return joined(head, body);
}

/** SUPPORT 011b: as a standard has it; 001b: not at all. */
export function oneCommand(opcode: number, action: number, type: CopyManagerType, timeouts: boolean): Uint8Array {
  const found = commandsOf(type).find(([, row]) => row.opcode === opcode && row.action === action);
  if (found === undefined) return Uint8Array.of(0, 0x01, 0, 0);
  const usage = usageOf(found[0]);
  const tail = timeouts ? Uint8Array.of(0, TIMEOUTS_BYTES - 2, ...new Uint8Array(TIMEOUTS_BYTES - 2)) : [];
  return Uint8Array.of(0, 0x03 | (timeouts ? 0x80 : 0), 0, CDB_BYTES, ...usage, ...tail);
}

/** CDB USAGE DATA: the operation code and service action themselves, and a one for each bit that is looked at. */
function usageOf(kind: CopyCommandKind): Uint8Array {
  const row: { opcode: number; action: number; listId?: readonly [number, number]; length: boolean } =
    COPY_COMMANDS[kind];
  const usage = new Uint8Array(CDB_BYTES);
  usage[0] = row.opcode;
  usage[1] = row.action;
  if (row.listId !== undefined) usage.fill(0xff, row.listId[0], row.listId[0] + row.listId[1]);
  if (row.length) usage.fill(0xff, 10, 14);
  if (kind === "populate-token" || kind === "write-using-token") usage[GROUP_NUMBER] = 0x1f;
  return usage;
}

const commandsOf = (type: CopyManagerType) =>
  (Object.entries(COPY_COMMANDS) as [CopyCommandKind, (typeof COPY_COMMANDS)[CopyCommandKind]][]).filter(([kind]) =>
    supportsCommand(type, kind),
  );
