// The logical unit whose copy manager is asked: where it is, in words, and commands to it. One session is one I_T nexus,
// and list identifiers belong to that (SPC-4 5.17.4.2), so whatever is asked of one copy goes over one session.
import type { LuTarget, ScsiAnswer } from "../../src/native/types.js";
import { GantryError, messageOf } from "../../src/sys/errors.js";
import { SENSE_KEY, STATUS } from "../../src/wire/names.js";
import { decodeSense, endInWords } from "../../src/wire/sense.js";
import { COMMAND_NAMES, type CopyCommandKind, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { faultOf, faultText } from "./fault.js";
import type { CopyPlan } from "./plan.js";

/** What is used of src/native's Lu. */
export interface Unit {
  execute(
    cdb: Uint8Array,
    options?: { readonly dataIn?: number; readonly dataOut?: Uint8Array; readonly timeoutMs?: number },
  ): Promise<ScsiAnswer>;
  close(): Promise<void>;
}
export type OpenUnit = (target: LuTarget) => Promise<Unit>;

export interface UnitFlags {
  readonly portal?: string;
  readonly target?: string;
  readonly lun?: number;
  readonly initiator?: string;
  readonly chapUser?: string;
  readonly chapSecretFile?: string;
  readonly targetChapUser?: string;
  readonly targetChapSecretFile?: string;
  readonly headerDigest?: boolean;
}

const URL = /^iscsi:\/\/(\[[^\]]+\]:\d+|[^/:]+:\d+)\/([^/]+)\/(\d{1,5})$/;
const TIMEOUT_MS = 60_000;
const REPEATS_MAX = 8;
const BUSY_MS = 250;
/** Room for what most answers need; those that need more are asked again. */
const ALLOCATION = 98_304;
const ALLOCATION_MAX = 1 << 20;

/** The unit and what else stands on the command line: with --portal, all words are something else. */
export function splitWords(words: readonly string[], flags: UnitFlags): { unit?: string; rest: readonly string[] } {
  if (flags.portal !== undefined || flags.target !== undefined) return { rest: words };
  const [unit, ...rest] = words;
  if (unit !== undefined) return { unit, rest };
  throw input("Say which logical unit: iscsi://host:port/target/lun, /dev/sgN, or --portal, --target and --lun.");
}

/** @param unit undefined: as --portal, --target and --lun say @throws GantryError XCOPY_INPUT */
export function targetOf(unit: string | undefined, flags: UnitFlags, secret: (path: string) => string): LuTarget {
  if (unit?.startsWith("/dev/") === true) return { transport: "sg", path: unit };
  const [, portal = flags.portal, target = flags.target, lun = flags.lun] =
    unit === undefined ? [] : (URL.exec(unit) ?? [undefined, "", "", ""]);
  if (portal === "" || target === "")
    throw input(`"${unit}" is neither iscsi://host:port/target/lun nor a node below /dev.`);
  if (portal === undefined || target === undefined) throw input("Give --portal and --target together.");
  if (flags.initiator === undefined)
    throw input("Give --initiator: the iSCSI name of this server, that its keys are for.");
  const chap = pair("chap", flags.chapUser, flags.chapSecretFile, secret);
  const targetChap = pair("target-chap", flags.targetChapUser, flags.targetChapSecretFile, secret);
  return {
    transport: "iscsi",
    portal,
    target,
    lun: Number(lun ?? 0),
    initiator: flags.initiator,
    ...(chap && { chap }),
    ...(targetChap && { targetChap }),
    ...(flags.headerDigest !== undefined && { headerDigest: flags.headerDigest }),
  };
}

function pair(name: string, user: string | undefined, file: string | undefined, secret: (path: string) => string) {
  if ((user === undefined) !== (file === undefined))
    throw input(`Give --${name}-user and --${name}-secret-file together.`);
  return user === undefined || file === undefined ? undefined : { user, secret: secret(file) };
}

export const input = (message: string): GantryError => new GantryError("XCOPY_INPUT", message);

/** For messages: "iscsi://host:port/target/lun" or the node. */
export function targetText(target: LuTarget): string {
  if (target.transport === "sg") return target.path;
  return target.transport === "iscsi"
    ? `iscsi://${target.portal}/${target.target}/${target.lun}`
    : "the emulated device";
}

export interface Data {
  readonly dataIn?: number;
  readonly dataOut?: Uint8Array;
  readonly timeoutMs?: number;
}

export class Session {
  private constructor(
    readonly target: LuTarget,
    readonly unit: Unit,
    private readonly sleep: (ms: number) => Promise<void>,
  ) {}

  /** @throws GantryError XCOPY_UNANSWERED */
  static async open(open: OpenUnit, target: LuTarget, sleep: (ms: number) => Promise<void>): Promise<Session> {
    try {
      return new Session(target, await open(target), sleep);
    } catch (error) {
      throw new GantryError("XCOPY_UNANSWERED", `${targetText(target)} cannot be opened: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /**
   * One command. Unit attentions of a new session come first, and a unit may be busy: neither has done anything, so the
   * command is sent again. @throws GantryError XCOPY_UNANSWERED
   */
  async execute(cdb: Uint8Array, data: Data = {}): Promise<ScsiAnswer> {
    for (let repeats = 0; ; repeats++) {
      const answer = await this.#once(cdb, data);
      const busy = answer.status === STATUS.BUSY || answer.status === STATUS.TASK_SET_FULL;
      if ((!busy && !isAttention(answer)) || repeats >= REPEATS_MAX) return answer;
      if (busy) await this.sleep(BUSY_MS);
    }
  }

  /** Parameter data, or XCOPY_FAILED with the explanation. @param what was asked, for the message */
  async receive(cdb: (allocation: number) => Uint8Array, what: string, head: (data: Uint8Array) => number) {
    for (let allocation = ALLOCATION; ; allocation = ALLOCATION_MAX) {
      const answer = await this.execute(cdb(allocation), { dataIn: allocation });
      if (answer.status !== STATUS.GOOD) throw failed(answer, `${what} was refused`);
      const whole = head(answer.data) <= answer.data.length;
      if (whole || allocation === ALLOCATION_MAX || answer.data.length < allocation) return answer.data;
    }
  }

  /** A command of THIRD-PARTY COPY IN; what it answers begins with AVAILABLE DATA. */
  async ask(kind: CopyCommandKind, listId = 0): Promise<Uint8Array> {
    return await this.receive(
      (length) => encodeCopyCommand({ kind, listId, length }),
      COMMAND_NAMES[kind],
      (data) => (data.length < 4 ? 4 : 4 + new DataView(data.buffer, data.byteOffset).getUint32(0)),
    );
  }

  async close(): Promise<void> {
    await this.unit.close();
  }

  async #once(cdb: Uint8Array, data: Data): Promise<ScsiAnswer> {
    const where = targetText(this.target);
    let answer: ScsiAnswer;
    try {
      answer = await this.unit.execute(cdb, { timeoutMs: TIMEOUT_MS, ...data });
    } catch (error) {
      throw new GantryError("XCOPY_UNANSWERED", `${where} did not take the command: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (answer.outcome !== "delivered")
      throw new GantryError("XCOPY_UNANSWERED", `${where}: ${endInWords(answer)}.`, {
        details: { outcome: answer.outcome },
      });
    // As plain bytes: a Buffer would be another thing in JSON.
    return { ...answer, sense: new Uint8Array(answer.sense), data: new Uint8Array(answer.data) };
  }
}

function isAttention({ status, sense }: ScsiAnswer): boolean {
  if (status !== STATUS.CHECK_CONDITION || sense.length < 3) return false;
  try {
    const { key, deferred } = decodeSense(sense);
    return key === SENSE_KEY.UNIT_ATTENTION && !deferred;
  } catch {
    return false;
  }
}

/** How a command ended, explained. @param what begins the sentence: "POPULATE TOKEN was refused" */
export function failed(end: Pick<ScsiAnswer, "status" | "sense">, what: string, plan?: CopyPlan): GantryError {
  const fault = faultOf(end.status, end.sense, plan);
  return new GantryError("XCOPY_FAILED", `${what}: ${faultText(fault)}`, { details: { ...fault } });
}
