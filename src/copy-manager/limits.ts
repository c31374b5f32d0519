// What this copy manager can do, in one place: what its decoders refuse, VPD page 8Fh and RECEIVE COPY OPERATING PARAMETERS
// are made of the same numbers, so that none of them says what another does not keep.
import { COPY_COMMANDS, COPY_IN, COPY_OUT, type CopyCommandKind } from "../wire/xcopy/commands.js";
import type { CopyLimits } from "../wire/xcopy/copy-list.js";
import { CSCD_TYPE } from "../wire/xcopy/cscd.js";
import { encodeOperatingParameters, type OperatingParameters } from "../wire/xcopy/operating-parameters.js";
import { ROD_TYPE } from "../wire/xcopy/rod-token.js";
import { SEGMENT_CODE, SEGMENT_CODES, THIS_UNIT } from "../wire/xcopy/segments.js";
import {
  encodeThirdPartyPage,
  type SupportedCommand,
  type ThirdPartyDescriptor,
} from "../wire/xcopy/third-party-page.js";
import type { TokenLimits } from "../wire/xcopy/token-lists.js";

export const COPY_LIMITS = {
  cscds: 64,
  segments: 1024,
  /** Of the descriptors: 64 CSCDs and 1024 segments of 28 bytes, which is the longest that only moves blocks. */
  listBytes: 30_720,
  /** LID4 can tell of 65,535 alone. */
  inlineBytes: 65_536,
  /** Of one copy. */
  heldBytes: 65_536,
  /** All that run at once. */
  copies: 64,
  /** Of one I_T nexus, with and without a list identifier. */
  copiesOfNexus: 16,
  /** Largest block that is written to a tape or read from one. */
  streamTransferBytes: 8 << 20,
} as const;

export const TOKEN_LIMITS = {
  /** As many as WRITE USING TOKEN can tell of are 4062; each of them is remembered as long as the token is. */
  ranges: 1024,
  defaultInactivitySeconds: 60,
  maxInactivitySeconds: 3600,
  /** Of every token: POPULATE TOKEN cannot ask for another. */
  lifetimeSeconds: 86_400,
  /** More in one command is carried out, and takes longer than an initiator may like to wait. */
  optimalBytes: 64 << 20,
} as const;

/** Segments that make RODs: POPULATE TOKEN does that here. */
const ROD_SEGMENTS: ReadonlySet<number> = new Set([SEGMENT_CODE.ROD_RANGES, 0xbf]);
/** CSCD descriptor type codes and segment descriptor type codes, ascending: segments have the lower ones (SPC-4 table 131). */
const DESCRIPTORS: readonly number[] = [
  ...SEGMENT_CODES.filter((code) => !ROD_SEGMENTS.has(code)),
  CSCD_TYPE.IDENTIFICATION,
];
/** Segments that need a tape: whoever sees none has a copy manager that moves blocks only, and is told so. */
const STREAM_SEGMENTS: ReadonlySet<number> = new Set([
  0x00, 0x01, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0b, 0x0c, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13,
]);
const descriptorsOf = (streams: boolean): readonly number[] =>
  streams ? DESCRIPTORS : DESCRIPTORS.filter((code) => !STREAM_SEGMENTS.has(code));
/** SPC-4 table 148: the null devices and the logical unit itself; those of the list's own descriptors are not told. */
const CSCD_IDS = [0xc000, 0xc001, THIS_UNIT] as const;
/** Powers of two: every number of bytes is taken. */
const ANY_BYTES = 0;
const NO_LIMIT = (1n << 64n) - 1n;

const DISK = 0x00;
const TAPE = 0x01;
export type CopyManagerType = "disk" | "tape";

/** SBC-3 has these for disks alone. REPORT ALL ROD TOKENS is of SPC-4 and of the copy manager, so a tape drive has it too. */
const FOR_DISKS: ReadonlySet<CopyCommandKind> = new Set(["populate-token", "write-using-token", "token-information"]);

/** Whether a logical unit of this type has the command. */
export const supportsCommand = (type: CopyManagerType, kind: CopyCommandKind): boolean =>
  type === "disk" || !FOR_DISKS.has(kind);

/** @param streams whether the asker sees a tape */
export const copyLimits = (streams = true): CopyLimits => ({
  maxCscds: COPY_LIMITS.cscds,
  maxSegments: COPY_LIMITS.segments,
  maxListBytes: COPY_LIMITS.listBytes,
  maxInlineBytes: COPY_LIMITS.inlineBytes,
  withoutListId: true,
  descriptors: new Set(descriptorsOf(streams)),
});

/** A token may be of as many blocks as a disk has. */
export const tokenLimits = (): TokenLimits => ({
  maxRanges: TOKEN_LIMITS.ranges,
  maxInactivitySeconds: TOKEN_LIMITS.maxInactivitySeconds,
  maxBlocks: 0n,
  types: new Set([ROD_TYPE.POINT_IN_TIME_VULNERABLE]),
});

/** @param streams whether the asker sees a tape */
export const operatingParameters = (streams = true): OperatingParameters => ({
  withoutListId: true,
  maxCscds: COPY_LIMITS.cscds,
  maxSegments: COPY_LIMITS.segments,
  maxListBytes: COPY_LIMITS.listBytes,
  maxSegmentBytes: 0,
  maxInlineBytes: COPY_LIMITS.inlineBytes,
  heldBytes: COPY_LIMITS.heldBytes,
  maxStreamTransferBytes: COPY_LIMITS.streamTransferBytes,
  totalCopies: COPY_LIMITS.copies,
  maxCopies: COPY_LIMITS.copiesOfNexus,
  segmentGranularity: ANY_BYTES,
  inlineGranularity: ANY_BYTES,
  heldGranularity: ANY_BYTES,
  descriptors: descriptorsOf(streams),
});

/** RECEIVE COPY OPERATING PARAMETERS data. */
export const operatingParametersData = (streams = true): Uint8Array =>
  encodeOperatingParameters(operatingParameters(streams));

/**
 * VPD page 8Fh of a logical unit.
 * @param blockBytes of a disk; 0: not known, so that nothing is said of how much is best
 * @param streams whether the asker sees a tape
 */
export function thirdPartyPage(type: CopyManagerType, blockBytes = 0, streams = true): Uint8Array {
  const descriptors: ThirdPartyDescriptor[] = [
    ...(type === "disk" ? [blockLimits(blockBytes)] : []),
    { kind: "commands", commands: [COPY_OUT, COPY_IN].map((opcode) => supportedActions(type, opcode)) },
    {
      kind: "parameter-data",
      maxCscds: COPY_LIMITS.cscds,
      maxSegments: COPY_LIMITS.segments,
      maxListBytes: COPY_LIMITS.listBytes,
      maxInlineBytes: COPY_LIMITS.inlineBytes,
    },
    { kind: "descriptors", codes: descriptorsOf(streams) },
    { kind: "cscd-ids", ids: CSCD_IDS },
    ...(type === "disk" ? tokenDescriptors() : []),
    {
      kind: "general-copy",
      totalCopies: COPY_LIMITS.copies,
      maxIdentifiedCopies: COPY_LIMITS.copiesOfNexus,
      maxSegmentBytes: 0,
      segmentGranularity: ANY_BYTES,
      inlineGranularity: ANY_BYTES,
    },
    { kind: "stream-copy", maxTransferBytes: COPY_LIMITS.streamTransferBytes },
    { kind: "held-data", heldBytes: COPY_LIMITS.heldBytes, heldGranularity: ANY_BYTES },
  ];
  return encodeThirdPartyPage(type === "disk" ? DISK : TAPE, descriptors);
}

function supportedActions(type: CopyManagerType, opcode: number): SupportedCommand {
  const actions = (Object.entries(COPY_COMMANDS) as [CopyCommandKind, (typeof COPY_COMMANDS)[CopyCommandKind]][])
    .filter(([kind, row]) => row.opcode === opcode && supportsCommand(type, kind))
    .map(([, row]) => row.action);
  return { opcode, actions: actions.sort((a, b) => a - b) };
}

function blockLimits(blockBytes: number): ThirdPartyDescriptor {
  return {
    kind: "block-rod-limits",
    maxRanges: TOKEN_LIMITS.ranges,
    maxInactivitySeconds: TOKEN_LIMITS.maxInactivitySeconds,
    defaultInactivitySeconds: TOKEN_LIMITS.defaultInactivitySeconds,
    maxBlocks: 0n,
    optimalBlocks: blockBytes > 0 ? BigInt(Math.floor(TOKEN_LIMITS.optimalBytes / blockBytes)) : 0n,
  };
}

/** Nothing is copied to make a token, so that the more it stands for, the better. */
function tokenDescriptors(): readonly ThirdPartyDescriptor[] {
  const [optimal, { lifetimeSeconds, maxInactivitySeconds }] = [BigInt(TOKEN_LIMITS.optimalBytes), TOKEN_LIMITS];
  const feature = {
    deviceType: DISK,
    granularityBlocks: 0,
    maxBytes: NO_LIMIT,
    optimalBytes: NO_LIMIT,
    optimalToToken: NO_LIMIT,
    optimalFromToken: optimal,
  };
  const known = { internal: false, tokenIn: true, preference: 0 };
  return [
    {
      kind: "rod-features",
      remoteTokens: 0,
      minLifetimeSeconds: lifetimeSeconds,
      maxLifetimeSeconds: lifetimeSeconds,
      maxInactivitySeconds,
      features: [feature],
    },
    {
      kind: "rod-types",
      types: [
        { type: ROD_TYPE.POINT_IN_TIME_VULNERABLE, tokenOut: true, ...known },
        { type: ROD_TYPE.ZERO, tokenOut: false, ...known },
      ],
    },
  ];
}
