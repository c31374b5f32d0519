// Log pages in words (SPC-4 7.3, SBC-3 6.4, SSC-4 8.2, ADC-3 6.1): parameter by parameter, with the value as the standard
// means it. What is not known is shown with its number and its bytes.
import type { Row } from "../sys/text.js";
import { ascText } from "../wire/asc.js";
import { hexForPeople } from "../wire/hex.js";
import { decodeLogPage, type LogPage } from "../wire/log.js";
import { TAPE_ALERTS } from "../wire/names.js";
import { flagsOf } from "./inquiry-words.js";

type Value = (bytes: Uint8Array) => string;
type Parameters = Readonly<Record<number, string | readonly [string, Value]>>;

/** A page's name, its parameters, and of which types of devices: a number means another page on another type. */
interface PageWords {
  readonly name: string;
  readonly types?: readonly string[];
  readonly parameters?: Parameters;
}

const count: Value = (bytes) => (bytes.length <= 8 ? BigInt(`0x${hexOf(bytes)}`).toString() : hexForPeople(bytes, 64));
const text: Value = (bytes) =>
  Buffer.from(bytes)
    .toString("latin1")
    .replace(/[\0 ]+$/, "")
    .replace(/[^ -~]/g, "?");
const inUnits =
  (unit: string): Value =>
  (bytes) =>
    `${count(bytes)} ${unit}`;
const celsius: Value = (bytes) => (bytes[1] === undefined || bytes[1] === 0xff ? "not known" : `${bytes[1]} °C`);
const yesNo: Value = (bytes) => (bytes.some((byte) => byte !== 0) ? "yes" : "no");

/** SPC-4 7.3.4 and its like: errors that were corrected, and that were not. */
const errors = (again: string): Parameters => ({
  0: "errors corrected without substantial delay",
  1: "errors corrected with possible delays",
  2: again,
  3: "errors corrected",
  4: "times the correction algorithm was used",
  5: ["bytes processed", inUnits("bytes")],
  6: "uncorrected errors",
});

/** ADC-3 6.1.2.3, very high frequency data: what the drive says to a library all the time. */
const VHF: readonly (readonly [byte: number, bit: number, text: string])[] = [
  [0, 7, "medium removal prevented"],
  [0, 6, "host initiated unload"],
  [0, 5, "memory in cartridge accessible"],
  [0, 4, "compression on"],
  [0, 3, "write protected"],
  [0, 2, "cleaning requested"],
  [0, 1, "cleaning required"],
  [0, 0, "initialized"],
  [1, 7, "in transition"],
  [1, 5, "robot may take the medium"],
  [1, 4, "medium present"],
  [1, 2, "medium seated"],
  [1, 1, "medium threaded"],
  [1, 0, "mounted"],
];
const vhf: Value = (bytes) =>
  VHF.filter(([byte, bit]) => ((bytes[byte] ?? 0) & (1 << bit)) !== 0)
    .map(([, , words]) => words)
    .join(", ") || "nothing";

const alerts: Value = (bytes) =>
  flagsOf(bytes)
    .map((flag) => `${flag} ${TAPE_ALERTS[flag] ?? "reserved"}`)
    .join(", ") || "none";

const PAGES: Readonly<Record<number, readonly PageWords[]>> = {
  0: [{ name: "supported log pages" }],
  2: [{ name: "write error counters", parameters: errors("blocks written again") }],
  3: [{ name: "read error counters", parameters: errors("blocks read again") }],
  4: [{ name: "read reverse error counters", parameters: errors("blocks read again") }],
  5: [{ name: "verify error counters", parameters: errors("blocks verified again") }],
  6: [{ name: "non-medium errors", parameters: { 0: "errors that are not of the medium" } }],
  12: [
    {
      name: "sequential-access device",
      types: ["tape"],
      parameters: {
        0: ["data bytes received from initiators", inUnits("bytes")],
        1: ["data bytes written to the medium", inUnits("bytes")],
        2: ["data bytes read from the medium", inUnits("bytes")],
        3: ["data bytes sent to initiators", inUnits("bytes")],
        4: ["native capacity from beginning to end of data", inUnits("MB")],
        5: ["native capacity from beginning to early warning", inUnits("MB")],
        6: ["native capacity from early warning to end of partition", inUnits("MB")],
        7: ["native capacity from beginning to where it stands", inUnits("MB")],
        8: ["native capacity of the buffer", inUnits("MB")],
        256: ["cleaning required", yesNo],
      },
    },
    { name: "logical block provisioning", types: ["disk"] },
  ],
  13: [{ name: "temperature", parameters: { 0: ["temperature", celsius], 1: ["reference temperature", celsius] } }],
  14: [
    {
      name: "start-stop cycle counter",
      parameters: {
        1: ["date of manufacture (year, week)", text],
        2: ["accounting date (year, week)", text],
        3: "start-stop cycles in a lifetime, specified",
        4: "start-stop cycles so far",
        5: "load-unload cycles in a lifetime, specified",
        6: "load-unload cycles so far",
      },
    },
  ],
  15: [{ name: "application client" }],
  16: [{ name: "self-test results" }],
  17: [{ name: "data transfer device status", types: ["tape"], parameters: { 0: ["state", vhf] } }],
  18: [{ name: "TapeAlert response", types: ["tape"], parameters: { 0: ["flags raised", alerts] } }],
  19: [{ name: "requested recovery", types: ["tape"] }],
  20: [{ name: "device statistics", types: ["tape"] }],
  21: [{ name: "background scan results", types: ["disk"] }],
  22: [{ name: "tape diagnostic data", types: ["tape"] }],
  23: [
    {
      name: "volume statistics",
      types: ["tape"],
      parameters: {
        0: ["page valid", yesNo],
        1: "times threaded",
        2: "data sets written",
        3: "write retries",
        4: "unrecovered write errors",
        5: "suspended writes",
        6: "fatal suspended writes",
        7: "data sets read",
        8: "read retries",
        9: "unrecovered read errors",
        10: "suspended reads",
        11: "fatal suspended reads",
        12: "last mount: unrecovered write errors",
        13: "last mount: unrecovered read errors",
        14: ["last mount: written", inUnits("MB")],
        15: ["last mount: read", inUnits("MB")],
        16: ["lifetime: written", inUnits("MB")],
        17: ["lifetime: read", inUnits("MB")],
        22: ["native capacity", inUnits("MB")],
        23: ["native capacity used", inUnits("MB")],
        64: ["volume serial number", text],
        65: ["tape lot identifier", text],
        66: ["barcode", text],
        67: ["volume manufacturer", text],
        128: ["write protected", yesNo],
        129: ["WORM", yesNo],
      },
    },
  ],
  24: [{ name: "protocol specific port" }],
  25: [{ name: "general statistics and performance" }],
  26: [{ name: "power condition transitions" }],
  46: [{ name: "TapeAlert" }],
  47: [{ name: "informational exceptions", parameters: { 0: ["state", exception] } }],
  49: [
    {
      name: "tape capacity",
      types: ["tape"],
      parameters: {
        1: ["remaining", inUnits("MiB")],
        2: ["remaining in the other partition", inUnits("MiB")],
        3: ["largest", inUnits("MiB")],
        4: ["largest of the other partition", inUnits("MiB")],
      },
    },
  ],
};

/** SPC-4 7.3.6: what is about to fail, and how warm it is. */
function exception(bytes: Uint8Array): string {
  const [asc = 0, ascq = 0, degrees] = bytes;
  const state = asc === 0 ? "nothing is expected to fail" : ascText(asc, ascq);
  return degrees === undefined || degrees === 0 || degrees === 0xff ? state : `${state}, ${degrees} °C`;
}

const wordsOf = (page: number, type: string): PageWords | undefined =>
  PAGES[page]?.find(({ types }) => types === undefined || types.includes(type));

export const logPageName = (page: number, type: string): string =>
  `${hex(page, 2)} ${wordsOf(page, type)?.name ?? (page >= 0x30 && page <= 0x3e ? "vendor specific" : "log page")}`;

/** One row for each parameter. */
export function logWords(data: Uint8Array, type: string): readonly Row[] {
  const page: LogPage = decodeLogPage(data);
  const known = wordsOf(page.page, type)?.parameters ?? {};
  return [...page.parameters].map(([code, bytes]) => {
    const words = known[code];
    const [what, value] = typeof words === "string" ? [words, count] : (words ?? [undefined, undefined]);
    if (what === undefined || bytes.length === 0)
      return { code: hex(code, 4), what: "", value: hexForPeople(bytes, 64) };
    return { code: hex(code, 4), what, value: (value ?? count)(bytes) };
  });
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const hex = (value: number, digits: number): string => `${value.toString(16).toUpperCase().padStart(digits, "0")}h`;
