// gantry-broker backup, restore, verify, scrub, clone; job cancel, pause, resume, rate, show.
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import type { JobReport, SubmittedType } from "../../src/job.js";
import { Glist } from "../agent/glist.js";
import { duration, globals, homeOf, print, withBridge } from "./common.js";
import { issueKey } from "./key-commands.js";
import { JobBar } from "./progress.js";
import { reportText } from "./report-text.js";
import type { BridgeSession } from "./session.js";

interface JobFlags {
  readonly bridge: string;
  readonly id?: string;
  readonly disk?: string;
  readonly toDisk?: string;
  readonly tape?: string;
  readonly cartridge?: readonly string[];
  readonly list?: string;
  readonly against?: string;
  readonly toList?: string;
  readonly priority: number;
  readonly life: string;
  readonly sha256?: boolean;
  readonly readBack?: boolean;
  readonly zeroFill?: boolean;
  readonly overwrite?: boolean;
  readonly append?: boolean;
  readonly blockKib?: number;
  readonly rateMib?: number;
  readonly startObject?: number;
  readonly comment?: string;
}

export function addJobCommands(program: Command): void {
  const common = (name: string, text: string): Command =>
    program
      .command(name)
      .description(text)
      .requiredOption("--bridge <id>", "bridge that does it")
      .option("--id <job id>", "the same id again is the same job (default: a new one)")
      .option("--priority <n>", "larger goes first, 0-255", Number, 100)
      .option("--life <duration>", "life of the key that is issued for the job", "24h")
      .option("--rate-mib <n>", "bandwidth limit, MiB/s", Number);
  const tape = (command: Command): Command =>
    command
      .requiredOption("--tape <device>", "tape drive")
      .option("--cartridge <names...>", "cartridges, in order (default: what is in the drive)")
      .option("--block-kib <n>", "tape block, KiB", Number);
  const lists = (command: Command): Command =>
    command
      .requiredOption("--disk <device>", "disk")
      .requiredOption("--list <file>", "block list made by gantry-agent (.glist)");

  lists(tape(common("backup", "copy a list's blocks from disk to tape")))
    .option("--sha256", "SHA-256 of each member, besides CRC32C")
    .option("--read-back", "read the tape back before the job counts as succeeded")
    .option("--zero-fill", "medium errors of the disk: record them, write zeros, go on")
    .option("--overwrite", "start at the beginning of the tape; its data is lost")
    .option("--append", "start after what is on the tape")
    .option("--comment <text>", "stands in the label on tape")
    .action((flags: JobFlags, command: Command) => job("backup", flags, command));
  lists(tape(common("restore", "copy members of an archive on tape to where a list says")))
    .option("--start-object <n>", "logical object number where the archive starts", Number)
    .action((flags: JobFlags, command: Command) => job("restore", flags, command));
  tape(common("verify", "read an archive back and compare it with its manifest"))
    .option("--start-object <n>", "logical object number where the archive starts", Number)
    .option("--against <file>", "compare the members of this block list (.glist) with --disk instead")
    .option("--disk <device>", "disk that the list is of")
    .action((flags: JobFlags, command: Command) => {
      if ((flags.against === undefined) !== (flags.disk === undefined))
        command.error("error: --against <file> and --disk <device> go together");
      const list = flags.against === undefined ? {} : { list: flags.against };
      return job("verify", { ...flags, ...list }, command);
    });
  tape(common("scrub", "read whole cartridges, whatever is on them, and tell what is damaged")).action(
    (flags: JobFlags, command: Command) => job("scrub", flags, command),
  );
  lists(common("clone", "copy a list's blocks from disk to disk"))
    .requiredOption("--to-disk <device>", "destination")
    .option("--to-list <file>", "where the blocks go (default: the same LBAs)")
    .option("--zero-fill", "medium errors of the source: record them, write zeros, go on")
    .action((flags: JobFlags, command: Command) => job("clone", flags, command));
  addSteering(program);
}

/** One job from key to report: issues the key, sends the lists, submits, follows, prints. */
async function job(type: SubmittedType, flags: JobFlags, command: Command): Promise<void> {
  const jobId = flags.id ?? `${type}-${randomUUID()}`;
  const list = flags.list === undefined ? undefined : await Glist.open(flags.list);
  const toList = flags.toList === undefined ? undefined : await Glist.open(flags.toList);
  try {
    const report = await withBridge(command, flags.bridge, async (session) => {
      const bar = new JobBar(jobId, globals(command).json === true);
      try {
        return await runJob(session, { type, jobId, flags, list, toList, bar, command });
      } finally {
        bar.stop();
      }
    });
    print(command, report, () => reportText(report));
    if (report.state !== "succeeded") process.exitCode = 1;
  } finally {
    await list?.close();
    await toList?.close();
  }
}

interface JobWork {
  readonly type: SubmittedType;
  readonly jobId: string;
  readonly flags: JobFlags;
  readonly list: Glist | undefined;
  readonly toList: Glist | undefined;
  readonly bar: JobBar;
  readonly command: Command;
}

async function runJob(
  session: BridgeSession,
  { type, jobId, flags, list, toList, bar, command }: JobWork,
): Promise<JobReport> {
  const writes = type === "backup" || type === "clone" || type === "restore";
  const key = issueKey(homeOf(command), {
    bridge: flags.bridge,
    holder: `job:${jobId}`,
    device: [flags.disk, flags.toDisk, flags.tape].filter((name) => name !== undefined),
    right: ["read", ...(writes ? ["write"] : []), ...(flags.cartridge === undefined ? [] : ["media-control"])],
    priority: flags.priority,
    lifeMs: duration(flags.life),
    ...(flags.cartridge === undefined ? {} : { cartridge: flags.cartridge }),
  });
  await session.install(key);
  if (list !== undefined) await session.sendList(list, flags.disk ?? "", () => bar.chunk(list.header.chunks));
  if (toList !== undefined) await session.sendList(toList, flags.toDisk ?? "", () => bar.chunk(toList.header.chunks));
  const spec = {
    jobId,
    type,
    keys: [key.content.id],
    priority: flags.priority,
    ...(flags.disk === undefined ? {} : { disk: { device: flags.disk } }),
    ...(flags.toDisk === undefined ? {} : { toDisk: { device: flags.toDisk } }),
    ...(flags.tape === undefined ? {} : { tape: { device: flags.tape, cartridges: [...(flags.cartridge ?? [])] } }),
    ...(list === undefined ? {} : { listId: list.header.listId, volume: list.header.volume }),
    ...(toList === undefined ? {} : { toListId: toList.header.listId }),
    options: optionsOf(flags, list?.header.shared === true && type !== "restore"),
  };
  return session.run(spec, {
    onProgress: (progress) => bar.update(progress),
    onBridge: (online) => bar.note(online ? "the bridge is back" : "the bridge is away; the job waits there"),
  });
}

function optionsOf(flags: JobFlags, shared: boolean) {
  return {
    ...(flags.sha256 === true ? { sha256: true } : {}),
    ...(flags.readBack === true ? { readBack: true } : {}),
    ...(flags.zeroFill === true ? { mediumErrors: "zero-fill" as const } : {}),
    ...(flags.overwrite === true
      ? { position: "overwrite" as const }
      : flags.append === true
        ? { position: "append" as const }
        : {}),
    ...(flags.blockKib === undefined ? {} : { tapeBlockBytes: flags.blockKib * 1024 }),
    ...(flags.rateMib === undefined ? {} : { bytesPerS: BigInt(Math.round(flags.rateMib * 1024 * 1024)) }),
    ...(flags.startObject === undefined ? {} : { startObject: BigInt(flags.startObject) }),
    ...(flags.comment === undefined ? {} : { comment: flags.comment }),
    ...(shared ? { overlap: "allow" as const } : {}),
  };
}

function addSteering(program: Command): void {
  const steer = program.command("job").description("steer and show jobs of a bridge");
  const verb = (name: "cancel" | "pause" | "resume", text: string): void => {
    steer
      .command(`${name} <id>`)
      .description(text)
      .requiredOption("--bridge <id>", "bridge that has it")
      .action(async (jobId: string, { bridge }: { bridge: string }, command: Command) => {
        const answer = await withBridge(command, bridge, (session) => session.client.send(`job.${name}`, { jobId }));
        print(command, answer, () => `${answer.jobId}: ${answer.state}`);
      });
  };
  verb("cancel", "end a job; the bridge refuses when it is writing its end");
  verb("pause", "hold a running job where it is");
  verb("resume", "let a paused job go on");
  steer
    .command("rate <id> <mib-per-s>")
    .description("change a running job's bandwidth limit; 0: none")
    .requiredOption("--bridge <id>", "bridge that has it")
    .action(async (jobId: string, rate: string, { bridge }: { bridge: string }, command: Command) => {
      const bytesPerS = BigInt(Math.round(Number(rate) * 1024 * 1024));
      const answer = await withBridge(command, bridge, (session) =>
        session.client.send("job.rate", { jobId, bytesPerS }),
      );
      print(command, answer, () => `${answer.jobId}: ${answer.state}`);
    });
  steer
    .command("show <id>")
    .description("what a bridge knows of a job")
    .requiredOption("--bridge <id>", "bridge that has it")
    .action(async (jobId: string, { bridge }: { bridge: string }, command: Command) => {
      const { progress, report } = await withBridge(command, bridge, (session) =>
        session.client.send("job.get", { jobId }),
      );
      print(command, report ?? progress, () =>
        report === undefined
          ? `${jobId}: ${progress.state}, ${progress.bytesDone} of ${progress.bytesTotal} bytes`
          : reportText(report),
      );
    });
}
