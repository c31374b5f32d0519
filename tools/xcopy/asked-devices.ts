// Devices that are named by where they are: asked who they are (VPD page 83h), what they are, and how long their blocks are.
import type { LuTarget } from "../../src/native/types.js";
import { decodeCapacity10, decodeCapacity16 } from "../../src/wire/capacity.js";
import { inquiry, readCapacity10, readCapacity16 } from "../../src/wire/cdb.js";
import { decodeInquiry, VPD } from "../../src/wire/inquiry.js";
import { STATUS } from "../../src/wire/names.js";
import { decodeDesignators } from "../../src/wire/xcopy/designator.js";
import { bestDesignator, type DeviceSpec } from "./device-words.js";
import type { NamedDevice } from "./plan.js";
import { input, type Session, targetText } from "./unit.js";

const ROOM = 4096;
const CAPACITY_10_ROOM = 8;
const CAPACITY_16_ROOM = 32;

/** Where a logical unit is, seen from the one that gets the command. @throws GantryError XCOPY_INPUT */
export function neighbour(target: LuTarget, lun: number): LuTarget {
  if (target.transport === "iscsi") return { ...target, lun };
  throw input(`lun:${lun} is a unit of an iSCSI target, and ${targetText(target)} is none: name it by its own node.`);
}

/** @throws GantryError XCOPY_UNANSWERED, XCOPY_FAILED, SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID */
export async function askedDevice(
  { name, cscd, typeTold }: Extract<DeviceSpec, { readonly is: "asked" }>,
  session: Session,
): Promise<NamedDevice> {
  const where = targetText(session.target);
  const ask = async (page?: number): Promise<Uint8Array> =>
    await session.receive(
      (length) => inquiry(Math.min(length, ROOM), page),
      `INQUIRY of ${where}`,
      () => 0,
    );
  const { deviceType } = typeTold ? cscd : decodeInquiry(await ask());
  const designator = bestDesignator(decodeDesignators(await ask(VPD.IDENTIFICATION)), where);
  // A disk that has been given no block length is asked; of a tape only the user knows how it is to be written.
  const blockBytes = cscd.blockBytes === 0 && deviceType === 0 ? await blockLength(session) : cscd.blockBytes;
  return { name, is: "cscd", cscd: { ...cscd, deviceType, blockBytes, designator } };
}

/** 0, which is "not told", when the disk does not say it either. */
async function blockLength(session: Session): Promise<number> {
  const long = await session.execute(readCapacity16(CAPACITY_16_ROOM), { dataIn: CAPACITY_16_ROOM });
  if (long.status === STATUS.GOOD) return decodeCapacity16(long.data).blockBytes;
  const short = await session.execute(readCapacity10(), { dataIn: CAPACITY_10_ROOM });
  return short.status === STATUS.GOOD ? decodeCapacity10(short.data).blockBytes : 0;
}
