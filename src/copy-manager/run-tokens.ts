// POPULATE TOKEN and WRITE USING TOKEN (SBC-3 5.14, 5.45): ranges of a disk become a token, and a token is written to
// ranges of a disk, by the same engine as every other copy.
import { readCapacity16 } from "../wire/cdb.js";
import type { BinaryDesignator } from "../wire/xcopy/designator.js";
import { DESIGNATOR } from "../wire/xcopy/designator.js";
import { ASC, refused } from "../wire/xcopy/refusal.js";
import type { PopulateToken, WriteUsingToken } from "../wire/xcopy/token-lists.js";
import type { ActiveCopy } from "./active.js";
import { Extents } from "./overlap.js";
import { forbidden, type SeenPath } from "./resolver.js";
import type { ListPlant } from "./run-list.js";
import { runSteps } from "./run-list.js";
import type { DataStep, ScatterPart } from "./steps.js";
import { checkRanges } from "./token-ranges.js";
import type { TokenUse, ZeroToken } from "./token-use.js";
import type { Tokens } from "./tokens.js";

const POPULATE_RANGES = 16;
const WRITE_RANGES = 536;
const CAPACITY_BYTES = 32;
/** What a token is kept in memory of that is written over itself. */
const OVERLAP_BYTES = 8n << 20n;
/** Behind the capacity: what a disk says of itself besides (SBC-3 4.28.5). */
const DEVICE_DATA_AT = 8;

export interface TokenPlant extends ListPlant {
  readonly tokens: Tokens;
  /** Name of the target device. */
  readonly targetName: () => string;
  /** Whatever servers wrote on the disk until now has been told to `tokens` when it returns. */
  readonly settleWrites: (device: string) => void;
}

/** @throws CopyRefusal */
export async function populate(
  list: PopulateToken,
  active: ActiveCopy,
  maker: string,
  plant: TokenPlant,
): Promise<void> {
  const { device } = active.operation.facts;
  const leased = await plant.units.lease(device);
  try {
    const { blocks, blockBytes } = leased.facts;
    active.operation.countsBlocksOf(blockBytes);
    checkRanges(list.ranges, blocks, POPULATE_RANGES);
    const { data } = await leased.unit.command(readCapacity16(), { dataIn: CAPACITY_BYTES });
    const creator = nameOf(await plant.units.designators(device));
    if (creator === undefined) throw refused(ASC.NO_ROOM_FOR_ROD, `${device} has no worldwide name for a token`);
    plant.settleWrites(device);
    const token = plant.tokens.make({
      maker,
      device,
      blockBytes,
      ranges: list.ranges,
      inactivitySeconds: list.inactivitySeconds,
      creator,
      target: textual(plant.targetName()),
      deviceData: data.slice(DEVICE_DATA_AT),
    });
    active.operation.made(token);
    const bytes = list.ranges.reduce((sum, range) => sum + BigInt(range.blocks), 0n) * BigInt(blockBytes);
    active.operation.progress({ bytes, segments: list.ranges.length });
  } finally {
    await plant.units.giveBack(leased, true);
  }
}

/** @returns whether all that was asked for is written: a token may stand for less @throws CopyRefusal */
export async function writeUsing(list: WriteUsingToken, active: ActiveCopy, plant: TokenPlant): Promise<boolean> {
  const { device } = active.operation.facts;
  const leased = await plant.units.lease(device);
  const { blocks, blockBytes } = leased.facts;
  active.operation.countsBlocksOf(blockBytes);
  await plant.units.giveBack(leased, true);
  checkRanges(list.ranges, blocks, WRITE_RANGES);
  const use = plant.tokens.use(list.token);
  try {
    if (use.facts !== undefined) {
      mayRead(use, [...active.asker.paths().values()]);
      active.used(use.facts.device, "read");
    }
    active.used(device, "write");
    const wanted = list.ranges.reduce((sum, range) => sum + BigInt(range.blocks), 0n) * BigInt(blockBytes);
    const { parts, bytes } = use.resolve(list.offset * BigInt(blockBytes), wanted, blockBytes);
    const step: DataStep = {
      kind: "data",
      segments: [{ segment: 0, end: bytes, unitBytes: blockBytes, later: 0n }],
      gather: parts,
      scatter: targets(list, device, blockBytes, bytes),
      sourceBlockBytes: 0,
      tapeBlockBytes: 0,
    };
    const steps = overwrites(step, blockBytes) ? throughMemory(step, bytes) : [step];
    // Writes of this command itself cancel a token of the blocks that they change only when all is read.
    let own: (() => void) | undefined;
    await runSteps(steps, active, {
      ...plant,
      onWrote: (where, extents) => {
        own = () => plant.onWrote(where, extents);
      },
    }).finally(() => {
      if (use.facts !== undefined) plant.settleWrites(use.facts.device);
      const late = use.refusal;
      own?.();
      if (late !== undefined) throw late;
    });
    return bytes === wanted;
  } finally {
    use.release(list.deleteToken);
  }
}

/** Does it write blocks that it reads? The engine reads ahead of what it writes, or not. */
function overwrites({ gather, scatter }: DataStep, blockBytes: number): boolean {
  const written = new Extents();
  const end = ({ lba, skip, bytes }: { readonly lba: bigint; readonly skip: number; readonly bytes: bigint }): bigint =>
    lba + (BigInt(skip) + bytes + BigInt(blockBytes) - 1n) / BigInt(blockBytes);
  for (const part of scatter) if (part.op === "extent") written.add(part.device, part.lba, end(part));
  // Another disk may have other blocks, and is not written.
  return gather.some((part) => part.op === "extent" && written.meets(part.device, part.lba, end(part)));
}

/** All is read before anything is written. @throws CopyRefusal there is too much of it */
function throughMemory(step: DataStep, bytes: bigint): readonly DataStep[] {
  if (bytes > OVERLAP_BYTES)
    throw refused(
      ASC.TOKEN_CANCELLED,
      `${bytes} bytes of the token would be written over while they are read, and ${OVERLAP_BYTES} is the most`,
      16,
    );
  const segments = step.segments.map((one) => ({ ...one, end: 0n, later: bytes }));
  return [
    { ...step, segments, scatter: [{ op: "carry", bytes, held: false }] },
    { ...step, gather: [{ op: "carried", skip: 0n, bytes }] },
  ];
}

/** To who may not read its blocks a token is none. */
function mayRead({ facts }: TokenUse | ZeroToken, paths: readonly SeenPath[]): void {
  const path = paths.find(({ device }) => device === facts?.device);
  if (path !== undefined && forbidden(path, "read") === undefined) return;
  throw refused(ASC.TOKEN_UNKNOWN, "who presents the token may not read what it stands for", 16);
}

function targets(list: WriteUsingToken, device: string, blockBytes: number, bytes: bigint): readonly ScatterPart[] {
  const parts: ScatterPart[] = [];
  let left = bytes;
  for (const { lba, blocks } of list.ranges) {
    const whole = BigInt(blocks) * BigInt(blockBytes);
    const here = left < whole ? left : whole;
    if (here > 0n) parts.push({ op: "extent", device, lba, skip: 0, bytes: here, held: false });
    left -= here;
  }
  return parts;
}

/** NAA first: it is what initiators compare. */
const nameOf = (designators: readonly BinaryDesignator[]): BinaryDesignator | undefined =>
  [DESIGNATOR.NAA, DESIGNATOR.EUI_64]
    .map((type) => designators.find((one) => one.type === type))
    .find((one) => one !== undefined);

/** A SCSI name string is padded with zeros to a multiple of four (SPC-4 7.8.6.11). */
function textual(name: string): BinaryDesignator {
  const bytes = Buffer.from(`${name}\0`, "utf8");
  const value = new Uint8Array((bytes.length + 3) & ~3);
  value.set(bytes);
  return { codeSet: 3, association: 2, type: DESIGNATOR.SCSI_NAME, value };
}
