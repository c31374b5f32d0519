// Words for the tests of the arbiter: nexuses, commands, a unit that remembers.
import { type Judgement, judge } from "../../../../src/admit/reservations/machine.js";
import type { Situation } from "../../../../src/admit/reservations/register.js";
import { nexusText, UNRESERVED, type UnitReservations } from "../../../../src/admit/reservations/state.js";
import { ATTENTION, type Step } from "../../../../src/admit/reservations/step.js";
import { PR_OUT, type PrOutAction } from "../../../../src/wire/persistent-reserve.js";
import { encodeTransportId, type InitiatorPort, type TransportId } from "../../../../src/wire/transport-id.js";

export const PORT_A: InitiatorPort = { protocol: "iscsi", name: "iqn.2001-01.org.example:a", isid: "00023d000001" };
export const PORT_B: InitiatorPort = { protocol: "iscsi", name: "iqn.2001-01.org.example:b", isid: "00023d000001" };
export const PORT_C = {
  protocol: "iscsi",
  name: "iqn.2001-01.org.example:c",
  isid: "80aabbccddee",
} as const satisfies InitiatorPort;
export const A = nexusText(PORT_A, 1);
export const B = nexusText(PORT_B, 1);
export const C = nexusText(PORT_C, 1);
export const KEY = { [A]: 0xaan, [B]: 0xbbn, [C]: 0xccn } as const;

export const RESERVE_6 = Uint8Array.of(0x16, 0, 0, 0, 0, 0);
export const RELEASE_6 = Uint8Array.of(0x17, 0, 0, 0, 0, 0);
export const RESERVE_10 = Uint8Array.of(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0);
export const RELEASE_10 = Uint8Array.of(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0);
export const prIn = (action: number): Uint8Array => Uint8Array.of(0x5e, action, 0, 0, 0, 0, 0, 0xff, 0xff, 0);

export interface OutFields {
  readonly key?: bigint;
  readonly actionKey?: bigint;
  readonly type?: number;
  readonly scope?: number;
  readonly aptpl?: boolean;
  readonly allPorts?: boolean;
  readonly ports?: readonly TransportId[];
  readonly move?: { to: TransportId; port: number; unregister?: boolean };
}

/** CDB and parameter list of a PERSISTENT RESERVE OUT, built by hand from SPC-4 6.16, not by the code under test. */
export function prOut(action: PrOutAction, fields: OutFields): { cdb: Uint8Array; list: Uint8Array } {
  const tail = Buffer.concat(
    (fields.move === undefined ? (fields.ports ?? []) : [fields.move.to]).map((id) => encodeTransportId(id)),
  );
  const head = Buffer.alloc(24);
  head.writeBigUInt64BE(fields.key ?? 0n, 0);
  head.writeBigUInt64BE(fields.actionKey ?? 0n, 8);
  const parts: Buffer[] = [head];
  if (action === PR_OUT.REGISTER_AND_MOVE && fields.move !== undefined) {
    head[17] = (fields.move.unregister === true ? 2 : 0) | (fields.aptpl === true ? 1 : 0);
    head.writeUInt16BE(fields.move.port, 18);
    head.writeUInt32BE(tail.length, 20);
    parts.push(tail);
  } else {
    head[20] =
      (fields.ports === undefined ? 0 : 8) | (fields.allPorts === true ? 4 : 0) | (fields.aptpl === true ? 1 : 0);
    if (fields.ports !== undefined) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(tail.length);
      parts.push(length, tail);
    }
  }
  const list = Buffer.concat(parts);
  const cdb = Buffer.alloc(10);
  cdb[0] = 0x5f;
  cdb[1] = action;
  cdb[2] = ((fields.scope ?? 0) << 4) | (fields.type ?? 0);
  cdb.writeUInt32BE(list.length, 5);
  return { cdb: new Uint8Array(cdb), list: new Uint8Array(list) };
}

/** What a test looks at: "good", "conflict", "5/26/04", "pass". */
export function said(judgement: Judgement): string {
  if (judgement === "pass") return "pass";
  const { status, sense } = judgement.answer;
  if (status === 0x18) return "conflict";
  if (status === 0) return "good";
  return (sense ?? []).map((part) => part.toString(16).padStart(2, "0")).join("/");
}

const NAMES: Readonly<Record<string, string>> = { [A]: "A", [B]: "B", [C]: "C" };
const WORDS: readonly (readonly [readonly [number, number], string])[] = [
  [ATTENTION.RESERVATIONS_PREEMPTED, "reservations preempted"],
  [ATTENTION.RESERVATIONS_RELEASED, "reservations released"],
  [ATTENTION.REGISTRATIONS_PREEMPTED, "registrations preempted"],
];

export class Unit {
  state: UnitReservations = UNRESERVED;
  readonly situation: Omit<Situation, "nexus">;
  /** Of the last command: "B: reservations released". */
  attentions: readonly string[] = [];
  aborted: readonly string[] = [];
  data: Uint8Array | undefined;

  constructor(situation: Partial<Situation> = {}) {
    this.situation = { nowMs: 1000, targetPorts: [1, 2], initiators: [PORT_A, PORT_B, PORT_C], ...situation };
  }

  send(nexus: string, cdb: Uint8Array, list: Uint8Array = new Uint8Array(0), deviceType = 0): string {
    const judgement = judge(this.state, cdb, list, { ...this.situation, nexus }, deviceType);
    if (judgement !== "pass") this.#take(judgement);
    return said(judgement);
  }

  out(nexus: string, action: PrOutAction, fields: OutFields = {}): string {
    const { cdb, list } = prOut(action, fields);
    return this.send(nexus, cdb, list);
  }

  /** Registers with the key of that name. */
  register(...nexuses: readonly (typeof A | typeof B | typeof C)[]): void {
    for (const nexus of nexuses) this.out(nexus, PR_OUT.REGISTER_AND_IGNORE, { actionKey: KEY[nexus] ?? 1n });
  }

  reserve(nexus: string, type: number): string {
    return this.out(nexus, PR_OUT.RESERVE, { key: KEY[nexus] ?? 0n, type });
  }

  #take(step: Step): void {
    this.state = step.state;
    this.data = step.answer.data;
    this.attentions = step.attentions
      .map(
        ({ nexus, code }) =>
          `${NAMES[nexus] ?? nexus}: ${WORDS.find(([known]) => known[0] === code[0] && known[1] === code[1])?.[1]}`,
      )
      .sort();
    this.aborted = step.abort.map((nexus) => NAMES[nexus] ?? nexus).sort();
  }
}
