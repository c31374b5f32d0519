// Archive bytes over several cartridges, found by counting back from where the last one's part begins: what a manifest
// that was cut by the end of a cartridge is read through.
import { parseContinuation } from "../archive/continuation.js";
import { leadBytes } from "../archive/volumes.js";
import { firstLabel, LABEL_BYTES } from "../cartridge-check.js";
import type { JobContext } from "../job-context.js";
import { hold } from "../tape-hold.js";
import type { Mounted } from "./mounted.js";
import { bytesAt, ifReadable, type Part } from "./part.js";

/** HOLD takes no more at once (GT_HOLD_MAX). */
const PIECE_BYTES = 1n << 20n;

/** Archive bytes [from, to) on a cartridge of the job, of which the last stand in front of object `end`. */
export interface Stretch {
  readonly index: number;
  readonly end: bigint;
  readonly from: bigint;
  readonly to: bigint;
}

/** The stretches of a part and of the cartridges before it, as far back as archive byte `wanted`, in order; undefined
 * when the job does not name them, or they do not hold it. */
export async function stretchesTo(
  context: JobContext,
  mounted: Mounted,
  part: Part,
  home: number,
  wanted: bigint,
): Promise<readonly Stretch[] | undefined> {
  const stretches: Stretch[] = [{ index: home, end: part.end, from: part.from, to: part.to }];
  let from = part.from;
  for (let index = home - 1; from > wanted; index--) {
    if (index < 0) return undefined;
    const before = await lastFileOf(context, mounted, index, part);
    if (before === undefined || before.to !== from || before.from >= from) return undefined;
    stretches.unshift(before);
    ({ from } = before);
  }
  return stretches;
}

/** The part of the archive that ends a cartridge. */
async function lastFileOf(
  context: JobContext,
  mounted: Mounted,
  index: number,
  { archiveId, tapeBlockBytes }: Part,
): Promise<Stretch | undefined> {
  const drive = await mounted.mount(index);
  const place = await ifReadable(
    (async () => {
      await drive.endOfData();
      if (!(await drive.spaceFilemarks(-1))) return undefined;
      const end = await drive.position();
      const between = await drive.spaceFilemarks(-1);
      const mark = await drive.position();
      return end === undefined || mark === undefined ? undefined : { first: between ? mark + 1n : 0n, end };
    })(),
  );
  if (place === undefined) return undefined;
  const { first, end } = place;
  const label = await bytesAt(context, drive, first, 0n, Number(LABEL_BYTES), tapeBlockBytes);
  const goesOn = await ifReadable((async () => parseContinuation(label))());
  if ((goesOn?.archiveId ?? firstLabel(label)) !== archiveId) return undefined;
  const lead = goesOn === undefined ? 0n : BigInt(leadBytes(tapeBlockBytes) / tapeBlockBytes);
  const from = goesOn?.from ?? 0n;
  return { index, end, from, to: from + (end - first - lead) * BigInt(tapeBlockBytes) };
}

/** Gives archive bytes out in pieces. Resolves with false when not all of them can be read. */
export async function readStretches(
  context: JobContext,
  mounted: Mounted,
  stretches: readonly Stretch[],
  tapeBlockBytes: number,
  range: { readonly offset: bigint; readonly bytes: bigint },
  take: (piece: Uint8Array) => Promise<void>,
): Promise<boolean> {
  const block = BigInt(tapeBlockBytes);
  let at = range.offset;
  const behind = range.offset + range.bytes;
  for (const { index, end, from, to } of stretches) {
    const until = behind < to ? behind : to;
    if (at < from || at >= until) continue;
    const drive = await mounted.mount(index);
    const back = (to - at + block - 1n) / block;
    const lengths: bigint[] = [];
    for (let left = until - at; left > 0n; left -= PIECE_BYTES) lengths.push(left < PIECE_BYTES ? left : PIECE_BYTES);
    const skip = at - (to - back * block);
    const held = await ifReadable(
      drive.locate(end - back).then(() => hold(context, drive, lengths, { skip, take, tapeBlockBytes })),
    );
    if (held?.done.result !== "ok") return false;
    at = until;
  }
  return at === behind;
}
