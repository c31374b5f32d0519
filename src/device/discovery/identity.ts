// By what names a logical unit goes, whatever its node is called today: the designators of VPD page 83h, or vendor and
// unit serial number where a device has no such page.
import { BY_SERIAL, type LuIdentity } from "../../native/types.js";
import { decodeSerialNumber } from "../../wire/inquiry.js";
import { DESIGNATOR, decodeDesignators, designatorOf, designatorText } from "../../wire/xcopy/designator.js";

const LOGICAL_UNIT = 0;
const SERIAL = /^serial\.([!-\-/-~][ -\-/-~]{0,7})\.([!-~][ -~]{0,251})$/;
/** Best first: what is unique in the world, then what somebody wrote down. */
const ORDER: readonly number[] = [DESIGNATOR.NAA, DESIGNATOR.EUI_64, DESIGNATOR.SCSI_NAME, DESIGNATOR.T10_VENDOR];

/** What INQUIRY says of a unit, as bytes. */
export interface Pages {
  /** VPD page 83h. */
  readonly identification?: Uint8Array;
  /** VPD page 80h. */
  readonly serial?: Uint8Array;
  readonly vendor: string;
}

/** "naa.…", "eui.…", "t10.…", "iqn.…" or "serial.VENDOR.NUMBER"; undefined: it is none of these. */
export function identityOf(words: string): LuIdentity | undefined {
  const [, vendor, number] = SERIAL.exec(words) ?? [];
  if (vendor !== undefined && number !== undefined)
    return { type: BY_SERIAL, value: Buffer.from(number.trimEnd(), "latin1"), vendor: vendor.trimEnd() };
  const designator = designatorOf(words);
  return designator === undefined
    ? undefined
    : { type: designator.type, value: trimmed(designator.type, designator.value) };
}

/** Every name of a unit that can stand in the configuration, the best one first. */
export function identityNames(pages: Pages): readonly string[] {
  const own = designators(pages).filter(({ type }) => ORDER.includes(type));
  own.sort((a, b) => ORDER.indexOf(a.type) - ORDER.indexOf(b.type));
  const names = own.map((one) => designatorText(one).trimEnd()).filter((name) => identityOf(name) !== undefined);
  const number = serialOf(pages);
  const bySerial = `serial.${pages.vendor.trimEnd()}.${number}`;
  return identityOf(bySerial) === undefined ? names : [...names, bySerial];
}

/** Whether it is the unit that is meant; the same comparison as csrc/transport/paths_identity.c makes before it is used. */
export function isMeant({ type, value, vendor }: LuIdentity, pages: Pages): boolean {
  if (type === BY_SERIAL)
    return vendor === pages.vendor.trimEnd() && serialOf(pages) === Buffer.from(value).toString("latin1");
  return designators(pages).some((one) => one.type === type && Buffer.compare(trimmed(type, one.value), value) === 0);
}

/** Text ends before the spaces and zeros that fill it. */
function trimmed(type: number, value: Uint8Array): Uint8Array {
  if (type === DESIGNATOR.NAA || type === DESIGNATOR.EUI_64) return value;
  let end = value.length;
  while (end > 0 && (value[end - 1] === 0x20 || value[end - 1] === 0)) end -= 1;
  return value.subarray(0, end);
}

/** A page that cannot be decoded says nothing. */
function designators({ identification }: Pages) {
  if (identification === undefined) return [];
  try {
    return decodeDesignators(identification).filter(({ association }) => association === LOGICAL_UNIT);
  } catch {
    return [];
  }
}

function serialOf({ serial }: Pages): string {
  if (serial === undefined) return "";
  try {
    return decodeSerialNumber(serial).replace(/[\0 ]+$/, "");
  } catch {
    return "";
  }
}
