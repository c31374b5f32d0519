// `gantry-agent prepare`, `settle`.
import { randomUUID } from "node:crypto";
import { type Command, Option } from "commander";
import { printResult, readMembers, withProgress } from "./cli-io.js";
import { blockBytesOption, bytesOption, sequenceOption } from "./cli-options.js";
import { Glist, writeGlist } from "./glist.js";
import type { ListSource } from "./list-source.js";
import { prepareImage } from "./prepare-image.js";
import { prepareMounted, settleMounted } from "./prepare-mounted.js";
import { listedMembers, type RestoreMembers, restoreMembers } from "./restore-map.js";

interface PrepareFlags {
  readonly image?: string;
  readonly target?: string;
  readonly list?: string;
  readonly members?: string;
  readonly out: string;
  readonly listId?: string;
  readonly blockBytes: 512 | 4096;
  readonly sequence: bigint;
  readonly deviceOffset: bigint;
  readonly wholeDisk?: boolean;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

export function addRestoreCommands(program: Command): void {
  program
    .command("prepare")
    .description("make the files of a restore with all their blocks, and the list of where these are")
    .addOption(new Option("--image <file>", "unmounted ext4: image file or block device").conflicts("target"))
    .option("--target <dir>", "directory on a mounted ext4 or xfs")
    .addOption(new Option("--list <file>", "what to restore: the .glist of the backup").conflicts("members"))
    .option("--members <file>", "what to restore: JSON lines (see AGENT.md)")
    .requiredOption("--out <file>", "write the restore's list to this .glist file")
    .option("--list-id <id>", "id of the list (default: a new UUID)")
    .addOption(blockBytesOption())
    .addOption(sequenceOption())
    .addOption(bytesOption("--device-offset <bytes>", "where the file system starts on the SCSI device"))
    .option("--whole-disk", "count blocks on the disk that holds the mounted partition")
    .option("--overwrite", "remove files and links that are in the way")
    .option("--json", "print one JSON object")
    .action(prepare);
  program
    .command("settle")
    .description(
      "after the restore onto a mounted file system: check, drop pages from memory, set owners, modes and times",
    )
    .requiredOption("--target <dir>", "the directory that was prepared")
    .requiredOption("--list <file>", "the .glist that prepare wrote")
    .addOption(bytesOption("--device-offset <bytes>", "as given to prepare"))
    .option("--whole-disk", "as given to prepare")
    .option("--json", "print one JSON object")
    .action(settle);
}

async function prepare(flags: PrepareFlags, command: Command): Promise<void> {
  if (flags.image === undefined && flags.target === undefined)
    command.error("error: give --image or --target", { exitCode: 2 });
  const backup = flags.list === undefined ? undefined : await Glist.open(flags.list);
  try {
    const members: RestoreMembers = backup
      ? restoreMembers(backup.chunks(), backup.header.blockBytes)
      : flags.members === undefined
        ? command.error("error: give --list or --members", { exitCode: 2 })
        : await readMembers(flags.members);
    const source = withProgress(await prepared(flags, members));
    const header = await writeGlist(flags.out, flags.listId ?? randomUUID(), source);
    printResult(
      flags.json === true,
      { file: flags.out, ...header },
      `${flags.out}: list ${header.listId}, ${header.members} members prepared, ${header.extents} extents, ${header.bytes} bytes`,
    );
  } finally {
    await backup?.close();
  }
}

function prepared(flags: PrepareFlags, members: RestoreMembers): Promise<ListSource> {
  const { blockBytes, sequence, deviceOffset } = flags;
  const common = { members, blockBytes, sequence, deviceOffset, overwrite: flags.overwrite === true };
  if (flags.image !== undefined) return prepareImage({ ...common, image: flags.image });
  return prepareMounted({ ...common, target: flags.target ?? ".", wholeDisk: flags.wholeDisk === true });
}

interface SettleFlags {
  readonly target: string;
  readonly list: string;
  readonly deviceOffset: bigint;
  readonly wholeDisk?: boolean;
  readonly json?: boolean;
}

async function settle(flags: SettleFlags): Promise<void> {
  const list = await Glist.open(flags.list);
  try {
    const members = listedMembers(list.chunks(), list.header.blockBytes);
    const { deviceOffset, wholeDisk } = flags;
    const result = await settleMounted({ target: flags.target, members, deviceOffset, wholeDisk: wholeDisk === true });
    printResult(flags.json === true, result, `${flags.target}: ${result.members} members settled`);
  } finally {
    await list.close();
  }
}
