// An initiator that orders copies on one nexus, asks for them while they run and aborts them: PDUs by hand from RFC 7143.
import type { ExecutionContext } from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyList, encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type CopyHost, type CopyPlant, LUNS, listOf, type Name, TARGET } from "./copy-plant.js";
import { loginRequest, text } from "./iscsi-initiator.js";
import { type Received, Wire } from "./iscsi-wire.js";

const OPCODE = { COMMAND: 0x01, TASK_MANAGEMENT: 0x02, TASK_MANAGEMENT_RESPONSE: 0x22, DATA_IN: 0x25 };
const FLAG = { FINAL: 0x80, READ: 0x40, WRITE: 0x20, SIMPLE: 0x01, STATUS: 0x01, IMMEDIATE: 0x40 };
const NO_TAG = 0xffff_ffff;
const UNIT_ATTENTION = 6;

/** RFC 7143 11.5.1. */
export const FUNCTION = { ABORT_TASK: 1, ABORT_TASK_SET: 2, LU_RESET: 5, TARGET_WARM_RESET: 6 } as const;

export interface RawAnswer {
  /** Of a task management function: its response. */
  readonly status: number;
  readonly sense: Uint8Array;
  readonly data: Buffer;
}

export interface Flying {
  readonly tag: number;
  readonly cmdSn: number;
  /** undefined: none came before the connection ended. */
  readonly answer: Promise<RawAnswer | undefined>;
}

type CopyListCscds = Parameters<typeof listOf>[0];

/** A session with the keys of the host; the unit attentions of a new session are taken. */
export async function rawHost(
  t: ExecutionContext<unknown>,
  plant: CopyPlant,
  host: CopyHost,
  isid?: string,
): Promise<RawCopyHost> {
  const raw = await RawCopyHost.login(plant.port, host.initiator, isid);
  t.teardown(() => raw.close());
  return raw;
}

export class RawCopyHost {
  readonly #wire: Wire;
  #tag = 1;
  #cmdSn = 1;
  #expStatSn: number;
  readonly #waiting = new Map<number, (value: RawAnswer | undefined) => void>();
  readonly #data = new Map<number, Buffer[]>();
  readonly #answered = new Set<number>();

  private constructor(wire: Wire, expStatSn: number) {
    this.#wire = wire;
    this.#expStatSn = expStatSn;
  }

  static async login(port: number, initiator: string, isid = "400001370001"): Promise<RawCopyHost> {
    const wire = await Wire.open(port);
    const security = ["SessionType=Normal", "AuthMethod=None"];
    const named = text(`InitiatorName=${initiator}`, `TargetName=${TARGET}`, ...security);
    const stage = { transit: true, isid, cmdSn: 1 };
    const told = await wire.ask(loginRequest({ ...stage, stage: 0, nextStage: 1 }), named);
    if (told?.answer.status !== 0) throw new Error(`login: status ${told?.answer.status?.toString(16)}`);
    const operational = text(
      ...["HeaderDigest=None", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes"],
      ...["MaxRecvDataSegmentLength=262144", "ErrorRecoveryLevel=0"],
    );
    const last = loginRequest({ ...stage, stage: 1, nextStage: 3, expStatSn: told.answer.statSn + 1 });
    const done = await wire.ask(last, operational);
    if (done?.answer.status !== 0) throw new Error(`login: status ${done?.answer.status?.toString(16)}`);
    const host = new RawCopyHost(wire, done.answer.statSn + 1);
    void host.#receive();
    return host;
  }

  /** A command of SIMPLE task attribute; its data goes along with it. */
  start(name: Name, cdb: Uint8Array, { out, room = 0 }: { out?: Uint8Array; room?: number } = {}): Flying {
    const [tag, cmdSn] = [this.#tag++, this.#cmdSn++];
    const header = Buffer.alloc(48);
    header[0] = OPCODE.COMMAND;
    header[1] = FLAG.FINAL | FLAG.SIMPLE | (room > 0 ? FLAG.READ : 0) | (out === undefined ? 0 : FLAG.WRITE);
    header[9] = LUNS[name];
    header.writeUInt32BE(tag, 16);
    header.writeUInt32BE(out?.length ?? room, 20);
    header.writeUInt32BE(cmdSn, 24);
    header.writeUInt32BE(this.#expStatSn, 28);
    header.set(cdb, 32);
    return { tag, cmdSn, answer: this.#ask(tag, header, out) };
  }

  /** Waits for the answer, and takes unit attentions that stand before it. */
  async send(name: Name, cdb: Uint8Array, options: { out?: Uint8Array; room?: number } = {}): Promise<RawAnswer> {
    for (;;) {
      const answer = await this.start(name, cdb, options).answer;
      if (answer === undefined) throw new Error("the connection ended");
      if (answer.status !== 2 || ((answer.sense[2] ?? 0) & 0x0f) !== UNIT_ATTENTION) return answer;
    }
  }

  /** Orders a copy of the unit `at`; its unit attentions have to be taken before. */
  copy(at: Name, cscds: CopyListCscds, segments: readonly Segment[], more: Partial<CopyList> = {}): Flying {
    const out = encodeCopyList(listOf(cscds, segments, more));
    const kind = more.form === "LID4" ? "copy-lid4" : "copy-lid1";
    return this.start(at, encodeCopyCommand({ kind, listId: 0, length: out.length }), { out });
  }

  /** The function's response: 0 complete, 1 no such task, 5 not supported. */
  async manage(name: Name, what: number, task?: Flying): Promise<number | undefined> {
    const tag = this.#tag++;
    const header = Buffer.alloc(48);
    header[0] = OPCODE.TASK_MANAGEMENT | FLAG.IMMEDIATE;
    header[1] = FLAG.FINAL | what;
    header[9] = LUNS[name];
    header.writeUInt32BE(tag, 16);
    header.writeUInt32BE(task?.tag ?? NO_TAG, 20);
    header.writeUInt32BE(this.#cmdSn, 24);
    header.writeUInt32BE(this.#expStatSn, 28);
    header.writeUInt32BE(task?.cmdSn ?? 0, 32);
    return (await this.#ask(tag, header))?.status;
  }

  /** Whether an answer to it has come. */
  has({ tag }: Flying): boolean {
    return this.#answered.has(tag);
  }

  close(): void {
    this.#wire.close();
  }

  #ask(tag: number, header: Buffer, data?: Uint8Array): Promise<RawAnswer | undefined> {
    const answer = new Promise<RawAnswer | undefined>((resolve) => this.#waiting.set(tag, resolve));
    this.#wire.send(header, data === undefined ? undefined : Buffer.from(data));
    return answer;
  }

  async #receive(): Promise<void> {
    for (let got = await this.#wire.receive(); got !== undefined; got = await this.#wire.receive()) this.#take(got);
    for (const resolve of this.#waiting.values()) resolve(undefined);
  }

  #take({ header, answer, data }: Received): void {
    const opcode = header.readUInt8(0) & 0x3f;
    const tag = answer.taskTag;
    if (tag === NO_TAG) return;
    const parts = this.#data.get(tag) ?? [];
    if (opcode === OPCODE.DATA_IN) this.#data.set(tag, [...parts, data]);
    if (opcode === OPCODE.DATA_IN && (header.readUInt8(1) & FLAG.STATUS) === 0) return;
    this.#expStatSn = answer.statSn + 1;
    const isFunction = opcode === OPCODE.TASK_MANAGEMENT_RESPONSE;
    const sense =
      opcode !== OPCODE.DATA_IN && data.length > 2 ? data.subarray(2, 2 + data.readUInt16BE(0)) : Buffer.of();
    this.#answered.add(tag);
    this.#waiting.get(tag)?.({
      status: header.readUInt8(isFunction ? 2 : 3),
      sense,
      data: Buffer.concat(this.#data.get(tag) ?? []),
    });
    this.#waiting.delete(tag);
    this.#data.delete(tag);
  }
}
