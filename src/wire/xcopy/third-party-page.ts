// VPD page 8Fh, Third-party Copy (SPC-4 7.8.17, SBC-3 6.6.9): what a copy manager can do, in descriptors. Those of fixed
// fields have a table; the others are lists. A descriptor that is not known comes back as bytes.
import { Fields, putUint } from "../bytes.js";
import {
  bits,
  blob,
  flag,
  joined,
  type Layout,
  readLayout,
  uint,
  uint64,
  type ValuesOf,
  writeLayout,
} from "./layout.js";
import { decodeFeatures, encodeFeatures, type RodFeature } from "./rod-features.js";

export const THIRD_PARTY_PAGE = 0x8f;
const HEAD = 4;

interface Row {
  readonly type: number;
  /** Of the whole descriptor. */
  readonly bytes: number;
  readonly layout: Layout;
}

/** Places are those of the standard's tables: from the beginning of the descriptor. */
const FIXED = {
  /** SBC-3 6.6.9.3. 0: not told. */
  "block-rod-limits": {
    type: 0x0000,
    bytes: 36,
    layout: {
      maxRanges: uint(10, 2),
      maxInactivitySeconds: uint(12, 4),
      defaultInactivitySeconds: uint(16, 4),
      maxBlocks: uint64(20),
      optimalBlocks: uint64(28),
    },
  },
  /** SPC-4 7.8.17.5. */
  "parameter-data": {
    type: 0x0004,
    bytes: 32,
    layout: { maxCscds: uint(8, 2), maxSegments: uint(10, 2), maxListBytes: uint(12, 4), maxInlineBytes: uint(16, 4) },
  },
  /** SPC-4 7.8.17.10. Granularities are powers of two. */
  "general-copy": {
    type: 0x8001,
    bytes: 36,
    layout: {
      totalCopies: uint(4, 4),
      maxIdentifiedCopies: uint(8, 4),
      maxSegmentBytes: uint(12, 4),
      segmentGranularity: uint(16, 1),
      inlineGranularity: uint(17, 1),
    },
  },
  /** SPC-4 7.8.17.11. */
  "stream-copy": { type: 0x9101, bytes: 16, layout: { maxTransferBytes: uint(4, 4) } },
  /** SPC-4 7.8.17.12. */
  "held-data": { type: 0xc001, bytes: 32, layout: { heldBytes: uint(4, 4), heldGranularity: uint(8, 1) } },
} as const satisfies Record<string, Row>;
type FixedKind = keyof typeof FIXED;

const ROD_FEATURES = {
  remoteTokens: bits(4, 3, 0),
  minLifetimeSeconds: uint(16, 4),
  maxLifetimeSeconds: uint(20, 4),
  maxInactivitySeconds: uint(24, 4),
};
const ROD_FEATURES_HEAD = 48;
const ROD_TYPE_BYTES = 64;
const ROD_TYPE = {
  type: uint(0, 4),
  internal: flag(4, 7),
  tokenIn: flag(4, 1),
  tokenOut: flag(4, 0),
  preference: uint(6, 2),
};

export interface SupportedCommand {
  readonly opcode: number;
  /** In ascending order. */
  readonly actions: readonly number[];
}

export type ThirdPartyDescriptor =
  | { [K in FixedKind]: { readonly kind: K } & ValuesOf<(typeof FIXED)[K]["layout"]> }[FixedKind]
  | { readonly kind: "commands"; readonly commands: readonly SupportedCommand[] }
  | { readonly kind: "descriptors"; readonly codes: readonly number[] }
  | { readonly kind: "cscd-ids"; readonly ids: readonly number[] }
  | ({ readonly kind: "rod-features"; readonly features: readonly RodFeature[] } & ValuesOf<typeof ROD_FEATURES>)
  | { readonly kind: "rod-types"; readonly types: readonly ValuesOf<typeof ROD_TYPE>[] }
  | { readonly kind: "other"; readonly type: number; readonly bytes: Uint8Array };

const LISTS = {
  commands: 0x0001,
  descriptors: 0x0008,
  "cscd-ids": 0x000c,
  "rod-features": 0x0106,
  "rod-types": 0x0108,
};
const ROWS: Readonly<Record<FixedKind, Row>> = FIXED;

/** Descriptors have to be in ascending order of their type (7.8.17.1). @throws GantryError SCSI_FIELD_RANGE */
export function encodeThirdPartyPage(deviceType: number, descriptors: readonly ThirdPartyDescriptor[]): Uint8Array {
  const page = joined(new Uint8Array(HEAD), ...descriptors.map(encodeDescriptor));
  page[0] = deviceType & 0x1f;
  page[1] = THIRD_PARTY_PAGE;
  putUint(page, 2, 2, page.length - HEAD, "page length");
  return page;
}

/** @throws GantryError SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID */
export function decodeThirdPartyPage(page: Uint8Array): readonly ThirdPartyDescriptor[] {
  const head = new Fields(page, "VPD page 8Fh");
  if (head.u8(1) !== THIRD_PARTY_PAGE) throw head.invalid(`the device sent page ${head.u8(1).toString(16)}h instead`);
  const fields = head.part(HEAD, head.u16(2), "VPD page 8Fh");
  const found: ThirdPartyDescriptor[] = [];
  for (let at = 0; at < fields.length; ) {
    const length = HEAD + fields.u16(at + 2);
    found.push(decodeDescriptor(fields.part(at, length, "third-party copy descriptor")));
    at += length;
  }
  return found;
}

function encodeDescriptor(descriptor: ThirdPartyDescriptor): Uint8Array {
  const body = encodeBody(descriptor);
  const padded = joined(body, new Uint8Array(-body.length & 3));
  putUint(padded, 0, 2, typeOf(descriptor), "third-party copy descriptor type");
  putUint(padded, 2, 2, padded.length - HEAD, "third-party copy descriptor length");
  return padded;
}

function typeOf(descriptor: ThirdPartyDescriptor): number {
  if (descriptor.kind === "other") return descriptor.type;
  return descriptor.kind in LISTS
    ? LISTS[descriptor.kind as keyof typeof LISTS]
    : ROWS[descriptor.kind as FixedKind].type;
}

function encodeBody(descriptor: ThirdPartyDescriptor): Uint8Array {
  switch (descriptor.kind) {
    case "commands": {
      const list = descriptor.commands.map(({ opcode, actions }) => Uint8Array.of(opcode, actions.length, ...actions));
      return counted(5, 1, joined(...list));
    }
    case "descriptors":
      return counted(5, 1, Uint8Array.from(descriptor.codes));
    case "cscd-ids":
      return counted(6, 2, joined(...descriptor.ids.map(twoBytes)));
    case "rod-features": {
      const bytes = counted(ROD_FEATURES_HEAD, 2, encodeFeatures(descriptor.features));
      writeLayout(ROD_FEATURES, bytes, descriptor);
      return bytes;
    }
    case "rod-types": {
      const list = descriptor.types.map((type) => {
        const bytes = new Uint8Array(ROD_TYPE_BYTES);
        writeLayout(ROD_TYPE, bytes, type);
        return bytes;
      });
      return counted(8, 2, joined(...list));
    }
    case "other":
      return joined(new Uint8Array(HEAD), descriptor.bytes);
    default: {
      const row = ROWS[descriptor.kind];
      const bytes = new Uint8Array(row.bytes);
      writeLayout(row.layout, bytes, descriptor as unknown as ValuesOf<Layout>);
      return bytes;
    }
  }
}

function decodeDescriptor(fields: Fields): ThirdPartyDescriptor {
  const type = fields.u16(0);
  for (const [kind, row] of Object.entries(ROWS) as [FixedKind, Row][])
    if (row.type === type) return { kind, ...readLayout(row.layout, fields) } as ThirdPartyDescriptor;
  switch (type) {
    case LISTS.commands:
      return { kind: "commands", commands: decodeCommands(listIn(fields, 5, 1)) };
    case LISTS.descriptors: {
      const list = listIn(fields, 5, 1);
      return { kind: "descriptors", codes: [...list.bytes(0, list.length)] };
    }
    case LISTS["cscd-ids"]: {
      const list = listIn(fields, 6, 2);
      return { kind: "cscd-ids", ids: Array.from({ length: list.length >> 1 }, (_, index) => list.u16(2 * index)) };
    }
    case LISTS["rod-features"]: {
      const features = decodeFeatures(listIn(fields, ROD_FEATURES_HEAD, 2));
      return { kind: "rod-features", ...readLayout(ROD_FEATURES, fields), features };
    }
    case LISTS["rod-types"]: {
      const list = listIn(fields, 8, 2);
      const count = Math.floor(list.length / ROD_TYPE_BYTES);
      const one = (index: number) => list.part(index * ROD_TYPE_BYTES, ROD_TYPE_BYTES, "ROD type descriptor");
      return {
        kind: "rod-types",
        types: Array.from({ length: count }, (_, index) => readLayout(ROD_TYPE, one(index))),
      };
    }
    default:
      return { kind: "other", type, bytes: blob(HEAD, fields.length - HEAD).read(fields) };
  }
}

function decodeCommands(list: Fields): readonly SupportedCommand[] {
  const found: SupportedCommand[] = [];
  for (let at = 0; at < list.length; at += 2 + list.u8(at + 1))
    found.push({ opcode: list.u8(at), actions: [...list.bytes(at + 2, list.u8(at + 1))] });
  return found;
}

/** A list behind `head` bytes, whose length is in the last `width` of them. */
function counted(head: number, width: 1 | 2, list: Uint8Array): Uint8Array {
  const bytes = joined(new Uint8Array(head), list);
  putUint(bytes, head - width, width, list.length, "list length");
  return bytes;
}

function listIn(fields: Fields, head: number, width: 1 | 2): Fields {
  const length = width === 1 ? fields.u8(head - 1) : fields.u16(head - 2);
  return fields.part(head, length, "list in a third-party copy descriptor");
}

function twoBytes(id: number): Uint8Array {
  const bytes = new Uint8Array(2);
  putUint(bytes, 0, 2, id, "CSCD descriptor ID");
  return bytes;
}
