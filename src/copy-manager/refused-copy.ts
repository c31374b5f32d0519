// A copy that was asked for and did not begin, for whoever tells of it: hosts fall back to copying by themselves without a
// word, and what they were answered is all that says why.
import type { Punt } from "../plane.js";
import { COMMAND_NAMES, COPY_OUT, type CopyCommand, decodeCopyCommand } from "../wire/xcopy/commands.js";
import type { CopySession } from "./manager-options.js";

/** What the initiator got, and why. */
export interface RefusalAnswer {
  readonly status: number;
  readonly sense: Uint8Array;
  /** A sentence. */
  readonly problem: string;
  /** The same for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface RefusedCopy extends RefusalAnswer {
  readonly initiator: string;
  readonly lun: number;
  /** The device behind the logical unit that the command came to. */
  readonly device: string;
  /** In the standards' words. */
  readonly command: string;
  /** As far as the list was long enough to have one. */
  readonly listId?: number;
}

/** undefined: the command was not to copy, or who sent it is gone. */
export function refusedCopy(
  { cdb, lun, data }: Punt,
  { initiator, paths }: CopySession,
  answer: RefusalAnswer,
): RefusedCopy | undefined {
  const device = paths().get(lun)?.device;
  const command = decodeCopyCommand(cdb);
  if (device === undefined || command === undefined || cdb[0] !== COPY_OUT || command.kind === "abort")
    return undefined;
  const listId = listIdOf(command, data);
  return {
    initiator,
    lun,
    device,
    command: COMMAND_NAMES[command.kind],
    ...(listId !== undefined && { listId }),
    ...answer,
  };
}

/** SPC-4 tables 126 and 172: of EXTENDED COPY it is in the parameter list, which may be cut short. */
function listIdOf({ kind, listId }: CopyCommand, data: Uint8Array): number | undefined {
  if (kind === "copy-lid1") return data[0];
  if (kind !== "copy-lid4") return listId;
  return data.length < 24 ? undefined : new DataView(data.buffer, data.byteOffset).getUint32(20);
}
