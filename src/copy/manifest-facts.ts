// What a reader needs of a whole manifest before it starts: how many members, and the cartridges.

import { GantryError } from "../sys/errors.js";
import type { ManifestEnd } from "./archive/manifest-format.js";
import { ManifestWalk } from "./archive/manifest-walk.js";
import { type OwnLayout, ownLayout } from "./archive/regions.js";
import { padding } from "./archive/ustar.js";
import type { ArchiveVolume } from "./archive/volumes.js";
import { archivePlace } from "./archive-place.js";
import type { JobContext } from "./job-context.js";
import type { FoundManifest } from "./manifest-finder.js";

export interface ManifestFacts {
  readonly members: number;
  /** Data bytes stored. */
  readonly bytes: bigint;
  readonly volumes: readonly ArchiveVolume[];
  readonly createdMs: number;
  readonly end: ManifestEnd;
  readonly own: OwnLayout;
}

/** Walks the manifest once, and holds its cartridges against those of the job. Throws ARCHIVE_INVALID. */
export async function manifestFacts(context: JobContext, found: FoundManifest): Promise<ManifestFacts> {
  const walk = new ManifestWalk(found.source);
  let members = 0;
  let bytes = 0n;
  let after: bigint | undefined;
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    members++;
    bytes += member.bytes;
    after = member.data + member.bytes + padding(member.bytes);
  }
  const { end, head } = walk;
  if (end === undefined || head === undefined)
    throw new GantryError("ARCHIVE_INVALID", "The manifest does not say on which cartridges the archive lies.");
  const own = ownLayout(after, found.trailer, head.createdMs, end.blocks.offset);
  return { members, bytes, volumes: joinVolumes(context, end.volumes, found), createdMs: head.createdMs, end, own };
}

/**
 * The manifest knows the cartridges up to its own beginning; those that its rest needed were found by counting back
 * from the end, and where both know a cartridge they must agree.
 */
function joinVolumes(
  context: JobContext,
  listed: readonly ArchiveVolume[],
  { searched }: FoundManifest,
): readonly ArchiveVolume[] {
  const { cartridges, startObject: start } = archivePlace(context.record);
  const volumes = listed.map((volume, index) => {
    const seen = searched.find((each) => each.index === index);
    if (seen !== undefined && seen.from !== volume.from) {
      throw new GantryError(
        "ARCHIVE_INVALID",
        `Cartridge ${index + 1} of the job, ${cartridges[index] ?? "in the drive"}, begins with byte ${seen.from} of the archive, and the manifest says ${volume.cartridge} from byte ${volume.from} on; name all cartridges of the archive, in order.`,
      );
    }
    if (index > 0 || seen !== undefined) return index === 0 ? { ...volume, firstObject: start } : volume;
    if (volume.firstObject === start) return volume;
    throw new GantryError(
      "ARCHIVE_INVALID",
      `The archive begins at object ${volume.firstObject} of its first cartridge; name that in the job (startObject).`,
      { details: { startObject: volume.firstObject } },
    );
  });
  const further = searched
    .filter(({ index }) => index >= volumes.length)
    .map(({ index, from }) => ({ cartridge: cartridges[index] ?? "", firstObject: 0n, from }));
  return [...volumes, ...further];
}
