import test from "ava";
import { type DoorOptions, LoginDoor, type RefusedLogin, type SessionFacts } from "../../../src/fabric/iscsi/door.js";
import { GuessGuard } from "../../../src/fabric/iscsi/guess-guard.js";
import type { FullFeature } from "../../../src/plane.js";
import { ManualClock } from "../../../src/sys/clock.js";
import {
  challengeIn,
  chapResponse,
  loginRequest,
  pairsOf,
  type RequestFields,
  response,
  text,
  textRequest,
} from "../../lib/iscsi-initiator.js";
import { counting, credentials, directory, NORMAL, PLAIN, PROVED, SECRET, TO_FULL, TO_OPERATIONAL } from "./helpers.js";

interface Sent {
  readonly connection: number;
  readonly answer: ReturnType<typeof response> | undefined;
  readonly pairs: readonly string[];
  readonly closed: boolean;
  readonly enter?: FullFeature;
}

/** A door over a front end that only takes notes. */
function plant(options: Partial<DoorOptions> = {}) {
  const clock = new ManualClock();
  const sent: Sent[] = [];
  const closing: number[] = [];
  const sessions: SessionFacts[] = [];
  const refused: RefusedLogin[] = [];
  const defects: unknown[] = [];
  const nexuses = new Map<number, number>();
  let nexus = 100;
  const note = (
    connection: number,
    closed: boolean,
    header?: Uint8Array,
    data?: Uint8Array,
    enter?: FullFeature,
  ): void => {
    const answer = header === undefined ? undefined : response(header);
    sent.push({
      connection,
      answer,
      pairs: pairsOf(data ?? new Uint8Array()),
      closed,
      ...(enter !== undefined && { enter }),
    });
  };
  const guard = new GuessGuard(clock);
  const door = new LoginDoor({
    plane: {
      openNexus: (connection) => {
        nexuses.set(connection, ++nexus);
        return nexus;
      },
      loginAnswer: (connection, header, data, enter) => {
        note(connection, false, header, data, enter);
        return enter === undefined ? undefined : nexuses.get(connection);
      },
      loginClose: (connection, header, data) => note(connection, true, header, data),
      closeNexus: (number) => closing.push(number),
    },
    directory,
    credentials: credentials(),
    guard,
    clock,
    timers: clock,
    random: counting(),
    onSession: (session) => sessions.push(session),
    onRefused: (one) => refused.push(one),
    onDefect: (error) => defects.push(error),
    ...options,
  });
  const send = (connection: number, fields: RequestFields, ...pairs: readonly string[]): Sent | undefined => {
    const before = sent.length;
    const peer = `127.0.0.1:${connection}`;
    door.onLogin({ connection, portal: 0, peer, header: loginRequest(fields), data: text(...pairs), text: false });
    return sent.length > before ? sent.at(-1) : undefined;
  };
  const ask = (connection: number, header: Uint8Array, data: Uint8Array): Sent | undefined => {
    const before = sent.length;
    door.onLogin({ connection, portal: 0, peer: "", header, data, text: true });
    return sent.length > before ? sent.at(-1) : undefined;
  };
  /** As far as a proof, right or wrong. */
  const prove = (connection: number, secret: string, fields: RequestFields = {}): Sent | undefined => {
    send(connection, { ...fields, stage: 0 }, ...PROVED, "AuthMethod=CHAP");
    const { id, challenge } = challengeIn(send(connection, { ...fields, stage: 0 }, "CHAP_A=5")?.pairs ?? []);
    return send(
      connection,
      { ...fields, ...TO_OPERATIONAL },
      "CHAP_N=server",
      `CHAP_R=${chapResponse(id, secret, challenge)}`,
    );
  };
  return { clock, door, guard, sent, closing, sessions, refused, defects, nexuses, send, ask, prove };
}

test("a session is told before its initiator is in, and everything is agreed with the front end", (t) => {
  const order: string[] = [];
  const { send, sent, sessions } = plant({ onSession: () => order.push(`session, ${sent.length} sent`) });
  const last = send(1, TO_FULL, ...NORMAL, "MaxRecvDataSegmentLength=4096");
  t.deepEqual(order, ["session, 0 sent"]);
  t.deepEqual(sessions, []);
  t.like(last, { connection: 1, closed: false });
  t.like(last?.answer, { transit: true, nextStage: 3, tsih: 1, maxCmdSn: 134 });
  t.like(last?.enter, { tsih: 1, cid: 1, expCmdSn: 7, statSn: 1, discovery: false });
  t.is(last?.enter?.initiatorMaxRecvDataSegmentLength, 4096);
  t.is(last?.enter?.targetMaxRecvDataSegmentLength, 1 << 20);
});

test("the same initiator port logs in again: the old session goes first (session reinstatement)", (t) => {
  const { send, sent, closing, door, sessions } = plant();
  send(1, TO_FULL, ...NORMAL);
  t.is(send(2, TO_FULL, ...NORMAL), undefined, "it waits");
  t.deepEqual(closing, [101]);
  door.onGone(1);
  t.is(sent.length, 1);
  door.onNexusClosed(101);
  t.like(sent.at(-1), { connection: 2, closed: false });
  t.is(sent.at(-1)?.answer?.tsih, 2);
  t.deepEqual(
    sessions.map(({ nexus }) => nexus),
    [101, 102],
  );
  t.deepEqual(door.counts, { logins: 0, texts: 1, sessions: 1 });
});

test("another ISID, or another portal group, is another session", (t) => {
  const { send, closing, door } = plant();
  send(1, TO_FULL, ...NORMAL);
  t.is(send(2, { ...TO_FULL, isid: "400001370001" }, ...NORMAL)?.answer?.tsih, 2);
  t.deepEqual(closing, []);
  t.is(door.counts.sessions, 2);
});

test("with its TSIH and CID the connection is reinstated, and the TSIH stays", (t) => {
  const { send, sent, closing, door } = plant();
  send(1, TO_FULL, ...NORMAL);
  t.is(send(2, { ...TO_FULL, tsih: 1, cid: 1 }, ...NORMAL), undefined);
  t.deepEqual(closing, [101]);
  door.onNexusClosed(101);
  t.is(sent.at(-1)?.answer?.tsih, 1);
  t.is(send(3, { ...TO_FULL, isid: "400001370001" }, ...NORMAL)?.answer?.tsih, 2, "it is not given to others");
});

for (const [what, fields, status] of [
  ["a second connection is refused", { tsih: 1, cid: 2 }, 0x0206],
  ["a TSIH that nobody has is refused", { tsih: 5 }, 0x020a],
  ["a TSIH of another initiator port is refused", { tsih: 1, isid: "400001370001" }, 0x020a],
] as const) {
  test(what, (t) => {
    const { send, closing } = plant();
    send(1, TO_FULL, ...NORMAL);
    const told = send(2, { ...TO_FULL, ...fields }, ...NORMAL);
    t.like(told, { closed: true });
    t.is(told?.answer?.status, status);
    t.deepEqual(closing, []);
  });
}

test("who cannot prove its name ends nobody's session", (t) => {
  const { prove, send, closing } = plant();
  prove(1, SECRET);
  t.truthy(send(1, TO_FULL)?.enter);
  t.is(prove(2, "a wrong secret....")?.answer?.status, 0x0201);
  t.is(send(3, TO_FULL, ...PROVED)?.answer?.status, 0x0201);
  t.deepEqual(closing, []);
});

test("of three logins of one initiator port the last one stays", (t) => {
  const { send, sent, door } = plant();
  send(1, TO_FULL, ...NORMAL);
  send(2, TO_FULL, ...NORMAL);
  t.like(send(3, TO_FULL, ...NORMAL), { connection: 2, closed: true });
  door.onNexusClosed(101);
  t.like(sent.at(-1), { connection: 3, closed: false });
});

test("a login that goes away while it waits leaves its place", (t) => {
  const { send, sent, door } = plant();
  send(1, TO_FULL, ...NORMAL);
  send(2, TO_FULL, ...NORMAL);
  door.onGone(2);
  door.onNexusClosed(101);
  t.is(sent.length, 1);
  t.truthy(send(3, TO_FULL, ...NORMAL)?.enter);
});

test("a discovery session asks for targets, and has no nexus", (t) => {
  const { send, ask, nexuses, door } = plant();
  const told = send(1, TO_FULL, `InitiatorName=${PLAIN}`, "SessionType=Discovery");
  t.true(told?.enter?.discovery);
  t.not(told?.answer?.tsih, 0);
  t.is(nexuses.size, 0);
  t.is(ask(1, textRequest({}), text("SendTargets=All"))?.pairs.length, 2);
  door.onGone(1);
  t.like(ask(1, textRequest({}), text("SendTargets=All")), { closed: true });
});

test("text that breaks the rules ends the connection; a new segment length reaches the front end", (t) => {
  const { send, ask, defects } = plant();
  send(1, TO_FULL, ...NORMAL);
  t.is(ask(1, textRequest({}), text("MaxRecvDataSegmentLength=1024"))?.enter?.initiatorMaxRecvDataSegmentLength, 1024);
  t.like(ask(1, textRequest({ continued: true }), text("A=1")), { closed: true });
  t.deepEqual(defects, []);
});

test("wrong proofs come ever more slowly, and the right one waits with them", (t) => {
  const { prove, sent, clock, refused } = plant();
  t.is(prove(1, "wrong secret one")?.answer?.status, 0x0201);
  t.is(prove(2, "wrong secret two"), undefined, "held back");
  clock.advance(249);
  t.false(sent.some(({ connection, closed }) => connection === 2 && closed));
  clock.advance(1);
  t.like(sent.at(-1), { connection: 2, closed: true });
  t.is(prove(3, SECRET), undefined);
  clock.advance(15_000);
  t.true(sent.some(({ connection, answer }) => connection === 3 && answer?.transit === true));
  t.deepEqual(
    refused.slice(0, 2).map(({ status }) => status),
    [0x0201, 0x0201],
  );
});

test("a thousand guesses at once are answered one after the other, most of them not at all", (t) => {
  const { prove, clock, guard, refused, sent } = plant({ logins: 2000 });
  for (let connection = 1; connection <= 1000; connection++) prove(connection, `guess number ${connection}`);
  clock.advance(11_000);
  const looked = refused.filter(({ status }) => status === 0x0201).length;
  const away = refused.filter(({ status }) => status === 0x0301).length;
  t.is(looked + away, 1000);
  t.true(looked <= 10, `${looked} guesses in 11 s`);
  t.is(guard.counts.failures, looked);
  t.true(sent.filter(({ closed }) => closed).length === 1000);
});

test("a request before the answer to the last one ends the login", (t) => {
  const { prove, send } = plant();
  prove(1, "wrong secret one");
  prove(2, "wrong secret two");
  t.like(send(2, TO_FULL), { closed: true });
});

test("a login that takes too long is ended, and one that is through is not", (t) => {
  const { send, sent, clock, door } = plant();
  send(1, TO_OPERATIONAL, ...NORMAL);
  send(2, { ...TO_FULL, isid: "400001370001" }, ...NORMAL);
  clock.advance(15_000);
  t.deepEqual(
    sent.filter(({ closed }) => closed).map(({ connection }) => connection),
    [1],
  );
  t.is(clock.pending, 0);
  t.is(door.counts.logins, 0);
});

test("a flood of half-open logins keeps nobody out, and takes no more memory than it may", (t) => {
  const { send, door, clock } = plant({ logins: 256 });
  for (let connection = 1; connection <= 5000; connection++) send(connection, TO_OPERATIONAL, ...NORMAL);
  t.is(door.counts.logins, 256);
  t.is(clock.pending, 256);
  t.truthy(send(9999, TO_FULL, ...NORMAL)?.enter);
  for (let connection = 1; connection <= 5000; connection++) door.onGone(connection);
  t.deepEqual(door.counts, { logins: 0, texts: 1, sessions: 1 });
  t.is(clock.pending, 0);
});

test("a login whose paths cannot be set is refused", (t) => {
  const { send, defects, door } = plant({
    onSession: () => {
      throw new Error("no paths");
    },
  });
  t.is(send(1, TO_FULL, ...NORMAL)?.answer?.status, 0x0300);
  t.is(defects.length, 1);
  door.onGone(1);
  door.onNexusClosed(101);
  t.deepEqual(door.counts, { logins: 0, texts: 0, sessions: 0 });
});

test("no nexus left: out of resources", (t) => {
  const base = plant();
  const { send } = plant({
    plane: {
      openNexus: () => undefined,
      loginAnswer: () => undefined,
      closeNexus: () => {},
      loginClose: (c, h) => void base.sent.push({ connection: c, answer: h && response(h), pairs: [], closed: true }),
    },
  });
  send(1, TO_FULL, ...NORMAL);
  t.is(base.sent.at(-1)?.answer?.status, 0x0302);
});

test("PDUs of another kind in mid-login end it with 020b", (t) => {
  const { send, refused } = plant();
  send(1, TO_OPERATIONAL, ...NORMAL);
  t.is(send(1, { opcode: 0x01 })?.answer?.status, 0x020b);
  t.is(refused[0]?.initiator, PLAIN);
});

test("closing ends every login", (t) => {
  const { send, sent, door, clock } = plant();
  send(1, TO_OPERATIONAL, ...NORMAL);
  door.close();
  t.like(sent.at(-1), { connection: 1, closed: true });
  t.is(clock.pending, 0);
});
