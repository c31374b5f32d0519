// Is this the cartridge that comes next in the archive? Asked before anything is read from it for good: a wrong one
// must not be noticed only when a disk has been written.
import type { TapeDrive } from "../device/tape-drive.js";
import { GantryError } from "../sys/errors.js";
import { parseContinuation } from "./archive/continuation.js";
import { README_NAME } from "./archive/manifest-format.js";
import type { ArchiveVolume } from "./archive/volumes.js";
import type { JobContext } from "./job-context.js";
import { engineFailure } from "./results.js";
import { hold } from "./tape-hold.js";

/** Holds the first member's header and text up to the archive's id, and a continuation's text. */
export const LABEL_BYTES = 4096n;

/** Throws ARCHIVE_INVALID when the cartridge in the drive is not part `index` of the archive; moves the tape. */
export async function checkCartridge(
  context: JobContext,
  drive: TapeDrive,
  index: number,
  volume: ArchiveVolume,
  archiveId: string,
): Promise<void> {
  await drive.locate(volume.firstObject);
  const { done, held } = await hold(context, drive, [LABEL_BYTES]);
  if (done.result !== "ok") throw engineFailure(done, [drive.unit.name]);
  const label = Buffer.concat(held);
  const found = index === 0 ? firstLabel(label) : continuationLabel(label);
  const wanted = index === 0 ? archiveId : `${archiveId} from byte ${volume.from}`;
  if (found === wanted) return;
  throw new GantryError(
    "ARCHIVE_INVALID",
    `The cartridge in ${drive.unit.name} is not number ${index + 1} of archive ${archiveId} (${volume.cartridge}): it holds ${found ?? "something else"}.`,
    { details: { device: drive.unit.name, cartridge: volume.cartridge } },
  );
}

/** Id of the archive whose first tape block begins so; undefined: none begins here. */
export function firstLabel(label: Buffer): string | undefined {
  if (!label.toString("latin1", 0, README_NAME.length).startsWith(README_NAME)) return undefined;
  return /^archive {8}(\S+)$/m.exec(label.toString("utf8"))?.[1];
}

function continuationLabel(label: Buffer): string | undefined {
  const found = parseContinuation(label);
  return found === undefined ? undefined : `${found.archiveId} from byte ${found.from}`;
}
