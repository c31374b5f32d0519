// One command to a copy manager among models, with what happens meanwhile, and what has to hold of it whatever was asked:
// it is answered once, with what a copy manager may say; nobody's device is touched who did not let it; what is written is
// told; and in the end nothing is kept.
import { SENSE_KEY, STATUS } from "../../src/wire/names.js";
import { decodeSense } from "../../src/wire/sense.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import {
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
  decodeTokenInformation,
} from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { ASC } from "../../src/wire/xcopy/refusal.js";
import type { Mishap } from "./copy-model-engine.js";
import type { Order } from "./copy-orders.js";
import { POPULATED } from "./copy-orders.js";
import { type Answer, FULL, LUN, Room, settle } from "./copy-room.js";

/** Order.event: a mishap of the engine, a device that cannot be opened, and what ends a copy that runs. */
export const EVENT = {
  NONE: 0,
  SOURCE_FAILS: 1,
  DESTINATION_FAILS: 2,
  TRANSPORT_FAILS: 3,
  BROKEN: 4,
  ABORTED: 5,
  GONE: 6,
  FORBIDDEN: 7,
} as const;

const MEDIUM_ERROR = Uint8Array.of(0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);
const MISHAPS: Readonly<Record<number, Mishap>> = {
  [EVENT.SOURCE_FAILS]: { result: "device-error", side: "source", status: 2, sense: MEDIUM_ERROR },
  [EVENT.DESTINATION_FAILS]: { result: "device-error", side: "destination", status: 0x18 },
  [EVENT.TRANSPORT_FAILS]: { result: "transport-error" },
};
const UNREACHABLE_EVENTS: ReadonlySet<number> = new Set([EVENT.TRANSPORT_FAILS, EVENT.BROKEN]);
const WRITE_USING_TOKEN = 0x11;
const STATUSES: ReadonlySet<number> = new Set([
  ...[STATUS.GOOD, STATUS.CHECK_CONDITION, STATUS.BUSY, STATUS.TASK_SET_FULL, STATUS.RESERVATION_CONFLICT],
]);
const CODES: ReadonlySet<number> = new Set(Object.values(ASC).map(([asc, ascq]) => (asc << 8) | ascq));
const NOT_REACHABLE = 0x0d02;
const DEVICE_FAILURE = 0x0d01;
const NO_LUN = 9;
/** What a unit itself says to who may not: LOGICAL UNIT NOT … ACCESS DENIED, WRITE PROTECTED. */
const OWN_WORDS: ReadonlySet<number> = new Set([0x2002, 0x2700]);
const STOPPED = 0x0d00;

export interface Outcome {
  readonly answer: Answer | undefined;
  /** "good", a status, or key/asc/ascq. */
  readonly words: string;
  /** What is wrong. */
  readonly problem: string | undefined;
  readonly runs: number;
}

/** The token that every room makes of POPULATED first. */
export async function knownToken(): Promise<Uint8Array> {
  const room = new Room();
  await populate(room);
  const { data } =
    (await room.send(FULL, LUN.disk0, encodeCopyCommand({ kind: "token-information", listId: 77, length: 4096 }))) ??
    none();
  const [one] = decodeTokenInformation(data).tokens;
  if (one === undefined) throw new Error("the model makes no tokens");
  return one.token;
}

const none = (): never => {
  throw new Error("nobody answered");
};

async function populate(room: Room): Promise<void> {
  const cdb = encodeCopyCommand({ kind: "populate-token", listId: 77, length: POPULATED.length });
  const answer = await room.send(FULL, LUN.disk0, cdb, POPULATED);
  if (answer?.status !== STATUS.GOOD) throw new Error("the model makes no tokens");
}

export async function carryOut(order: Order, room = new Room()): Promise<Outcome> {
  room.renew();
  const { nexus, cdb, data, event } = order;
  // The data plane hands nothing up from a path that is not visible.
  const lun = room.paths.get(nexus)?.get(order.lun)?.verdict.visible ? order.lun : NO_LUN;
  if (cdb[0] === 0x83 && ((cdb[1] ?? 0) & 0x1f) === WRITE_USING_TOKEN) await populate(room);
  const { engine } = room;
  engine.mishap = MISHAPS[event];
  room.broken = event === EVENT.BROKEN ? "big0" : undefined;
  engine.holds = event >= EVENT.ABORTED;
  const runs = engine.runs;
  const id = room.punt(nexus, lun, cdb, data);
  await settle();
  if (engine.holds) await interrupt(room, { ...order, lun }, id);
  const answer = room.answers.get(id);
  room.broken = undefined;
  const asked = await askAll(room, { ...order, lun });
  await room.rest();
  const problem = asked ?? judge(room, order, answer);
  return { answer, words: wordsOf(answer), problem, runs: engine.runs - runs };
}

/** Something happens to a copy that runs; then the engine goes on. */
async function interrupt(room: Room, { nexus, lun, event, cdb, data }: Order, id: bigint): Promise<void> {
  const { manager, engine } = room;
  if (engine.waiting > 0) {
    manager.running();
    if (event === EVENT.ABORTED) {
      const listId = listIdOf(cdb, data);
      room.punt(nexus, lun, encodeCopyCommand({ kind: "abort", listId, length: 0 }));
    } else if (event === EVENT.GONE) {
      manager.onNote({ kind: "punt-gone", punt: id });
    } else {
      room.paths.set(nexus, new Map());
      manager.judge();
    }
    await settle();
  }
  engine.release();
  await settle();
}

/** In the list, or in the CDB of the commands of tokens; one byte is as much as there is in all of them. */
function listIdOf(cdb: Uint8Array, data: Uint8Array): number {
  const action = (cdb[1] ?? 0) & 0x1f;
  return (action === 0 ? data[0] : action === 1 ? data[23] : cdb[9]) ?? 0;
}

const ASKED = [
  ["status-lid1", decodeStatusLid1],
  ["data-lid4", decodeDataLid4],
  ["data-lid1", decodeDataLid1],
  ["failure-details", decodeFailureDetails],
  ["token-information", decodeTokenInformation],
  ["status-lid4", decodeStatusLid4],
] as const;

/** Whatever came of it can be asked for, and makes sense. */
async function askAll(room: Room, { nexus, lun, data, cdb }: Order): Promise<string | undefined> {
  const listId = listIdOf(cdb, data);
  const asked = ASKED.map(([kind, decode]) => ({
    ...{ kind, decode },
    id: room.punt(nexus, lun, encodeCopyCommand({ kind, listId, length: 0xffff })),
  }));
  await settle();
  for (const { kind, decode, id } of asked) {
    const answer = room.answers.get(id);
    if (answer === undefined) return `${kind} is not answered`;
    const problem = answer.status === STATUS.CHECK_CONDITION ? wrongSense(answer.sense, EVENT.NONE) : undefined;
    if (problem !== undefined) return `${kind}: ${problem}`;
    if (answer.status === STATUS.GOOD) decode(answer.data);
  }
  return undefined;
}

function judge(room: Room, { event }: Order, answer: Answer | undefined): string | undefined {
  const { engine, faults, manager } = room;
  const fault = faults[0] ?? engine.faults[0];
  if (fault !== undefined) return fault;
  if (answer === undefined && event !== EVENT.GONE) return "it is not answered";
  if (answer !== undefined && !STATUSES.has(answer.status)) return `status ${answer.status}`;
  if (answer?.status === STATUS.CHECK_CONDITION) {
    const problem = wrongSense(answer.sense, event);
    if (problem !== undefined) return problem;
  }
  const untold = engine.written.find(
    ({ device, from, to }) =>
      from < to && !room.told.some((one) => one.device === device && one.from <= from && one.to >= to),
  );
  if (untold !== undefined) return `nobody was told of what was written to ${untold.device} at ${untold.from}`;
  if (manager.running().length > 0) return "a copy has not ended";
  if (engine.arenas > 0 || engine.bytesInUse > 0) return "memory is not given back";
  return room.open > 0 ? `${room.open} units stay open` : undefined;
}

/** @param event what went wrong besides */
function wrongSense(bytes: Uint8Array, event: number): string | undefined {
  const { key, asc, ascq } = decodeSense(bytes);
  const code = (asc << 8) | ascq;
  if (key === SENSE_KEY.DATA_PROTECT || key === SENSE_KEY.ILLEGAL_REQUEST)
    return CODES.has(code) || OWN_WORDS.has(code) ? undefined : `a refusal with ${code.toString(16)}`;
  if (key !== SENSE_KEY.COPY_ABORTED) return `sense key ${key}, ${code.toString(16)}`;
  if (code === STOPPED) return event >= EVENT.ABORTED ? undefined : "it was stopped, and nobody stopped it";
  const said = decodeCopySense(bytes);
  const silent = said.source === undefined && said.destination === undefined;
  // NO ADDITIONAL SENSE INFORMATION: the device's own words stand behind.
  if (code === 0) return silent ? "a copy aborted without a reason" : undefined;
  if (!CODES.has(code)) return `a copy aborted with ${code.toString(16)}`;
  if (code === NOT_REACHABLE && !UNREACHABLE_EVENTS.has(event)) return "a device is said to be unreachable that is not";
  return code === DEVICE_FAILURE && silent ? "a device failed, and nobody says how" : undefined;
}

function wordsOf(answer: Answer | undefined): string {
  if (answer === undefined) return "none";
  if (answer.status !== STATUS.CHECK_CONDITION)
    return answer.status === STATUS.GOOD ? "good" : `status ${answer.status}`;
  const { key, asc, ascq } = decodeSense(answer.sense);
  return [key, asc, ascq].map((part) => part.toString(16)).join("/");
}
