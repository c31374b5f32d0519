// The archive's first member: what somebody reads who finds the tape and has never heard of Gantry.
import type { VolumeIdentity } from "../../list.js";

export interface ReadmeFacts {
  readonly archiveId: string;
  readonly jobId: string;
  readonly bridgeId: string;
  readonly createdMs: number;
  readonly tapeBlockBytes: number;
  readonly diskBlockBytes: number;
  readonly volume: VolumeIdentity;
  readonly listId: string;
  readonly members: number;
  readonly extents: bigint;
  readonly bytes: bigint;
  readonly comment?: string;
}

/** Plain text, UTF-8. Ends in a newline. */
export function readmeText(facts: ReadmeFacts): string {
  const factor = facts.tapeBlockBytes / 512;
  const time = new Date(facts.createdMs).toISOString();
  return `This tape holds a backup in the standard tar format (POSIX pax, sparse files as GNU sparse 1.0).
No special program is needed to restore it. The tape block size is ${facts.tapeBlockBytes} bytes, which
tar has to be told as a blocking factor: ${facts.tapeBlockBytes} / 512 = ${factor}.

  List:                    tar -b ${factor} -tvf /dev/nst0
  Restore all, as root:    tar -b ${factor} -xpf /dev/nst0
  Restore one file:        tar -b ${factor} -xpf /dev/nst0 'path/of/file'
  Several cartridges:      add -M; tar asks for the next cartridge. Put them in in order.
                           (GNU tar only: other tars restore a backup that lies on one cartridge.)
  An image (*.img) to a disk of the same size:
                           tar -b ${factor} -xOf /dev/nst0 'name.img' > /dev/sdX

If the tape holds several backups, go to the right one first: mt -f /dev/nst0 fsf N.
The last member, .gantry/manifest.jsonl, has a line with offsets and checksums (CRC32C) for every member.

archive        ${line(facts.archiveId)}
job            ${line(facts.jobId)}
bridge         ${line(facts.bridgeId)}
made           ${time}
volume         ${line(facts.volume.id)}
generation     ${line(facts.volume.generation)}
sequence       ${facts.volume.sequence}
list           ${line(facts.listId)}
members        ${facts.members}
extents        ${facts.extents}
extent bytes   ${facts.bytes}
disk block     ${facts.diskBlockBytes}
tape block     ${facts.tapeBlockBytes}
comment        ${line(facts.comment ?? "")}
`;
}

/** Text of others must not add lines of its own. */
function line(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is to be removed.
  return text.replace(/[\u0000-\u001f\u007f\u2028\u2029]/g, " ");
}
