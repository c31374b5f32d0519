// How much of a tape is taken for its manifest: a tape that anybody may have written must not fill the state directory,
// in which jobs and keys are kept.
import { GantryError } from "../sys/errors.js";
import type { ManifestTrailer } from "./archive/manifest-format.js";
import type { JobContext } from "./job-context.js";

const MIB = 1n << 20n;

/** To be asked before the first byte is read. Throws MANIFEST_TOO_LARGE. */
export function checkManifestSize(
  { config }: Pick<JobContext, "config">,
  { bytes }: Pick<ManifestTrailer, "bytes">,
): void {
  const mib = config().max_manifest_mib;
  if (bytes <= BigInt(mib) * MIB) return;
  throw new GantryError(
    "MANIFEST_TOO_LARGE",
    `The archive's manifest has ${bytes} bytes, and \`jobs.max_manifest_mib\` allows ${mib} MiB. If the tape is to be trusted, raise that and let the state directory have the room; \`tar\` reads the archive without it.`,
    { details: { bytes, limitMib: mib } },
  );
}
