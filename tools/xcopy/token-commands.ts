// `gantry-xcopy populate | write | tokens`: blocks of a disk become a token, and a token is written to blocks of a disk
// (SBC-3 5.14, 5.45).
import type { Command } from "commander";
import { facts, table } from "../../src/sys/text.js";
import { STATUS } from "../../src/wire/names.js";
import { COMMAND_NAMES, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeTokenInformation, type TokenInformation } from "../../src/wire/xcopy/copy-results.js";
import { type BlockRange, overlapping } from "../../src/wire/xcopy/ranges.js";
import { decodeAllTokens, decodeRodToken, TOKEN_BYTES, zeroToken } from "../../src/wire/xcopy/rod-token.js";
import { encodePopulateToken, encodeWriteUsingToken } from "../../src/wire/xcopy/token-lists.js";
import { writeFile } from "./copy-command.js";
import { follow, settled } from "./follow.js";
import { type CommonFlags, fileBytes, type Io, print, unitOptions, wholeNumber, withUnit } from "./io.js";
import { withClock } from "./progress.js";
import { movedText, outcomeLid4, outcomeText, tokenFacts, tokenRow } from "./result-words.js";
import { failed, input, type Session } from "./unit.js";
import { Words } from "./words.js";

interface TokenFlags extends CommonFlags {
  readonly listId: number;
  readonly immediate?: boolean;
  readonly timeout: number;
}

interface PopulateFlags extends TokenFlags {
  readonly out: string;
  readonly type?: number;
  readonly inactivity: number;
}

interface WriteFlags extends TokenFlags {
  readonly token?: string;
  readonly zero?: boolean;
  readonly offset: number;
  readonly delete?: boolean;
}

const U32 = 0xffff_ffff;
const DAY_S = 86_400;

export function addTokenCommands(program: Command, io: Io): void {
  const ranged = (name: string, description: string): Command =>
    program
      .command(`${name} [unit] [range...]`)
      .description(description)
      .option("--list-id <n>", "list identifier", wholeNumber(0, U32), 1)
      .option("--immediate", "IMMED: follow it until it ends")
      .option("--timeout <s>", "longest time of the command", wholeNumber(1, DAY_S), DAY_S);
  unitOptions(
    ranged("populate", "make a token of ranges of a disk: LBA+BLOCKS")
      .requiredOption("--out <file>", "where the token is written, 512 bytes")
      .option("--type <n>", "ROD type (default: the copy manager's choice)", wholeNumber(0, U32))
      .option("--inactivity <s>", "time-out; 0: the copy manager's own", wholeNumber(0, U32), 0),
  ).action(async (_unit: unknown, _ranges: unknown, flags: PopulateFlags, { args }: Command) => {
    await withUnit(io, args, flags, (session, rest) => populate(io, session, rangesOf(rest), flags));
  });
  unitOptions(
    ranged("write", "write what a token stands for to ranges of a disk: LBA+BLOCKS")
      .option("--token <file>", "the token")
      .option("--zero", "the token of zeros, which nobody has to make")
      .option("--offset <blocks>", "where to begin in the token", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
      .option("--delete", "DEL_TKN: the token is not used again"),
  ).action(async (_unit: unknown, _ranges: unknown, flags: WriteFlags, { args }: Command) => {
    await withUnit(io, args, flags, (session, rest) => write(io, session, rangesOf(rest), flags));
  });
  unitOptions(program.command("tokens [unit]").description("all tokens that the copy manager knows")).action(
    async (_unit: unknown, flags: CommonFlags, { args }: Command) => {
      await withUnit(io, args, flags, async (session) => {
        const tokens = decodeAllTokens(await session.ask("all-tokens"));
        print(io, flags.json, { tokens: tokens.map(tokenRow) }, () => table(tokens.map(tokenRow)));
      });
    },
  );
}

/** @throws GantryError XCOPY_SYNTAX, XCOPY_INPUT */
export function rangesOf(texts: readonly string[]): readonly BlockRange[] {
  if (texts.length === 0) throw input("Give ranges of the disk: LBA+BLOCKS, such as 0+2048.");
  const ranges = texts.map((text, index) => {
    const words = new Words(text, `range ${index}`);
    const lba = words.space().number("an LBA", (1n << 64n) - 1n);
    words.expect("+", '"+" and a number of blocks');
    const blocks = Number(words.number("a number of blocks", BigInt(U32)));
    words.end();
    return { lba, blocks };
  });
  const twice = overlapping(ranges);
  if (twice === undefined) return ranges;
  throw new Words(texts[twice] ?? "", `range ${twice}`).wrong("a block of it is in another range too", {
    from: 0,
    to: texts[twice]?.length ?? 1,
  });
}

async function populate(
  io: Io,
  session: Session,
  ranges: readonly BlockRange[],
  { listId, immediate, inactivity: inactivitySeconds, type, out, json, timeout }: PopulateFlags,
): Promise<void> {
  const list = encodePopulateToken({
    ...{ immediate: immediate === true, inactivitySeconds, ranges },
    ...(type !== undefined && { type }),
  });
  const information = await send(io, session, "populate-token", list, { listId, immediate, json, timeout });
  const [token] = information.tokens;
  if (token === undefined) throw input("The copy manager has made no token, though it says that it is done.");
  writeFile(io, out, token.token);
  const outcome = outcomeLid4(information);
  print(io, json, { listId, ...outcome, file: out, token: token.token }, () =>
    [outcomeText(outcome), `the token is in ${out}:`, explainToken(token.token)].join("\n"),
  );
}

async function write(io: Io, session: Session, ranges: readonly BlockRange[], flags: WriteFlags): Promise<void> {
  const { listId, immediate, json, timeout } = flags;
  const list = encodeWriteUsingToken({
    ...{ deleteToken: flags.delete === true, immediate: immediate === true, ranges },
    ...{ offset: BigInt(flags.offset), token: tokenOf(io, flags) },
  });
  const information = await send(io, session, "write-using-token", list, { listId, immediate, json, timeout });
  const outcome = outcomeLid4(information);
  print(io, json, { listId, ...outcome }, () => `${outcome.words}: ${movedText(outcome.moved)} written`);
}

function tokenOf(io: Io, { token: file, zero }: WriteFlags): Uint8Array {
  if ((file === undefined) === (zero !== true)) throw input("Give either --token or --zero.");
  if (file === undefined) return zeroToken();
  const token = fileBytes(io, file);
  if (token.length === TOKEN_BYTES) return token;
  throw input(`${file} has ${token.length} bytes, and a token has ${TOKEN_BYTES}.`);
}

type Sending = Pick<TokenFlags, "listId" | "timeout"> & {
  readonly immediate: boolean | undefined;
  readonly json: boolean | undefined;
};

/** Sends the list and asks what came of it, which tells the token too. */
async function send(
  io: Io,
  session: Session,
  kind: "populate-token" | "write-using-token",
  list: Uint8Array,
  { listId, immediate, json, timeout }: Sending,
): Promise<TokenInformation> {
  const silent = json === true;
  const cdb = encodeCopyCommand({ kind, listId, length: list.length });
  const answer = await withClock(io, silent, COMMAND_NAMES[kind], () =>
    session.execute(cdb, { dataOut: list, timeoutMs: timeout * 1000 }),
  );
  if (answer.status !== STATUS.GOOD) throw failed(answer, `${COMMAND_NAMES[kind]} was refused`);
  const decode = decodeTokenInformation;
  if (immediate === true)
    return await follow(io, session, { listId, ask: "token-information", decode, segments: 0, silent });
  const information = decode(await session.ask("token-information", listId));
  return settled(information, outcomeLid4(information));
}

/** A token in words; one of a form that is not known has its first bytes alone. */
export function explainToken(token: Uint8Array): string {
  try {
    return facts(tokenFacts(decodeRodToken(token)), "  ");
  } catch {
    return `  ${Buffer.from(token.subarray(0, 16)).toString("hex")}…, of a form that is not known`;
  }
}
