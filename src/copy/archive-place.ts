// Where the archive lies that a job reads.
import type { JobRecord } from "./job-record.js";

/** Where the archive lies that a job reads: what the job says, or where its own backup went. */
export function archivePlace({ spec, written }: JobRecord): {
  readonly cartridges: readonly string[];
  readonly startObject: bigint;
} {
  if (written === undefined)
    return { cartridges: spec.tape?.cartridges ?? [], startObject: spec.options.startObject ?? 0n };
  const [first] = written.volumes;
  const cartridges = written.volumes.map(({ cartridge }) => cartridge).filter((name) => name !== "");
  return { cartridges, startObject: first?.firstObject ?? 0n };
}
