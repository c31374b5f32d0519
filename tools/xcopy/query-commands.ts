// `gantry-xcopy status | data | failure | abort | parameters`: what a copy manager tells of copies and of itself.
import type { Command } from "commander";
import { GantryError, isGantryError } from "../../src/sys/errors.js";
import { table } from "../../src/sys/text.js";
import { inquiry } from "../../src/wire/cdb.js";
import { STATUS } from "../../src/wire/names.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import {
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
} from "../../src/wire/xcopy/copy-results.js";
import { decodeOperatingParameters, type OperatingParameters } from "../../src/wire/xcopy/operating-parameters.js";
import {
  decodeThirdPartyPage,
  THIRD_PARTY_PAGE,
  type ThirdPartyDescriptor,
} from "../../src/wire/xcopy/third-party-page.js";
import { writeFile } from "./copy-command.js";
import { faultOf, faultText } from "./fault.js";
import { hexDump } from "./hex-dump.js";
import { type CommonFlags, type Io, oneWord, print, unitOptions, wholeNumber, withUnit } from "./io.js";
import { limitRows, pageLines, takenSegments } from "./limit-words.js";
import { outcomeLid1, outcomeLid4, outcomeText } from "./result-words.js";
import { failed, type Session } from "./unit.js";

interface QueryFlags extends CommonFlags {
  readonly lid4?: boolean;
  readonly out?: string;
}

const PAGE_ROOM = 0xffff;

export function addQueryCommands(program: Command, io: Io): void {
  const query = (name: string, description: string, more: (command: Command) => Command = (command) => command) =>
    unitOptions(more(program.command(`${name} [unit] [list-id]`).description(description)));
  const run =
    (ask: (session: Session, listId: number, flags: QueryFlags) => Promise<void>) =>
    async (_unit: unknown, _id: unknown, flags: QueryFlags, { args }: Command): Promise<void> => {
      await withUnit(io, args, flags, async (session, rest) => {
        await ask(session, listIdOf(oneWord(rest, "a list identifier")), flags);
      });
    };
  const form = (command: Command): Command => command.option("--lid4", "of EXTENDED COPY(LID4)");

  query("status", "how far a copy is, or how it ended", form).action(
    run(async (session, listId, { lid4, json }) => {
      const outcome =
        lid4 === true
          ? outcomeLid4(decodeStatusLid4(await session.ask("status-lid4", listId)))
          : outcomeLid1(decodeStatusLid1(await session.ask("status-lid1", listId)));
      print(io, json, { listId, ...outcome }, () => outcomeText(outcome));
    }),
  );
  query("data", "the data that segments with hold kept", (command) =>
    form(command).option("--out <file>", "write it to a file"),
  ).action(
    run(async (session, listId, { lid4, json, out }) => {
      const held =
        lid4 === true
          ? decodeDataLid4(await session.ask("data-lid4", listId)).held
          : decodeDataLid1(await session.ask("data-lid1", listId));
      if (out !== undefined) writeFile(io, out, held);
      const told = { listId, bytes: held.length, ...(out === undefined ? { data: held } : { file: out }) };
      const bytes = `${held.length} bytes of held data`;
      print(io, json, told, () => (out === undefined ? `${bytes}\n${hexDump(held)}` : `${bytes} are in ${out}`));
    }),
  );
  query("failure", "why a copy of EXTENDED COPY(LID1) failed").action(
    run(async (session, listId, { json }) => {
      const details = decodeFailureDetails(await session.ask("failure-details", listId));
      const fault = details && faultOf(details.status, details.sense);
      print(io, json, { listId, fault: fault ?? null }, () =>
        fault === undefined ? "nothing is known of a failure" : faultText(fault),
      );
    }),
  );
  query("abort", "end a copy or a token command that has a list identifier").action(
    run(async (session, listId, { json }) => {
      const answer = await session.execute(encodeCopyCommand({ kind: "abort", listId, length: 0 }));
      if (answer.status !== STATUS.GOOD) throw failed(answer, "COPY OPERATION ABORT was refused");
      print(io, json, { listId, aborted: true }, () => `copy ${listId} is aborted`);
    }),
  );
  unitOptions(
    program.command("parameters [unit]").description("what the copy manager can do, as both of its ways tell it"),
  ).action(async (_unit: unknown, flags: CommonFlags, { args }: Command) => {
    await withUnit(io, args, flags, async (session) => {
      await parameters(io, session, flags);
    });
  });
}

function listIdOf(word: string): number {
  try {
    return wholeNumber(0, 0xffff_ffff)(word);
  } catch {
    throw new GantryError("XCOPY_INPUT", `"${word}" is no list identifier: it is a number.`);
  }
}

/** One of the two may be missing; both missing is a failure. */
async function parameters(io: Io, session: Session, { json }: CommonFlags): Promise<void> {
  const told = await attempt(async () => decodeOperatingParameters(await session.ask("operating-parameters")));
  const page = await attempt(async () => decodeThirdPartyPage(await pageData(session)));
  if ("error" in told && "error" in page) throw told.error;
  const ours: OperatingParameters | undefined = "value" in told ? told.value : undefined;
  const theirs: readonly ThirdPartyDescriptor[] | undefined = "value" in page ? page.value : undefined;
  const missing = [told, page].flatMap((one) => ("error" in one ? [one.error.message] : []));
  const result = { parameters: ours ?? null, page8Fh: theirs ?? null, missing };
  print(io, json, result, () =>
    [
      table(limitRows(ours, theirs)),
      ...(theirs === undefined ? [] : pageLines(theirs)),
      ...(ours === undefined
        ? []
        : ["segments that it takes:", ...takenSegments(ours.descriptors).map((s) => `  ${s}`)]),
      ...missing,
    ].join("\n"),
  );
}

const pageData = (session: Session): Promise<Uint8Array> =>
  session.receive(
    (length) => inquiry(Math.min(length, PAGE_ROOM), THIRD_PARTY_PAGE),
    "INQUIRY of VPD page 8Fh",
    () => 0,
  );

async function attempt<T>(run: () => Promise<T>): Promise<{ value: T } | { error: GantryError }> {
  try {
    return { value: await run() };
  } catch (error) {
    if (isGantryError(error) && error.code !== "XCOPY_UNANSWERED") return { error };
    throw error;
  }
}
