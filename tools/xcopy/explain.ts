// Bytes in words: parameter lists, sense data, tokens, pages and answers. What they are is seen by their lengths and fixed
// bytes, or told.
import { isGantryError } from "../../src/sys/errors.js";
import { facts, table } from "../../src/sys/text.js";
import { STATUS } from "../../src/wire/names.js";
import { COMMAND_NAMES, decodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import {
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
  decodeTokenInformation,
} from "../../src/wire/xcopy/copy-results.js";
import { decodeOperatingParameters } from "../../src/wire/xcopy/operating-parameters.js";
import { decodeAllTokens, decodeRodToken, TOKEN_BYTES } from "../../src/wire/xcopy/rod-token.js";
import { decodeThirdPartyPage, THIRD_PARTY_PAGE } from "../../src/wire/xcopy/third-party-page.js";
import { decodePopulateToken, decodeWriteUsingToken, type TokenLimits } from "../../src/wire/xcopy/token-lists.js";
import { faultOf, faultText } from "./fault.js";
import { limitRows, pageLines } from "./limit-words.js";
import { type CopyPlan, planJson, planOf, planText } from "./plan.js";
import { outcomeLid1, outcomeLid4, outcomeText, rodTypeText, tokenFacts, tokenRow } from "./result-words.js";
import { input } from "./unit.js";

export interface Explained {
  readonly text: string;
  readonly json: unknown;
}

interface Kind {
  readonly words: string;
  /** Whether bytes can be this; the first of the table that says so is taken. */
  readonly fits: (bytes: Uint8Array, view: DataView) => boolean;
  readonly explain: (bytes: Uint8Array, plan?: CopyPlan) => Explained;
}

const NO_LIMITS: TokenLimits = {
  maxRanges: 0,
  maxInactivitySeconds: 0,
  maxBlocks: 0n,
  types: { has: () => true } as unknown as ReadonlySet<number>,
};

/** AVAILABLE DATA of an answer is what follows it. */
const isAnswer = (bytes: Uint8Array, view: DataView, least: number): boolean =>
  bytes.length >= least && view.getUint32(0) === bytes.length - 4;

export const KINDS: Readonly<Record<string, Kind>> = {
  sense: {
    words: "sense data",
    fits: (bytes) => isSense(bytes),
    explain(bytes, plan) {
      const fault = faultOf(STATUS.CHECK_CONDITION, bytes, plan);
      return { text: faultText(fault), json: fault };
    },
  },
  token: {
    words: "a ROD token",
    fits: (bytes, view) => bytes.length === TOKEN_BYTES && view.getUint16(6) === TOKEN_BYTES - 8,
    explain(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      try {
        const token = decodeRodToken(bytes);
        return { text: facts(tokenFacts(token)), json: token };
      } catch (error) {
        // The token of zeros has nothing but a type.
        if (!isGantryError(error)) throw error;
        return { text: facts({ type: rodTypeText(view.getUint32(0)) }), json: { type: view.getUint32(0) } };
      }
    },
  },
  "vpd-8f": {
    words: "VPD page 8Fh",
    fits: (bytes, view) => bytes.length >= 8 && bytes[1] === THIRD_PARTY_PAGE && view.getUint16(2) === bytes.length - 4,
    explain(bytes) {
      const page = decodeThirdPartyPage(bytes);
      const rows = limitRows(undefined, page).filter(({ page8Fh }) => page8Fh !== undefined);
      const shown = rows.map(({ limit, page8Fh }) => ({ limit, page8Fh }));
      return { text: [table(shown), ...pageLines(page)].join("\n"), json: page };
    },
  },
  command: {
    words: "a CDB",
    fits: (bytes) => decodeCopyCommand(bytes) !== undefined && bytes.length === 16,
    explain(bytes) {
      const command = decodeCopyCommand(bytes);
      if (command === undefined) throw input("This is no CDB of THIRD-PARTY COPY OUT or IN.");
      const { kind, listId, length } = command;
      return { text: `${COMMAND_NAMES[kind]}, list id ${listId}, ${length} bytes`, json: command };
    },
  },
  lid4: {
    words: "a parameter list of EXTENDED COPY(LID4)",
    fits: (bytes, view) => bytes.length >= 48 && bytes[0] === 0x01 && view.getUint16(2) === 0x20 && bytes[16] === 0xff,
    explain: (bytes) => explainPlan(planOf(bytes, "LID4")),
  },
  lid1: {
    words: "a parameter list of EXTENDED COPY(LID1)",
    fits: (bytes, view) =>
      bytes.length >= 16 && 16 + view.getUint16(2) + view.getUint32(8) + view.getUint32(12) === bytes.length,
    explain: (bytes) => explainPlan(planOf(bytes, "LID1")),
  },
  write: {
    words: "a parameter list of WRITE USING TOKEN",
    fits: (bytes, view) =>
      bytes.length > 536 && view.getUint16(0) === bytes.length - 2 && view.getUint16(534) === bytes.length - 536,
    explain(bytes) {
      const { ranges, token, ...list } = decodeWriteUsingToken(bytes, NO_LIMITS);
      const inner = KINDS.token?.explain(token).text ?? "";
      return { text: [facts(list), table([...ranges]), inner].join("\n"), json: { ...list, ranges, token } };
    },
  },
  populate: {
    words: "a parameter list of POPULATE TOKEN",
    fits: (bytes, view) =>
      bytes.length > 16 && view.getUint16(0) === bytes.length - 2 && view.getUint16(14) === bytes.length - 16,
    explain(bytes) {
      const { ranges, type, ...list } = decodePopulateToken(bytes, NO_LIMITS);
      const shown = { ...list, type: type === undefined ? "the copy manager's choice" : rodTypeText(type) };
      return { text: [facts(shown), table([...ranges])].join("\n"), json: { ...list, type, ranges } };
    },
  },
  parameters: {
    words: "the answer to RECEIVE COPY OPERATING PARAMETERS",
    // Where an answer of LID4 has its status, this one has a reserved byte.
    fits: (bytes, view) => isAnswer(bytes, view, 44) && bytes.length === 44 + (bytes[43] ?? 0) && bytes[5] === 0,
    explain(bytes) {
      const parameters = decodeOperatingParameters(bytes);
      const rows = limitRows(parameters, undefined).map(({ limit, parameters: told }) => ({ limit, parameters: told }));
      return { text: table(rows), json: parameters };
    },
  },
  "status-lid1": {
    words: "the answer to RECEIVE COPY STATUS(LID1)",
    fits: (bytes, view) => isAnswer(bytes, view, 12) && bytes.length === 12,
    explain(bytes) {
      const outcome = outcomeLid1(decodeStatusLid1(bytes));
      return { text: outcomeText(outcome), json: outcome };
    },
  },
  "status-lid4": {
    words: "the answer to RECEIVE COPY STATUS(LID4)",
    fits: (bytes, view) => isAnswer(bytes, view, 32) && bytes.length === 32 + (bytes[13] ?? 0),
    explain(bytes, plan) {
      const outcome = outcomeLid4(decodeStatusLid4(bytes), plan);
      return { text: outcomeText(outcome), json: outcome };
    },
  },
  "token-information": {
    words: "the answer to RECEIVE ROD TOKEN INFORMATION",
    fits: (bytes, view) => {
      const at = 32 + (bytes[13] ?? 0);
      return isAnswer(bytes, view, at + 4) && view.getUint32(at) === bytes.length - at - 4;
    },
    explain(bytes) {
      const { tokens, ...status } = decodeTokenInformation(bytes);
      const outcome = outcomeLid4(status);
      const texts = tokens.map(({ token }) => KINDS.token?.explain(token).text ?? "");
      return { text: [outcomeText(outcome), ...texts].join("\n"), json: { ...outcome, tokens } };
    },
  },
  failure: {
    words: "the answer to RECEIVE COPY FAILURE DETAILS",
    fits: (bytes, view) => isAnswer(bytes, view, 60) && view.getUint16(58) === bytes.length - 60,
    explain(bytes, plan) {
      const details = decodeFailureDetails(bytes);
      const fault = details && faultOf(details.status, details.sense, plan);
      return { text: fault ? faultText(fault) : "nothing is known of a failure", json: fault ?? null };
    },
  },
  tokens: {
    words: "the answer to REPORT ALL ROD TOKENS",
    fits: (bytes, view) => isAnswer(bytes, view, 8) && (bytes.length - 8) % 96 === 0,
    explain(bytes) {
      const tokens = decodeAllTokens(bytes);
      return { text: table(tokens.map(tokenRow)), json: tokens };
    },
  },
};

function explainPlan(plan: CopyPlan): Explained {
  return { text: planText(plan), json: planJson(plan) };
}

/** Response code, and the length that the sense data give themselves: a parameter list may begin with such a byte too. */
function isSense(bytes: Uint8Array): boolean {
  const code = (bytes[0] ?? 0) & 0x7f;
  return (
    code >= 0x70 && code <= 0x73 && bytes.length >= 8 && bytes.length <= 252 && 8 + (bytes[7] ?? 0) === bytes.length
  );
}

/** @param as one of KINDS; undefined: seen by the bytes @throws GantryError XCOPY_INPUT, and what decoding throws */
export function explain(bytes: Uint8Array, as?: string, plan?: CopyPlan): Explained & { readonly kind: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = as ?? Object.keys(KINDS).find((kind) => KINDS[kind]?.fits(bytes, view));
  const kind = name !== undefined && Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined || name === undefined)
    throw input(`These ${bytes.length} bytes are nothing that is known here; say what with --as: ${kindNames()}.`);
  const { text, json } = kind.explain(bytes, plan);
  return { kind: name, text: `# ${kind.words}\n${text}`, json };
}

export const kindNames = (): string => Object.keys(KINDS).join(", ");
