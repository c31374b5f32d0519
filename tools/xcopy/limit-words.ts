// What a copy manager can do, as it tells it in RECEIVE COPY OPERATING PARAMETERS and in VPD page 8Fh, side by side: the
// two have to agree (SPC-4 7.8.17.1), and where they do not, an initiator may believe the wrong one.
import type { Row } from "../../src/sys/text.js";
import { COMMAND_NAMES, COPY_COMMANDS, type CopyCommandKind } from "../../src/wire/xcopy/commands.js";
import type { OperatingParameters } from "../../src/wire/xcopy/operating-parameters.js";
import type { SupportedCommand, ThirdPartyDescriptor } from "../../src/wire/xcopy/third-party-page.js";
import { GRAMMAR } from "./grammar.js";
import { rodTypeText } from "./result-words.js";
import { sizeText } from "./words.js";

type Kind = ThirdPartyDescriptor["kind"];
type Of<K extends Kind> = Extract<ThirdPartyDescriptor, { readonly kind: K }>;

const find = <K extends Kind>(page: readonly ThirdPartyDescriptor[], kind: K): Of<K> | undefined =>
  page.find((descriptor): descriptor is Of<K> => descriptor.kind === kind);

const bytes = (value: number | bigint | undefined): string | undefined =>
  value === undefined ? undefined : sizeText(BigInt(value));
/** 0 is "no limit" here. */
const limited = (value: number | bigint | undefined): string | undefined =>
  value === undefined ? undefined : BigInt(value) === 0n ? "no limit" : sizeText(BigInt(value));
const power = (value: number | undefined): string | undefined =>
  value === undefined ? undefined : sizeText(1n << BigInt(value));
/** Codes as ranges: "00h–16h E4h". */
function ranges(codes: readonly number[] | undefined): string | undefined {
  const found: [first: number, last: number][] = [];
  for (const code of codes ?? []) {
    const last = found.at(-1);
    if (last !== undefined && last[1] + 1 === code) last[1] = code;
    else found.push([code, code]);
  }
  return (
    codes && found.map(([first, last]) => [...new Set([first, last])].map((one) => list([one], 2)).join("–")).join(" ")
  );
}
const list = (values: readonly number[] | undefined, width: number): string | undefined =>
  values?.map((value) => `${value.toString(16).toUpperCase().padStart(width, "0")}h`).join(" ");

/** One row for each limit: its name, and what either side says. */
export function limitRows(
  parameters: OperatingParameters | undefined,
  page: readonly ThirdPartyDescriptor[] | undefined,
): readonly Row[] {
  const p = parameters;
  const data = page && find(page, "parameter-data");
  const general = page && find(page, "general-copy");
  const held = page && find(page, "held-data");
  const rows: readonly (readonly [string, unknown, unknown])[] = [
    ["CSCD descriptors", p?.maxCscds, data?.maxCscds],
    ["segments", p?.maxSegments, data?.maxSegments],
    ["bytes of descriptors", bytes(p?.maxListBytes), bytes(data?.maxListBytes)],
    ["bytes of inline data", bytes(p?.maxInlineBytes), bytes(data?.maxInlineBytes)],
    ["bytes of a segment", limited(p?.maxSegmentBytes), limited(general?.maxSegmentBytes)],
    ["bytes of held data", bytes(p?.heldBytes), bytes(held?.heldBytes)],
    [
      "bytes of a tape block",
      bytes(p?.maxStreamTransferBytes),
      bytes(page && find(page, "stream-copy")?.maxTransferBytes),
    ],
    ["lists without identifier", p && (p.withoutListId ? "yes" : "no"), undefined],
    ["copies at a time", p?.totalCopies, general?.totalCopies],
    ["copies with identifier", p?.maxCopies, general?.maxIdentifiedCopies],
    ["segment granularity", power(p?.segmentGranularity), power(general?.segmentGranularity)],
    ["inline granularity", power(p?.inlineGranularity), power(general?.inlineGranularity)],
    ["held data granularity", power(p?.heldGranularity), power(held?.heldGranularity)],
    ["descriptor types", ranges(p?.descriptors), ranges(page && find(page, "descriptors")?.codes)],
  ];
  return rows.map(([limit, told, inPage]) => ({ limit, parameters: told, page8Fh: inPage }));
}

const TOLD_ELSEWHERE: ReadonlySet<Kind> = new Set([
  "parameter-data",
  "general-copy",
  "held-data",
  "stream-copy",
  "descriptors",
]);

/** What only the page tells, a line each. */
export function pageLines(page: readonly ThirdPartyDescriptor[]): readonly string[] {
  return page.filter(({ kind }) => !TOLD_ELSEWHERE.has(kind)).flatMap(descriptorLines);
}

function descriptorLines(one: ThirdPartyDescriptor): readonly string[] {
  switch (one.kind) {
    case "commands":
      return ["commands:", ...one.commands.flatMap(commandNames).map((name) => `  ${name}`)];
    case "cscd-ids":
      return [`CSCD descriptor IDs without a descriptor: ${list(one.ids, 4)}`];
    case "block-rod-limits":
      return [
        "tokens of a disk:",
        `  ranges          ${one.maxRanges === 0 ? "not told" : one.maxRanges}`,
        `  blocks          ${one.maxBlocks === 0n ? "not told" : one.maxBlocks}, best ${one.optimalBlocks}`,
        `  inactivity      ${one.defaultInactivitySeconds} s, ${one.maxInactivitySeconds} s at most`,
      ];
    case "rod-features":
      return [
        `RODs: tokens of other copy managers ${one.remoteTokens === 0 ? "are not taken" : `are taken (${one.remoteTokens})`}`,
        `  lifetime        ${one.minLifetimeSeconds} s to ${one.maxLifetimeSeconds} s`,
        `  inactivity      ${one.maxInactivitySeconds} s at most`,
      ];
    case "rod-types":
      return [
        "ROD types:",
        ...one.types.map(({ type, internal, tokenIn, tokenOut }) => {
          const uses = [internal && "internal", tokenIn && "token in", tokenOut && "token out"].filter(Boolean);
          return `  ${rodTypeText(type)}: ${uses.join(", ") || "nothing"}`;
        }),
      ];
    case "other":
      return [`descriptor ${list([one.type], 4)} of ${one.bytes.length} bytes is not known here`];
    default:
      return [];
  }
}

export function commandNames({ opcode, actions }: SupportedCommand): readonly string[] {
  return actions.map((action) => {
    const known = (Object.keys(COPY_COMMANDS) as CopyCommandKind[]).find(
      (kind) => COPY_COMMANDS[kind].opcode === opcode && COPY_COMMANDS[kind].action === action,
    );
    const code = `${list([opcode], 2)}/${list([action], 2)}`;
    return known === undefined ? `${code} (not known here)` : `${code} ${COMMAND_NAMES[known]}`;
  });
}

/** Segments in words that a copy manager takes, by its descriptor types. */
export function takenSegments(codes: readonly number[]): readonly string[] {
  const taken = new Set(codes);
  return GRAMMAR.filter((row) => row.codes.split(" ").some((code) => taken.has(Number.parseInt(code, 16)))).map(
    ({ words }) => words,
  );
}
