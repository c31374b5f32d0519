// What a reader needs of a whole manifest before it starts: how many members, and the cartridges.

import { GantryError } from "../sys/errors.js";
import { type ManifestSource, ManifestWalk } from "./archive/manifest-walk.js";
import type { ArchiveVolume } from "./archive/volumes.js";

export interface ManifestFacts {
  readonly members: number;
  /** Data bytes stored. */
  readonly bytes: bigint;
  readonly volumes: readonly ArchiveVolume[];
}

/** Walks the manifest once. Throws ARCHIVE_INVALID. */
export async function manifestFacts(source: ManifestSource): Promise<ManifestFacts> {
  const walk = new ManifestWalk(source);
  let members = 0;
  let bytes = 0n;
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    members++;
    bytes += member.bytes;
  }
  if (walk.end === undefined)
    throw new GantryError("ARCHIVE_INVALID", "The manifest does not say on which cartridges the archive lies.");
  return { members, bytes, volumes: walk.end.volumes };
}
