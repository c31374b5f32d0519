// A parameter list with the words that it was made of, or that explain it.
import { isGantryError } from "../../src/sys/errors.js";
import { hexForPeople } from "../../src/wire/hex.js";
import { cscdId } from "../../src/wire/xcopy/copy-devices.js";
import {
  type CopyForm,
  type CopyLimits,
  type CopyList,
  decodeCopyList,
  encodeCopyList,
  LIST_ID_USAGE,
} from "../../src/wire/xcopy/copy-list.js";
import { CSCD_TYPE, type Cscd } from "../../src/wire/xcopy/cscd.js";
import { joined } from "../../src/wire/xcopy/layout.js";
import { CopyRefusal } from "../../src/wire/xcopy/refusal.js";
import { SEGMENT_CODES, type Segment } from "../../src/wire/xcopy/segments.js";
import type { DataSource } from "./data-words.js";
import { BUILT_IN, type DeviceSpec, deviceText } from "./device-words.js";
import { type Devices, NUMBERED } from "./places.js";
import { parseSegment } from "./segment-parse.js";
import { type DeviceNames, segmentText } from "./segment-words.js";
import { Words } from "./words.js";

export interface CopyPlan {
  readonly list: CopyList;
  readonly bytes: Uint8Array;
  /** One for each segment: the user's own, or those that say the same. */
  readonly words: readonly string[];
  readonly names: DeviceNames;
}

export type NamedDevice = Exclude<DeviceSpec, { readonly is: "asked" }>;

export type ListOptions = Pick<
  CopyList,
  "form" | "listId" | "listIdUsage" | "priority" | "striped" | "goodSense" | "immediate"
> & {
  /** In front of what segments add. */
  readonly inline: Uint8Array;
};

/** What no copy manager can take is refused here, before it is sent; limits are the copy manager's. */
const NO_LIMITS: CopyLimits = {
  maxCscds: 0xffff,
  maxSegments: 0xffff,
  maxListBytes: 0xffff_ffff,
  maxInlineBytes: 0xffff_ffff,
  withoutListId: true,
  descriptors: new Set([...SEGMENT_CODES, CSCD_TYPE.IDENTIFICATION, CSCD_TYPE.ROD]),
};

/** @throws GantryError XCOPY_SYNTAX, SCSI_FIELD_RANGE; CopyRefusal for what contradicts itself */
export function makePlan(
  devices: readonly NamedDevice[],
  lines: readonly string[],
  { inline, ...head }: ListOptions,
  source: DataSource,
): CopyPlan {
  const cscds = devices.flatMap((device) => (device.is === "cscd" ? [device.cscd] : []));
  const ids = idsOf(devices, head.form);
  const parts: Uint8Array[] = [inline];
  let inlineBytes = inline.length;
  const addInline = (bytes: Uint8Array): { offset: number; length: number } => {
    // INLINE DATA OFFSET is a multiple of four (SPC-4 6.4.6.6).
    const gap = new Uint8Array(-inlineBytes & 3);
    const offset = inlineBytes + gap.length;
    parts.push(gap, bytes);
    inlineBytes = offset + bytes.length;
    return { offset, length: bytes.length };
  };
  const context = { ...source, devices: namesOf(ids, cscds, head.form), addInline };
  const segments = lines.map((line, index) => segmentOf(line, index, context));
  const list = { ...head, cscds, segments, inline: joined(...parts) };
  const bytes = encodeCopyList(list);
  decodeCopyList(bytes, list.form, NO_LIMITS);
  const words = lines.map((line) => line.trim());
  return { list, bytes, words, names: wordsFor(ids, context.devices) };
}

/** A line whose fields do not fit is told by its number. */
function segmentOf(line: string, index: number, context: Parameters<typeof parseSegment>[1]): Segment {
  return parseSegment(new Words(line, `segment ${index}`), context);
}

/** A list that came as bytes; its devices are named d0, t0, r0 and so on. @throws CopyRefusal */
export function planOf(bytes: Uint8Array, form: CopyForm): CopyPlan {
  const list = decodeCopyList(bytes, form, NO_LIMITS);
  const counts = new Map<string, number>();
  const devices = list.cscds.map((cscd): NamedDevice => {
    const letter = cscd.form === "rod" ? "r" : cscd.deviceType === 1 ? "t" : "d";
    const count = counts.get(letter) ?? 0;
    counts.set(letter, count + 1);
    return { name: `${letter}${count}`, is: "cscd", cscd };
  });
  const ids = idsOf(devices, form);
  const names = wordsFor(ids, namesOf(ids, list.cscds, form));
  return { list, bytes, words: list.segments.map((segment) => segmentText(segment, names)), names };
}

function idsOf(devices: readonly NamedDevice[], form: CopyForm): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  let index = 0;
  for (const device of devices) {
    if (ids.has(device.name))
      throw new Words(device.name, "device").wrong(`"${device.name}" is given twice`, {
        from: 0,
        to: device.name.length,
      });
    ids.set(device.name, device.is === "this" ? 0xffff : cscdId({ form }, index++));
  }
  return ids;
}

function namesOf(ids: ReadonlyMap<string, number>, cscds: readonly Cscd[], form: CopyForm): Devices {
  const first = cscdId({ form }, 0);
  return {
    names: [...ids.keys()],
    id: (name) => ids.get(name),
    fixedBytes(id) {
      const cscd = cscds[id - first];
      return cscd?.fixed === true ? cscd.blockBytes : 0;
    },
    kind(id) {
      const cscd = cscds[id - first];
      if (cscd === undefined || cscd.form === "rod") return undefined;
      return cscd.deviceType === 1 ? "tape" : cscd.deviceType === 0 ? "disk" : undefined;
    },
  };
}

function wordsFor(ids: ReadonlyMap<string, number>, devices: Devices): DeviceNames {
  const byId = new Map([...BUILT_IN, ...ids].map(([name, id]) => [id, name]));
  return {
    fixedBytes: devices.fixedBytes,
    name(id, as) {
      const kind = devices.kind(id);
      const name = as === undefined || kind === undefined || kind === as ? byId.get(id) : undefined;
      return name ?? `${NUMBERED}${id}`;
    },
  };
}

/** The lines of a file that say something, without comments. */
export function linesOf(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map((line) => withoutComment(line).trim())
    .filter((line) => line !== "");
}

/** "#" begins a comment at the beginning of a word, outside of quotation marks. */
function withoutComment(line: string): string {
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    if (quoted && line[at] === "\\") at++;
    else if (line[at] === '"') quoted = !quoted;
    else if (!quoted && line[at] === "#" && (at === 0 || /\s/.test(line[at - 1] ?? ""))) return line.slice(0, at);
  }
  return line;
}

/** A refusal of a list that was not sent yet. */
export const isRefusal = (error: unknown): error is CopyRefusal => isGantryError(error) && error instanceof CopyRefusal;

/** The list in words that make it again, with what else is in its header as comments. */
export function planText({ list, bytes, words, names }: CopyPlan): string {
  const first = cscdId(list, 0);
  const usage: Readonly<Record<number, string>> = {
    [LIST_ID_USAGE.HOLD]: `list id ${list.listId}`,
    [LIST_ID_USAGE.DISCARD]: `list id ${list.listId}, held data is discarded`,
    [LIST_ID_USAGE.NONE]: "no list id",
  };
  const head = [
    `EXTENDED COPY(${list.form})`,
    `${bytes.length} bytes`,
    usage[list.listIdUsage] ?? `LIST ID USAGE ${list.listIdUsage}`,
    `priority ${list.priority}`,
    ...(["striped", "immediate"] as const).filter((flag) => list[flag]),
    ...(list.goodSense ? ["sense data with GOOD"] : []),
  ];
  return [
    `# ${head.join(", ")}`,
    ...list.cscds.map((cscd, index) => `device ${deviceText(names.name(first + index), cscd)}`),
    ...(list.inline.length === 0 ? [] : [`# inline data: ${hexForPeople(list.inline)}`]),
    ...words,
  ].join("\n");
}

export function planJson({ list, bytes, words, names }: CopyPlan): Readonly<Record<string, unknown>> {
  const { cscds, segments, ...head } = list;
  const first = cscdId(list, 0);
  return {
    ...head,
    bytes,
    devices: cscds.map((cscd, index) => ({ name: names.name(first + index), id: first + index, ...cscd })),
    segments: segments.map((segment, index) => ({ words: words[index], ...segment })),
  };
}
