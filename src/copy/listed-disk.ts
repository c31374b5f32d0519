// A disk together with the list of what is to be read or written on it: opened, and the list checked against it,
// before anything moves. A job that goes on does so with the disk that it began with, and with no other that has come
// to be behind the same name: half of a backup would be of one disk, half of the other.
import type { OpenDisk } from "../device/disk.js";
import type { ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import type { JobContext } from "./job-context.js";
import { checkExtents } from "./list-check.js";

/**
 * Opens, checks, lets `use` work, and closes whatever happens. Throws DEVICE_… (DEVICE_CHANGED: another disk),
 * LIST_EXTENT_INVALID.
 */
export async function withListedDisk<T>(
  context: JobContext,
  device: string | undefined,
  header: ListHeader,
  overlap: "refuse" | "allow",
  use: (disk: OpenDisk) => Promise<T>,
): Promise<T> {
  const disk = await context.devices.openDisk(device ?? "", context.control);
  try {
    await sameDisk(context, disk);
    const shape = { name: disk.unit.name, blockBytes: disk.blockBytes, blocks: disk.blocks };
    await checkExtents(header, (index) => context.lists.read(header.listId, index), shape, overlap);
    return await use(disk);
  } finally {
    await disk.unit.close();
  }
}

/** The first time the disk is taken down in the job's record, durably; from then on it is compared. */
async function sameDisk(context: JobContext, { unit, identity, blockBytes }: OpenDisk): Promise<void> {
  const { disks = {} } = context.record;
  const known = Object.hasOwn(disks, unit.name) ? disks[unit.name] : undefined;
  if (known === undefined) {
    const disk = { blockBytes, ...(identity === undefined ? {} : { identity }) };
    context.record = { ...context.record, disks: { ...disks, [unit.name]: disk } };
    await context.journal.put(context.record);
    return;
  }
  if (known.identity === identity && known.blockBytes === blockBytes) return;
  const say = (one: { identity?: string; blockBytes: number }): string =>
    `${one.identity ?? "a disk without a name"}, blocks of ${one.blockBytes} bytes`;
  throw new GantryError(
    "DEVICE_CHANGED",
    `${unit.name} is another disk than the job began with: now ${say({ blockBytes, ...(identity === undefined ? {} : { identity }) })}; then ${say(known)}.`,
    { details: { device: unit.name } },
  );
}
