// READ ELEMENT STATUS data (SMC-3 6.11): where the cartridges of a library are. Throws GantryError
// SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID.
import { ascCode, ascText } from "./asc.js";
import { Fields } from "./bytes.js";
import { toHex } from "./hex.js";

export type ElementType = "transport" | "storage" | "import-export" | "drive";
const TYPES: readonly (ElementType | undefined)[] = [undefined, "transport", "storage", "import-export", "drive"];

export interface Element {
  readonly type: ElementType;
  readonly address: number;
  readonly full: boolean;
  /** The transport can reach it now. */
  readonly access: boolean;
  /** The operator can put media in here, or take them out. */
  readonly importEnabled: boolean;
  readonly exportEnabled: boolean;
  /** import-export: the operator put the medium here. */
  readonly placedByOperator: boolean;
  /** ED: the element is disabled. */
  readonly disabled: boolean;
  /** Why the state is not normal, in words. */
  readonly exception?: string;
  /** Element that the medium came from; undefined: not known (SVALID). */
  readonly source?: number;
  /** Barcode: the volume identifier without what pads it. */
  readonly volume?: string;
  readonly alternateVolume?: string;
  /** Drives, when asked for: identification, text or hexadecimal. */
  readonly deviceId?: string;
}

const VOLUME_TAG_BYTES = 36;

/** All elements in the order of the report. */
export function decodeElementStatus(data: Uint8Array): readonly Element[] {
  const head = new Fields(data, "READ ELEMENT STATUS data");
  const report = head.part(8, head.u24(5), head.what);
  const elements: Element[] = [];
  for (let at = 0; at < report.length; ) {
    const bytes = report.u24(at + 5);
    decodePage(report.part(at, 8 + bytes, head.what), elements);
    at += 8 + bytes;
  }
  return elements;
}

/** One page holds elements of one type; every descriptor has the same length. */
function decodePage(page: Fields, elements: Element[]): void {
  const type = TYPES[page.u8(0)];
  const length = page.u16(2);
  if (type === undefined) throw page.invalid(`element type ${page.u8(0)}`);
  if (length < 12) throw page.invalid(`descriptors of ${length} bytes`);
  for (let at = 8; at + length <= page.length; at += length) {
    elements.push(decodeElement(type, page.part(at, length, page.what), page.bit(1, 7), page.bit(1, 6)));
  }
}

function decodeElement(type: ElementType, fields: Fields, hasVolume: boolean, hasAlternate: boolean): Element {
  const alternateAt = hasVolume ? 12 + VOLUME_TAG_BYTES : 12;
  const idAt = hasAlternate ? alternateAt + VOLUME_TAG_BYTES : alternateAt;
  const volume = hasVolume ? volumeTag(fields, 12) : undefined;
  const alternateVolume = hasAlternate ? volumeTag(fields, alternateAt) : undefined;
  const deviceId = type === "drive" ? identifier(fields, idAt) : undefined;
  return {
    type,
    address: fields.u16(0),
    full: fields.bit(2, 0),
    placedByOperator: type === "import-export" && fields.bit(2, 1),
    access: type === "transport" || fields.bit(2, 3),
    exportEnabled: type === "import-export" && fields.bit(2, 4),
    importEnabled: type === "import-export" && fields.bit(2, 5),
    disabled: fields.bit(9, 3),
    ...(fields.bit(2, 2) && {
      exception: `${ascText(fields.u8(4), fields.u8(5))} (${ascCode(fields.u8(4), fields.u8(5))})`,
    }),
    ...(fields.bit(9, 7) && { source: fields.u16(10) }),
    ...(volume !== undefined && { volume }),
    ...(alternateVolume !== undefined && { alternateVolume }),
    ...(deviceId !== undefined && { deviceId }),
  };
}

/** SMC-3, volume tag: 32 bytes of identifier; empty: none is known. */
function volumeTag(fields: Fields, at: number): string | undefined {
  fields.need(at, VOLUME_TAG_BYTES);
  const name = fields.ascii(at, 32);
  return name === "" ? undefined : name;
}

/** SMC-3: four bytes of head and the identifier; a descriptor may end before it. */
function identifier(fields: Fields, at: number): string | undefined {
  if (fields.length < at + 4) return undefined;
  const length = fields.u8(at + 3);
  if (length === 0) return undefined;
  const isText = fields.bits(at, 3, 0) === 2;
  return isText ? fields.ascii(at + 4, length).trim() : toHex(fields.bytes(at + 4, length));
}
