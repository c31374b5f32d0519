// Devices in words: NAME=WHAT[,option…]. WHAT is a designator (naa.…, eui.…, t10.…, iqn.…), another logical unit that is
// asked for its own (lun:N, /dev/sgN, iscsi://…), "this" for the unit that gets the command, or a ROD.
import { GantryError } from "../../src/sys/errors.js";
import { fromHex, toHex } from "../../src/wire/hex.js";
import type { Cscd, IdentificationCscd, RodCscd } from "../../src/wire/xcopy/cscd.js";
import {
  type BinaryDesignator,
  CSCD_DESIGNATOR_MAX,
  designatorOf,
  designatorText,
  sameDesignator,
} from "../../src/wire/xcopy/designator.js";
import { ROD_TYPE } from "../../src/wire/xcopy/rod-token.js";
import { THIS_UNIT } from "../../src/wire/xcopy/segments.js";
import { Words } from "./words.js";

export const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
/** Names that every list has (SPC-4 table 148). */
export const BUILT_IN: ReadonlyMap<string, number> = new Map([
  ["nulldisk", 0xc000],
  ["nulltape", 0xc001],
  ["maker", 0xf800],
  ["this", THIS_UNIT],
]);
const TAPE = 1;
const U16 = 0xffffn;
const U24 = 0xff_ffffn;
const U32 = 0xffff_ffffn;

/** Where the designator of a device comes from, if not from the words. */
export type Asked = { readonly lun: number } | { readonly unit: string };

export type DeviceSpec = { readonly name: string } & (
  | { readonly is: "this" }
  | { readonly is: "cscd"; readonly cscd: Cscd }
  /** cscd: as far as the words tell; type and block length are asked for where they tell nothing. */
  | {
      readonly is: "asked";
      readonly asked: Asked;
      readonly cscd: Omit<IdentificationCscd, "designator">;
      readonly typeTold: boolean;
    }
);

type Head = Omit<IdentificationCscd, "designator" | "form">;
const PLAIN: Head = { nul: false, deviceType: 0, initiatorPort: 0, pad: false, fixed: false, blockBytes: 0 };
const ROD_PLAIN: Omit<RodCscd, keyof Head | "form"> = {
  producer: THIS_UNIT,
  rodType: ROD_TYPE.POINT_IN_TIME_VULNERABLE,
  lifetimeSeconds: 0,
  inactivitySeconds: 0,
  returnToken: false,
  deleteToken: false,
  tokenOffset: 0,
};

/** @throws GantryError XCOPY_SYNTAX */
export function parseDevice(text: string): DeviceSpec {
  const words = new Words(text, "device");
  const at = words.space().at;
  const name = words.expect(NAME, "a name of letters, digits and _");
  if (BUILT_IN.has(name)) throw words.wrong(`"${name}" is a name that every list has`, words.span(at));
  words.space().expect("=", '"=" and what the device is');
  words.space();
  if (words.take(/this(?![^\s,])/y) !== undefined) {
    if (words.space().take(",") !== undefined)
      throw words.wrong("the unit itself (this) has no options: name it by its designator, or lun:N", words.span(at));
    words.end();
    return { name, is: "this" };
  }
  if (words.take(/rod(?![^\s,])/y) !== undefined) {
    const cscd = readOptions<RodCscd>(words, { form: "rod", ...PLAIN, ...ROD_PLAIN }, { ...OPTIONS, ...ROD_OPTIONS });
    return { name, is: "cscd", cscd };
  }
  const asked = takeAsked(words);
  if (asked === undefined) {
    const designator = takeDesignator(words);
    return {
      name,
      is: "cscd",
      cscd: readOptions<IdentificationCscd>(words, { form: "identification", ...PLAIN, designator }, OPTIONS),
    };
  }
  const before = words.at;
  const cscd = readOptions<Omit<IdentificationCscd, "designator">>(
    words,
    { form: "identification", ...PLAIN },
    OPTIONS,
  );
  const typeTold = /,\s*(disk|tape|type=|fixed=)/.test(text.slice(before));
  return { name, is: "asked", asked, cscd, typeTold };
}

function takeAsked(words: Words): Asked | undefined {
  if (words.take("lun:") !== undefined) return { lun: Number(words.number("a logical unit number", 16_383n)) };
  const unit = words.take(/(?:\/dev\/|iscsi:\/\/)[^\s,]+/y);
  return unit === undefined ? undefined : { unit };
}

function takeDesignator(words: Words): BinaryDesignator {
  const from = words.at;
  const bare = /[^,\s]+/y;
  // T10 vendor designators have spaces, which quotation marks keep together.
  const quoted = words.take(/"[^"]+"/y);
  const raw = quoted === undefined && words.take("designator:") !== undefined;
  const text = quoted?.slice(1, -1) ?? words.expect(bare, "what the device is");
  const designator = raw ? rawDesignator(text) : designatorOf(text);
  if (designator === undefined)
    throw words.wrong(
      `"${text}" is no device: write naa.HEX, eui.HEX, "t10.TEXT", iqn.NAME, lun:N, /dev/sgN, iscsi://…, this or rod`,
      words.span(from),
    );
  if (designator.value.length > CSCD_DESIGNATOR_MAX)
    throw words.wrong(`a copy has room for designators of ${CSCD_DESIGNATOR_MAX} bytes at most`, words.span(from));
  return designator;
}

/** CODESET.ASSOCIATION.TYPE.HEX, for those that have no words. */
function rawDesignator(text: string): BinaryDesignator | undefined {
  const [, codeSet, association, type, value] =
    /^(\d{1,2})\.([0-3])\.(\d{1,2})\.((?:[0-9a-fA-F]{2})+)$/.exec(text) ?? [];
  if (value === undefined || Number(codeSet) > 15 || Number(type) > 15) return undefined;
  return { codeSet: Number(codeSet), association: Number(association), type: Number(type), value: fromHex(value) };
}

type Option = (words: Words) => Partial<Omit<RodCscd, "form">>;
const amount = (words: Words, what: string, most: bigint): number => {
  words.expect("=", `"=" and ${what}`);
  return Number(words.size(what, most));
};

const OPTIONS: Readonly<Record<string, Option>> = {
  disk: () => ({ deviceType: 0 }),
  tape: () => ({ deviceType: TAPE }),
  type: (words) => ({ deviceType: amount(words, "a peripheral device type", 31n) }),
  block: (words) => ({ blockBytes: amount(words, "the bytes of a block", U24) }),
  fixed: (words) => ({ deviceType: TAPE, fixed: true, blockBytes: amount(words, "the bytes of a block", U24) }),
  pad: () => ({ pad: true }),
  null: () => ({ nul: true }),
  port: (words) => ({ initiatorPort: amount(words, "a relative port identifier", U16) }),
};

const ROD_OPTIONS: Readonly<Record<string, Option>> = {
  rodtype: (words) => ({ rodType: amount(words, "a ROD type", U32) }),
  producer: (words) => ({ producer: amount(words, "a CSCD descriptor ID", U16) }),
  lifetime: (words) => ({ lifetimeSeconds: amount(words, "seconds", U32) }),
  inactivity: (words) => ({ inactivitySeconds: amount(words, "seconds", U32) }),
  return: () => ({ returnToken: true }),
  delete: () => ({ deleteToken: true }),
  /** The token is in the inline data. */
  token: (words) => ({ rodType: ROD_TYPE.BY_TOKEN, tokenOffset: amount(words, "an offset", U32) }),
};

function readOptions<T extends Head>(words: Words, plain: T, known: Readonly<Record<string, Option>>): T {
  let found = plain;
  while (!words.ended) {
    words.expect(",", '","');
    const from = words.space().at;
    const name = words.expect(/[a-z]+/y, "an option");
    const option = Object.hasOwn(known, name) ? known[name] : undefined;
    if (option === undefined)
      throw words.wrong(`there is no option "${name}"; there are ${Object.keys(known).join(", ")}`, words.span(from));
    found = { ...found, ...option(words) };
  }
  return found;
}

/** The words of a descriptor, which parseDevice reads as the same. */
export function deviceText(name: string, cscd: Cscd): string {
  const { nul, deviceType, initiatorPort, pad, fixed, blockBytes } = cscd;
  const type = deviceType === 0 ? undefined : deviceType === TAPE ? (fixed ? undefined : "tape") : `type=${deviceType}`;
  const options = [
    ...(cscd.form === "rod" ? rodText(cscd) : []),
    // Behind "fixed", which makes a tape of it.
    fixed ? `fixed=${blockBytes}` : blockBytes > 0 ? `block=${blockBytes}` : undefined,
    fixed && deviceType !== TAPE ? `type=${deviceType}` : type,
    pad ? "pad" : undefined,
    nul ? "null" : undefined,
    initiatorPort > 0 ? `port=${initiatorPort}` : undefined,
  ].filter((option) => option !== undefined);
  return [`${name}=${cscd.form === "rod" ? "rod" : designatorWords(cscd.designator)}`, ...options].join(",");
}

function rodText(cscd: RodCscd): readonly (string | undefined)[] {
  const { rodType, producer, lifetimeSeconds, inactivitySeconds, returnToken, deleteToken, tokenOffset } = cscd;
  return [
    rodType === ROD_TYPE.BY_TOKEN ? `token=${tokenOffset}` : `rodtype=0x${rodType.toString(16).padStart(8, "0")}`,
    producer === THIS_UNIT ? undefined : `producer=0x${producer.toString(16)}`,
    lifetimeSeconds > 0 ? `lifetime=${lifetimeSeconds}` : undefined,
    inactivitySeconds > 0 ? `inactivity=${inactivitySeconds}` : undefined,
    returnToken ? "return" : undefined,
    deleteToken ? "delete" : undefined,
  ];
}

export function designatorWords(designator: BinaryDesignator): string {
  const text = designatorText(designator);
  const again = designatorOf(text);
  const exact = again !== undefined && sameDesignator(again, designator) && !text.includes('"');
  if (exact) return /[\s,]/.test(text) ? `"${text}"` : text;
  const { codeSet, association, type, value } = designator;
  return `designator:${codeSet}.${association}.${type}.${toHex(value)}`;
}

/** The designator by which a copy names a logical unit: NAA, EUI-64, SCSI name, T10 vendor, in this order. */
export function bestDesignator(found: readonly BinaryDesignator[], who: string): BinaryDesignator {
  const own = found.filter(
    ({ association, value }) => association === 0 && value.length > 0 && value.length <= CSCD_DESIGNATOR_MAX,
  );
  for (const type of [3, 2, 8, 1]) {
    const designator = own.find((one) => one.type === type);
    if (designator !== undefined) return designator;
  }
  throw new GantryError(
    "XCOPY_INPUT",
    `${who} has no designator of at most ${CSCD_DESIGNATOR_MAX} bytes, so no copy can name it.`,
  );
}
