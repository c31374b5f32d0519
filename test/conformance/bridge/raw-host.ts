// An initiator that has many commands in flight on one nexus and sends task management: PDUs by hand from RFC 7143.
import { loginRequest, text } from "../../lib/iscsi-initiator.js";
import { type Received, Wire } from "../../lib/iscsi-wire.js";
import { type Device, LUN, nameOf, TARGETS } from "./rig.js";

const OPCODE = { COMMAND: 0x01, TASK_MANAGEMENT: 0x02, RESPONSE: 0x21, TASK_MANAGEMENT_RESPONSE: 0x22, DATA_IN: 0x25 };
const FLAG = { FINAL: 0x80, READ: 0x40, WRITE: 0x20, SIMPLE: 0x01, STATUS: 0x01, IMMEDIATE: 0x40 };
const NO_TAG = 0xffff_ffff;

/** RFC 7143 11.5.1. */
export const FUNCTION = {
  ABORT_TASK: 1,
  ABORT_TASK_SET: 2,
  CLEAR_TASK_SET: 4,
  LU_RESET: 5,
  TARGET_WARM_RESET: 6,
} as const;

export interface Flying {
  readonly tag: number;
  readonly cmdSn: number;
  /** SCSI status; undefined: none came before the connection ended. */
  readonly status: Promise<number | undefined>;
}

export class RawHost {
  readonly #wire: Wire;
  #tag = 1;
  #cmdSn: number;
  #expStatSn = 0;
  readonly #waiting = new Map<number, (value: number | undefined) => void>();
  /** Tags in the order in which their answers came. */
  readonly answered: number[] = [];

  private constructor(wire: Wire, cmdSn: number) {
    this.#wire = wire;
    this.#cmdSn = cmdSn;
  }

  static async login(port: number, name: string, isid = "400001370001"): Promise<RawHost> {
    const wire = await Wire.open(port);
    const pairs = text(
      `InitiatorName=${nameOf(name)}`,
      `TargetName=${TARGETS[0]}`,
      "SessionType=Normal",
      "AuthMethod=None",
    );
    const first = loginRequest({ transit: true, stage: 0, nextStage: 1, isid, cmdSn: 1 });
    const told = await wire.ask(first, pairs);
    if (told?.answer.status !== 0) throw new Error(`login: status ${told?.answer.status?.toString(16)}`);
    const operational = text(
      "HeaderDigest=None",
      "DataDigest=None",
      "InitialR2T=No",
      "ImmediateData=Yes",
      "ErrorRecoveryLevel=0",
    );
    const last = loginRequest({
      transit: true,
      stage: 1,
      nextStage: 3,
      isid,
      cmdSn: 1,
      expStatSn: told.answer.statSn + 1,
    });
    const done = await wire.ask(last, operational);
    if (done?.answer.status !== 0) throw new Error(`login: status ${done?.answer.status?.toString(16)}`);
    const host = new RawHost(wire, 1);
    host.#expStatSn = done.answer.statSn + 1;
    void host.#receive();
    return host;
  }

  /** A command of SIMPLE task attribute; its data goes along with it. */
  send(device: Device, cdb: Uint8Array, { out, room = 0 }: { out?: Uint8Array; room?: number } = {}): Flying {
    const tag = this.#tag++;
    const cmdSn = this.#cmdSn++;
    const header = Buffer.alloc(48);
    header[0] = OPCODE.COMMAND;
    header[1] = FLAG.FINAL | FLAG.SIMPLE | (room > 0 ? FLAG.READ : 0) | (out === undefined ? 0 : FLAG.WRITE);
    header[9] = LUN[device];
    header.writeUInt32BE(tag, 16);
    header.writeUInt32BE(out?.length ?? room, 20);
    header.writeUInt32BE(cmdSn, 24);
    header.writeUInt32BE(this.#expStatSn, 28);
    header.set(cdb, 32);
    return { tag, cmdSn, status: this.#ask(tag, header, out) };
  }

  /** The function's response: 0 complete, 1 no such task, 5 not supported. */
  manage(device: Device, what: number, task?: Flying): Promise<number | undefined> {
    const tag = this.#tag++;
    const header = Buffer.alloc(48);
    header[0] = OPCODE.TASK_MANAGEMENT | FLAG.IMMEDIATE;
    header[1] = FLAG.FINAL | what;
    header[9] = LUN[device];
    header.writeUInt32BE(tag, 16);
    header.writeUInt32BE(task?.tag ?? NO_TAG, 20);
    header.writeUInt32BE(this.#cmdSn, 24);
    header.writeUInt32BE(this.#expStatSn, 28);
    header.writeUInt32BE(task?.cmdSn ?? 0, 32);
    return this.#ask(tag, header);
  }

  /** Whether an answer to it has come. */
  has({ tag }: Flying): boolean {
    return this.answered.includes(tag);
  }

  close(): void {
    this.#wire.close();
  }

  #ask(tag: number, header: Buffer, data?: Uint8Array): Promise<number | undefined> {
    const answer = new Promise<number | undefined>((resolve) => this.#waiting.set(tag, resolve));
    this.#wire.send(header, data === undefined ? undefined : Buffer.from(data));
    return answer;
  }

  async #receive(): Promise<void> {
    for (let got = await this.#wire.receive(); got !== undefined; got = await this.#wire.receive()) this.#take(got);
    for (const resolve of this.#waiting.values()) resolve(undefined);
  }

  #take({ header, answer }: Received): void {
    const opcode = header.readUInt8(0) & 0x3f;
    const ends = opcode !== OPCODE.DATA_IN || (header.readUInt8(1) & FLAG.STATUS) !== 0;
    if (!ends || answer.taskTag === NO_TAG) return;
    this.#expStatSn = answer.statSn + 1;
    const value = opcode === OPCODE.TASK_MANAGEMENT_RESPONSE ? header.readUInt8(2) : header.readUInt8(3);
    this.answered.push(answer.taskTag);
    this.#waiting.get(answer.taskTag)?.(value);
    this.#waiting.delete(answer.taskTag);
  }
}
