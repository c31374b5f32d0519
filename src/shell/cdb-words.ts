// A CDB in words: the command's name on that type of device, and where and how much, for those that move data.
import type { DeviceClass } from "../admit/key.js";
import { OPCODES } from "../admit/opcodes.js";
import { Fields } from "../wire/bytes.js";
import { toHex } from "../wire/hex.js";

type Reach = (fields: Fields) => { readonly lba: bigint; readonly blocks: number };

const six: Reach = (f) => ({ lba: BigInt(f.u24(1) & 0x1f_ffff), blocks: f.u8(4) === 0 ? 256 : f.u8(4) });
const ten: Reach = (f) => ({ lba: BigInt(f.u32(2)), blocks: f.u16(7) });
const twelve: Reach = (f) => ({ lba: BigInt(f.u32(2)), blocks: f.u32(6) });
const sixteen: Reach = (f) => ({ lba: f.u64(2), blocks: f.u32(10) });

/** READ, WRITE, VERIFY, WRITE AND VERIFY, WRITE SAME, SYNCHRONIZE CACHE of disks (SBC-3 clause 5). */
const DISK_REACH: Readonly<Record<number, Reach>> = {
  8: six,
  10: six,
  40: ten,
  42: ten,
  46: ten,
  47: ten,
  53: ten,
  65: ten,
  168: twelve,
  170: twelve,
  136: sixteen,
  138: sixteen,
  142: sixteen,
  143: sixteen,
  145: sixteen,
  147: sixteen,
};

/** READ(6), WRITE(6), WRITE FILEMARKS(6), SPACE(6) of tapes (SSC-4 clause 5). */
const TAPE_WORDS: Readonly<Record<number, (fields: Fields) => string>> = {
  8: (f) => `${f.u24(2)} ${f.bit(1, 0) ? "blocks" : "bytes"}`,
  10: (f) => `${f.u24(2)} ${f.bit(1, 0) ? "blocks" : "bytes"}`,
  16: (f) => `${f.u24(2)}`,
  17: (f) =>
    `${(f.u24(2) << 8) >> 8} ${["blocks", "filemarks", "sequential filemarks", "to end of data"][f.bits(1, 3, 0)] ?? ""}`,
  43: (f) => `to ${f.u32(3)}`,
  146: (f) => `to ${f.u64(4)}`,
};

const VARIABLE_LENGTH = 0x7f;

/** The name of that service action, where it is told from others; on another type of device it may have another. */
function nameOf(cdb: Uint8Array, type: DeviceClass | undefined): string {
  const opcode = cdb[0] ?? 0;
  const action = opcode === VARIABLE_LENGTH ? ((cdb[8] ?? 0) << 8) | (cdb[9] ?? 0) : (cdb[1] ?? 0) & 0x1f;
  const rows = OPCODES.filter((row) => row.opcode === opcode && (row.action === "all" || row.action === action));
  const names = new Set(rows.flatMap(({ names: by }) => (type === undefined ? Object.values(by) : (by[type] ?? []))));
  const [first] = names;
  return first === undefined || names.size > 1 ? `command ${toHex(cdb.subarray(0, 1)).toUpperCase()}h` : first;
}

/** Never throws: what is cut off is shown as it is. */
export function cdbWords(cdb: Uint8Array, type: DeviceClass | undefined): string {
  const opcode = cdb[0] ?? 0;
  const name = nameOf(cdb, type);
  const fields = new Fields(cdb, "CDB");
  try {
    const reach = type === "disk" ? DISK_REACH[opcode] : undefined;
    if (reach !== undefined) {
      const { lba, blocks } = reach(fields);
      return `${name} LBA ${lba}, ${blocks} blocks`;
    }
    const words = type === "tape" ? TAPE_WORDS[opcode] : undefined;
    if (words !== undefined) return `${name} ${words(fields)}`.trimEnd();
    if (opcode === 0x12)
      return `${name}${fields.bit(1, 0) ? ` VPD page ${toHex(cdb.subarray(2, 3)).toUpperCase()}h` : ""}`;
    if (opcode === 0x4d) return `${name} page ${(fields.u8(2) & 0x3f).toString(16).toUpperCase().padStart(2, "0")}h`;
    return name;
  } catch {
    return `${name} (${toHex(cdb)})`;
  }
}
