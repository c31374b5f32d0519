// `gantry-agent list`, `show`, `freeze`.
import { randomUUID } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { GantryError } from "../../src/sys/errors.js";
import { jsonText, printResult, withProgress } from "./cli-io.js";
import { blockBytesOption, bytesOption, sequenceOption, wholeNumber } from "./cli-options.js";
import { Freeze } from "./freeze.js";
import { Glist, type GlistHeader, writeGlist } from "./glist.js";
import { listImage } from "./list-image.js";
import { listMounted, mountedVolume } from "./list-mounted.js";
import type { ListSource } from "./list-source.js";
import { listWhole } from "./list-whole.js";
import { deviceText } from "./mounts.js";
import { listedMembers } from "./restore-map.js";

interface ListFlags {
  readonly image?: string;
  readonly path?: readonly string[];
  readonly whole?: boolean;
  readonly out?: string;
  readonly listId?: string;
  readonly blockBytes: 512 | 4096;
  readonly sequence: bigint;
  readonly deviceOffset: bigint;
  readonly wholeDisk?: boolean;
  readonly skip?: boolean;
  readonly freeze?: boolean;
  readonly hold?: boolean;
  readonly watchdog: number;
  readonly json?: boolean;
}

export function addListCommands(program: Command): void {
  program
    .command("list")
    .description("make the block list of files or of a whole file system")
    .addOption(new Option("--image <file>", "unmounted ext4: image file or block device").conflicts("path"))
    .option("--path <dir...>", "files and directories on a mounted ext4 or xfs; may be given several times")
    .option("--whole", "one member: the whole file system, with the blocks in use")
    .option("--out <file>", "write the list to a .glist file; without it members are printed")
    .option("--list-id <id>", "id of the list (default: a new UUID)")
    .addOption(blockBytesOption())
    .addOption(sequenceOption())
    .addOption(bytesOption("--device-offset <bytes>", "where the file system starts on the SCSI device"))
    .option("--whole-disk", "count blocks on the disk that holds the mounted partition")
    .option("--skip", "leave out and report files that cannot be listed, instead of giving up")
    .option("--freeze", "freeze the mounted file system while it is listed")
    .addOption(
      new Option("--hold", "with --freeze and --out: stay frozen after the list, until stdin ends").implies({
        freeze: true,
      }),
    )
    .option("--watchdog <seconds>", "with --freeze: thaw after this time at the latest", wholeNumber(1, 86_400), 60)
    .option("--json", "print one JSON object")
    .action(list);
  program
    .command("show <file>")
    .description("print the header and the members of a .glist file as JSON lines")
    .action(show);
  program
    .command("freeze <mountpoint>")
    .description("freeze a file system until stdin ends")
    .option("--watchdog <seconds>", "thaw after this time at the latest", wholeNumber(1, 86_400), 60)
    .option("--json", "print one JSON object")
    .action(freeze);
}

async function sourceOf(flags: ListFlags): Promise<ListSource> {
  const { blockBytes, sequence, deviceOffset, wholeDisk } = flags;
  const common = { blockBytes, sequence, deviceOffset, onRefused: flags.skip ? "skip" : "fail" } as const;
  if (flags.image !== undefined) {
    if (flags.freeze || wholeDisk) throw usage("--freeze and --whole-disk go with --path");
    if (flags.whole) return listWhole({ ...common, image: flags.image, nowMs: Date.now() });
    return listImage({ ...common, image: flags.image });
  }
  const options = { ...common, paths: flags.path ?? [], wholeDisk: wholeDisk ?? false, frozen: flags.freeze ?? false };
  if (!flags.whole) return listMounted(options);
  if (!flags.hold) throw usage("--whole of a mounted file system needs --freeze --hold, or it is not of one moment");
  const { device, deviceOffset: offset } = await mountedVolume(options);
  return listWhole({ ...common, deviceOffset: offset, image: device, frozen: true, nowMs: Date.now() });
}

async function list(flags: ListFlags): Promise<void> {
  if (flags.image === undefined && flags.path === undefined) throw usage("give --image or --path");
  if (flags.hold && flags.out === undefined) throw usage("--hold needs --out");
  const frozen = flags.freeze ? await freezeFor(flags) : undefined;
  try {
    const source = withProgress(await sourceOf(flags));
    const listId = flags.listId ?? randomUUID();
    const header = flags.out === undefined ? undefined : await writeGlist(flags.out, listId, source);
    if (!flags.hold) await frozen?.thaw(); // before anything is said: a broken freeze makes the list worthless
    if (header === undefined) await printMembers(flags, source, listId);
    else printHeader(flags, header, source);
    if (flags.hold && frozen) {
      await untilToldOr(frozen.thawed);
      await frozen.thaw();
      process.stderr.write("thawed\n");
    }
  } catch (error) {
    await frozen?.thaw().catch(() => undefined);
    // What was listed while the freeze broke must not be used.
    if (frozen && flags.out !== undefined) await rm(flags.out, { force: true });
    throw error;
  }
}

async function freezeFor(flags: ListFlags): Promise<Freeze> {
  if (flags.out === undefined)
    throw usage("--freeze needs --out, because standard output could lie on the frozen file system");
  const { mount } = await mountedVolume({ paths: flags.path ?? [] });
  const out = deviceText((await stat(dirname(resolve(flags.out)), { bigint: true })).dev);
  if (out === mount.device) {
    throw new GantryError(
      "AGENT_FREEZE",
      `${flags.out} lies on the file system that is to be frozen; write it elsewhere.`,
    );
  }
  return Freeze.start({ mountPoint: mount.mountPoint, watchdogMs: flags.watchdog * 1000 });
}

function printHeader(flags: ListFlags, header: GlistHeader, source: ListSource): void {
  const { skipped, skippedCount } = source.totals;
  for (const { name, reason } of skipped) process.stderr.write(`left out: ${name}: ${reason}\n`);
  const left = skippedCount === 0 ? "" : `, ${skippedCount} left out`;
  printResult(
    flags.json === true,
    { file: flags.out, ...header, skippedCount, skipped },
    `${flags.out}: list ${header.listId}, ${header.members} members, ${header.extents} extents, ${header.bytes} bytes${left}`,
  );
}

async function printMembers(flags: ListFlags, source: ListSource, listId: string): Promise<void> {
  const members: unknown[] = [];
  for await (const { member, extents } of listedMembers(source.chunks, source.blockBytes)) {
    const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
    const places = Array.from(fileOffset, (offset, i) => [offset, lba[i], blocks[i]]);
    if (flags.json) members.push({ ...member, extents: places });
    else process.stdout.write(`${member.type}\t${member.size}\t${places.length}\t${JSON.stringify(member.name)}\n`);
  }
  const { volume, blockBytes, totals } = source;
  if (flags.json) process.stdout.write(`${jsonText({ listId, volume, blockBytes, ...totals, members })}\n`);
  for (const { name, reason } of totals.skipped) process.stderr.write(`left out: ${name}: ${reason}\n`);
}

async function show(path: string): Promise<void> {
  const file = await Glist.open(path);
  try {
    process.stdout.write(`${jsonText(file.header)}\n`);
    for await (const { member, extents } of listedMembers(file.chunks(), file.header.blockBytes)) {
      const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
      const places = Array.from(fileOffset, (offset, i) => [offset, lba[i], blocks[i]]);
      process.stdout.write(`${jsonText({ ...member, extents: places })}\n`);
    }
  } finally {
    await file.close();
  }
}

async function freeze(
  mountPoint: string,
  flags: { readonly watchdog: number; readonly json?: boolean },
): Promise<void> {
  const held = await Freeze.start({ mountPoint, watchdogMs: flags.watchdog * 1000 });
  process.stderr.write("frozen\n");
  await untilToldOr(held.thawed);
  await held.thaw();
  printResult(flags.json === true, { thawed: "asked" }, "thawed");
}

/** Waits until stdin ends, SIGTERM, SIGINT or SIGHUP comes, or the promise is fulfilled. */
async function untilToldOr(other: Promise<unknown>): Promise<void> {
  const told = new Promise<void>((done) => {
    process.stdin
      .on("end", done)
      .on("error", () => done())
      .resume();
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => done());
  });
  await Promise.race([told, other]);
  process.stdin.destroy(); // an open stdin would keep the process from ending
}

export class UsageError extends Error {}

function usage(message: string): UsageError {
  return new UsageError(message);
}
