// `gantry-xcopy copy`: a parameter list from words, sent, and what came of it.
import { type Command, Option } from "commander";
import { GantryError, isGantryError } from "../../src/sys/errors.js";
import { SENSE_KEY, STATUS } from "../../src/wire/names.js";
import { decodeSense, senseInWords } from "../../src/wire/sense.js";
import { COMMAND_NAMES, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyForm, LIST_ID_USAGE } from "../../src/wire/xcopy/copy-list.js";
import {
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
} from "../../src/wire/xcopy/copy-results.js";
import { askedDevice, neighbour } from "./asked-devices.js";
import { parseDevice } from "./device-words.js";
import { follow } from "./follow.js";
import { grammarText } from "./grammar.js";
import { hexDump } from "./hex-dump.js";
import {
  type CommonFlags,
  fileBytes,
  type Io,
  print,
  unitOptions,
  unitTarget,
  wholeNumber,
  withSession,
} from "./io.js";
import { type CopyPlan, type ListOptions, linesOf, makePlan, type NamedDevice, planJson, planText } from "./plan.js";
import { withClock } from "./progress.js";
import { type Outcome, outcomeLid1, outcomeLid4, outcomeText } from "./result-words.js";
import { failed, input, type Session, splitWords } from "./unit.js";

interface CopyFlags extends CommonFlags {
  readonly device: readonly string[];
  readonly file?: string;
  readonly inline?: string;
  readonly lid4?: boolean;
  /** false: --no-list-id. */
  readonly listId?: number | false;
  readonly discardHeld?: boolean;
  readonly held?: string;
  readonly priority: number;
  readonly striped?: boolean;
  readonly goodSense?: boolean;
  readonly immediate?: boolean;
  readonly timeout: number;
  readonly dryRun?: boolean;
}

const DEVICE_LINE = /^device\s+/;
const DAY_S = 86_400;
const MOST_LID1 = 0xff;
const MOST_LID4 = 0xffff_ffff;

export function addCopyCommand(program: Command, io: Io): void {
  const command = program
    .command("copy [unit] [segment...]")
    .description("copy between devices: segments in words, sent to the copy manager of a unit")
    .option("--device <name=what>", "a device of the segments (again for each)", collect, [])
    .option("-f, --file <file>", "segments and devices, one a line; - is standard input")
    .option("--inline <file>", "inline data, for data@OFFSET+BYTES")
    .option("--lid4", "the longer form of the list: EXTENDED COPY(LID4)")
    .option("--list-id <n>", "list identifier (default: 1)", wholeNumber(0, MOST_LID4))
    .option("--no-list-id", "without a list identifier: nothing can be asked about the copy")
    .option("--discard-held", "held data may be discarded when the copy ends")
    .option("--held <file>", "fetch the held data when the copy has ended")
    .option("--priority <n>", "0 (highest) to 7", wholeNumber(0, 7), 1)
    .option("--striped", "STR: sequential striped")
    .option("--good-sense", "G_SENSE: sense data with GOOD (with --lid4)")
    .option("--immediate", "IMMED: follow the copy until it ends (with --lid4)")
    .addOption(new Option("--timeout <s>", "longest time of a copy").argParser(wholeNumber(1, DAY_S)).default(DAY_S))
    .option("--dry-run", "print the list in words and in hexadecimal, send nothing")
    .addHelpText("after", `\n${grammarText()}`);
  unitOptions(command).action(async (_unit: unknown, _words: unknown, flags: CopyFlags, { args }: Command) => {
    await copy(io, args, flags);
  });
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

async function copy(io: Io, args: readonly string[], flags: CopyFlags): Promise<void> {
  const { unit, rest } = splitWords(args, flags);
  const options = listOptions(io, flags);
  const fromFile = flags.file === undefined ? [] : linesOf(Buffer.from(fileBytes(io, flags.file)).toString("utf8"));
  const deviceWords = [...flags.device, ...fromFile.filter(isDevice).map((line) => line.replace(DEVICE_LINE, ""))];
  const lines = [...rest, ...fromFile.filter((line) => !isDevice(line))];
  if (lines.length === 0)
    throw input("Give segments, or a file of them with -f. `gantry-xcopy copy --help` has the words.");
  // What can be seen to be wrong is told before anybody is asked anything.
  const specs = deviceWords.map(parseDevice);
  const devices: NamedDevice[] = [];
  for (const spec of specs) {
    if (spec.is !== "asked") devices.push(spec);
    else {
      const own = unitTarget(io, unit, flags);
      const target = "lun" in spec.asked ? neighbour(own, spec.asked.lun) : unitTarget(io, spec.asked.unit, flags);
      devices.push(await withSession(io, target, (session) => askedDevice(spec, session)));
    }
  }
  const plan = makePlan(devices, lines, options, io);
  if (flags.dryRun === true) {
    print(io, flags.json, planJson(plan), () => `${planText(plan)}\n\n${hexDump(plan.bytes)}`);
    return;
  }
  const result = await withSession(io, unitTarget(io, unit, flags), (session) => run(io, session, plan, flags));
  print(io, flags.json, result, () => resultText(result));
}

const isDevice = (line: string): boolean => DEVICE_LINE.test(line);

function listOptions(io: Io, flags: CopyFlags): ListOptions {
  const form: CopyForm = flags.lid4 === true ? "LID4" : "LID1";
  const { listId: given, immediate, goodSense } = flags;
  if (form === "LID1" && (immediate === true || goodSense === true))
    throw input("--immediate and --good-sense are of the longer form: give --lid4 too.");
  if (given === false && (flags.held !== undefined || immediate === true))
    throw input("Without a list identifier a copy can be neither followed nor asked for held data.");
  if (given === false && flags.discardHeld === true) throw input("--no-list-id and --discard-held exclude each other.");
  const listId = given === false ? 0 : (given ?? 1);
  if (form === "LID1" && listId > MOST_LID1) throw input(`List identifiers are 0 to ${MOST_LID1}, unless with --lid4.`);
  const usage = flags.discardHeld === true ? LIST_ID_USAGE.DISCARD : LIST_ID_USAGE.HOLD;
  return {
    form,
    listId,
    listIdUsage: given === false ? LIST_ID_USAGE.NONE : usage,
    priority: flags.priority,
    striped: flags.striped === true,
    goodSense: goodSense === true,
    immediate: immediate === true,
    inline: flags.inline === undefined ? new Uint8Array(0) : fileBytes(io, flags.inline),
  };
}

export interface CopyResult {
  readonly listId?: number;
  readonly segments: number;
  /** What its status tells; a copy without an identifier has none. */
  readonly outcome?: Outcome;
  /** Sense data that came with GOOD. */
  readonly sense?: Uint8Array;
  readonly held?: { readonly file: string; readonly bytes: number };
}

async function run(io: Io, session: Session, plan: CopyPlan, flags: CopyFlags): Promise<CopyResult> {
  const { list, bytes } = plan;
  const silent = flags.json === true;
  const kind = list.form === "LID1" ? "copy-lid1" : "copy-lid4";
  const cdb = encodeCopyCommand({ kind, listId: 0, length: bytes.length });
  const answer = await withClock(io, silent, "copying", () =>
    session.execute(cdb, { dataOut: bytes, timeoutMs: flags.timeout * 1000 }),
  );
  const named = list.listIdUsage !== LIST_ID_USAGE.NONE;
  if (answer.status !== STATUS.GOOD) {
    const told = named && list.form === "LID1" ? await details(session, answer, list.listId) : answer;
    throw failed(told, `${COMMAND_NAMES[kind]} was ${isAborted(told.sense) ? "aborted" : "refused"}`, plan);
  }
  const outcome = named ? await outcomeOf(io, session, plan, silent) : undefined;
  const held = flags.held === undefined ? undefined : await fetchHeld(io, session, plan, flags.held);
  return {
    ...(named && { listId: list.listId }),
    segments: list.segments.length,
    ...(outcome && { outcome }),
    ...(answer.sense.length > 0 && { sense: answer.sense }),
    ...(held && { held }),
  };
}

type End = { readonly status: number; readonly sense: Uint8Array };

/** What came with the status may be cut short on its way (SPC-4 6.23); the whole is kept for a while. */
async function details(session: Session, answer: End, listId: number): Promise<End> {
  if (!isAborted(answer.sense)) return answer;
  try {
    return decodeFailureDetails(await session.ask("failure-details", listId)) ?? answer;
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return answer;
  }
}

function isAborted(sense: Uint8Array): boolean {
  try {
    return decodeSense(sense).key === SENSE_KEY.COPY_ABORTED;
  } catch {
    return false;
  }
}

/** Of a copy that is done not knowing more is no failure; one that still runs is followed. */
async function outcomeOf(io: Io, session: Session, plan: CopyPlan, silent: boolean): Promise<Outcome | undefined> {
  const { list } = plan;
  const { listId } = list;
  if (list.immediate) {
    const status = await follow(io, session, {
      ...{ listId, ask: "status-lid4", decode: decodeStatusLid4 },
      ...{ segments: list.segments.length, plan, silent },
    });
    return outcomeLid4(status, plan);
  }
  try {
    return list.form === "LID1"
      ? outcomeLid1(decodeStatusLid1(await session.ask("status-lid1", listId)))
      : outcomeLid4(decodeStatusLid4(await session.ask("status-lid4", listId)), plan);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return undefined;
  }
}

async function fetchHeld(io: Io, session: Session, plan: CopyPlan, file: string) {
  const { form, listId } = plan.list;
  const held =
    form === "LID1"
      ? decodeDataLid1(await session.ask("data-lid1", listId))
      : decodeDataLid4(await session.ask("data-lid4", listId)).held;
  writeFile(io, file, held);
  return { file, bytes: held.length };
}

/** @throws GantryError XCOPY_INPUT */
export function writeFile(io: Io, file: string, bytes: Uint8Array): void {
  try {
    io.writeFile(file, bytes);
  } catch (error) {
    throw new GantryError("XCOPY_INPUT", `${file} cannot be written: ${error instanceof Error ? error.message : ""}`);
  }
}

function resultText({ segments, outcome, sense, held }: CopyResult): string {
  const lines = [outcome === undefined ? `done: ${segments} segments` : outcomeText(outcome)];
  if (sense !== undefined) lines.push(senseInWords(sense));
  if (held !== undefined) lines.push(`${held.bytes} bytes of held data are in ${held.file}`);
  return lines.join("\n");
}
