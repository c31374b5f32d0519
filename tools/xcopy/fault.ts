// How a command of a copy ended, explained: which segment, in the words that it was made of, which field of it, what was
// left to write, and what the devices said that the copy manager could not go on with (SPC-4 5.17.7.4).
import { isGantryError } from "../../src/sys/errors.js";
import { ascCode, ascText } from "../../src/wire/asc.js";
import { hexForPeople } from "../../src/wire/hex.js";
import { SENSE_KEY, SENSE_KEYS, STATUS, statusName } from "../../src/wire/names.js";
import { decodeSense, type Sense, type SenseSource, senseInWords } from "../../src/wire/sense.js";
import { type CopySense, decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import type { Forwarded } from "../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { listPlace, segmentField } from "./field-names.js";
import type { CopyPlan } from "./plan.js";

export interface DeviceSaid {
  /** Its name in the list, where the segment tells it. */
  readonly device?: string;
  readonly status: string;
  readonly words: string;
  readonly sense: Uint8Array;
}

export interface Fault {
  readonly status: string;
  readonly key?: string;
  readonly asc?: number;
  readonly ascq?: number;
  /** What the additional sense code means. */
  readonly why: string;
  readonly segment?: { readonly index: number; readonly of?: number; readonly words?: string };
  readonly field?: {
    readonly where: string;
    readonly byte: number;
    readonly bit?: number;
    readonly name?: string;
  };
  /** What was not written of the segment, in blocks of its destination or bytes. */
  readonly left?: { readonly count: bigint; readonly unit: string };
  readonly source?: DeviceSaid;
  readonly destination?: DeviceSaid;
  /** UNIT ATTENTION, NOT READY and the like: all that the sense data say, in words. */
  readonly sense?: string;
}

/** Never throws for what a device sends. */
export function faultOf(status: number, bytes: Uint8Array, plan?: CopyPlan): Fault {
  const name = statusName(status);
  if (bytes.length === 0) return { status: name, why: ended(status) };
  let sense: Sense;
  let copy: CopySense;
  try {
    sense = decodeSense(bytes);
    copy = decodeCopySense(bytes);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return { status: name, why: `sense data that cannot be decoded (${hexForPeople(bytes)})` };
  }
  const { key, asc, ascq } = sense;
  const place = fieldOf(sense, copy.segment, plan);
  const index = copy.segment ?? (key === SENSE_KEY.ILLEGAL_REQUEST ? place?.segment : undefined);
  const segment = index === undefined ? undefined : plan?.list.segments[index];
  const left =
    key === SENSE_KEY.COPY_ABORTED && sense.information !== undefined
      ? { count: sense.information, unit: unitOf(segment, plan) }
      : undefined;
  const side = (said: Forwarded | undefined, role: "source" | "destination"): DeviceSaid | undefined =>
    said && deviceSaid(said, segment, role, plan);
  const source = side(copy.source, "source");
  const destination = side(copy.destination, "destination");
  const words = index === undefined ? undefined : plan?.words[index];
  return {
    status: name,
    key: SENSE_KEYS[key] ?? "",
    asc,
    ascq,
    why: `${ascText(asc, ascq)} (${ascCode(asc, ascq)})`,
    ...(index !== undefined && {
      segment: { index, ...(plan && { of: plan.list.segments.length }), ...(words !== undefined && { words }) },
    }),
    ...(place && { field: place.field }),
    ...(left && { left }),
    ...(source && { source }),
    ...(destination && { destination }),
    ...(key !== SENSE_KEY.COPY_ABORTED && { sense: senseInWords(bytes) }),
  };
}

function ended(status: number): string {
  if (status === STATUS.RESERVATION_CONFLICT) return "another server has a reservation";
  if (status === STATUS.TASK_SET_FULL || status === STATUS.BUSY) return "there is no room for it now: try again later";
  return status === STATUS.TASK_ABORTED ? "somebody aborted it" : "no sense data came";
}

type Field = NonNullable<Fault["field"]>;

/** Where the sense data point, by the standard's names as far as the list is known. */
function fieldOf(
  { segmentPointer, fieldPointer }: Sense,
  index: number | undefined,
  plan: CopyPlan | undefined,
): { readonly field: Field; readonly segment?: number } | undefined {
  const pointer = segmentPointer ?? fieldPointer;
  if (pointer === undefined) return undefined;
  const { byte, bit } = pointer;
  const at = { byte, ...(bit !== undefined && { bit }) };
  if (segmentPointer?.inSegment === true) {
    const segment = index === undefined ? undefined : plan?.list.segments[index];
    const name = segment && segmentField(segment, byte, bit);
    return { field: { where: "the segment", ...at, ...(name !== undefined && { name }) } };
  }
  if (fieldPointer?.in === "CDB") return { field: { where: "the CDB", ...at } };
  if (plan === undefined) return { field: { where: "the parameter list", ...at } };
  const { where, field, segment, byte: within } = listPlace(plan, byte, bit);
  const name = field === undefined ? {} : { name: field };
  return { field: { where, ...at, byte: within, ...name }, ...(segment !== undefined && { segment }) };
}

/** SPC-4 5.17.7.4: blocks of a destination that has blocks, else bytes. */
function unitOf(segment: Segment | undefined, plan: CopyPlan | undefined): string {
  if (segment === undefined || plan === undefined || !("destination" in segment)) return "blocks or bytes";
  const name = plan.names.name(segment.destination);
  const toDisk = "destinationLba" in segment || ("lba" in segment && segment.kind.endsWith("-block"));
  return toDisk ? `blocks of ${name}` : `bytes or blocks of ${name}`;
}

function deviceSaid(
  { status, sense }: Forwarded,
  segment: Segment | undefined,
  role: "source" | "destination",
  plan: CopyPlan | undefined,
): DeviceSaid {
  const id = segment === undefined ? undefined : role in segment ? segment[role as keyof Segment] : undefined;
  const device = typeof id === "number" && plan !== undefined ? plan.names.name(id) : undefined;
  const words = sense.length === 0 ? statusName(status) : senseInWords(sense, kindOf(segment, role));
  return { ...(device !== undefined && { device }), status: statusName(status), words, sense };
}

/** What a device is, as far as its segment tells: INFORMATION means another thing on a tape than on a disk. */
function kindOf(segment: Segment | undefined, role: "source" | "destination"): SenseSource | undefined {
  if (segment === undefined) return undefined;
  const { kind } = segment;
  if (kind === "block-image" || kind === "offset-offset" || kind === "register-key") return "disk";
  if (kind === "tape-image" || kind === "filemarks" || kind === "space" || kind === "locate") return "tape";
  const sides = kind.split("-");
  const side = role === "source" ? sides[0] : sides[1];
  if (side === "stream") return "tape";
  return side === "block" || side === "offset" ? "disk" : undefined;
}

/** The fault on several lines. */
export function faultText(fault: Fault): string {
  const { segment, field, left, source, destination } = fault;
  const where = segment === undefined ? "" : ` in segment ${segment.index}`;
  const of = segment?.of === undefined ? "" : ` (the last is ${segment.of - 1})`;
  const rows: [string, string][] = [];
  // The sense key is in the first line.
  rows.push(["why", field === undefined ? (fault.sense?.replace(`${fault.key}: `, "") ?? fault.why) : fault.why]);
  if (field !== undefined) {
    const bit = field.bit === undefined ? "" : ` bit ${field.bit}`;
    rows.push([
      "field",
      `byte ${field.byte}${bit} of ${field.where}${field.name === undefined ? "" : `: ${field.name}`}`,
    ]);
  }
  if (left !== undefined) rows.push(["left", `${left.count} (${left.unit}) of the segment were not written`]);
  for (const [role, said] of [
    ["source", source],
    ["destination", destination],
  ] as const) {
    if (said === undefined) continue;
    const words = said.status === said.words ? said.status : `${said.status}: ${said.words}`;
    rows.push([role, `${said.device === undefined ? "" : `${said.device} said `}${words}`]);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    `${fault.key ?? fault.status}${where}${of}`,
    ...(segment?.words === undefined ? [] : [`    ${segment.words}`]),
    ...rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`),
  ].join("\n");
}
