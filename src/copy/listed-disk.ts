// A disk together with the list of what is to be read or written on it: opened, and the list checked against it,
// before anything moves.
import type { OpenDisk } from "../device/disk.js";
import type { ListHeader } from "../list.js";
import type { JobContext } from "./job-context.js";
import { checkExtents } from "./list-check.js";

/** Opens, checks, lets `use` work, and closes whatever happens. Throws DEVICE_…, LIST_EXTENT_INVALID. */
export async function withListedDisk<T>(
  context: JobContext,
  device: string | undefined,
  header: ListHeader,
  overlap: "refuse" | "allow",
  use: (disk: OpenDisk) => Promise<T>,
): Promise<T> {
  const disk = await context.devices.openDisk(device ?? "", context.control);
  try {
    const shape = { name: disk.unit.name, blockBytes: disk.blockBytes, blocks: disk.blocks };
    await checkExtents(header, (index) => context.lists.read(header.listId, index), shape, overlap);
    return await use(disk);
  } finally {
    await disk.unit.close();
  }
}
