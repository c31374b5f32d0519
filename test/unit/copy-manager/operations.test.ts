// The table of copy operations (SPC-4 5.17.4): whose list identifiers are free, what is kept for how long, what there is
// room for.
import test from "ava";
import fc from "fast-check";
import { COPY_LIMITS } from "../../../src/copy-manager/limits.js";
import { Operation, type OperationFacts } from "../../../src/copy-manager/operation.js";
import { KEPT, Operations, type ReceiveKind } from "../../../src/copy-manager/operations.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { STATUS } from "../../../src/wire/names.js";
import { decodeSense } from "../../../src/wire/sense.js";
import { LIST_ID_USAGE } from "../../../src/wire/xcopy/copy-list.js";
import {
  decodeDataLid1,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeTokenInformation,
} from "../../../src/wire/xcopy/copy-results.js";
import { fixedCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import { CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import { zeroToken } from "../../../src/wire/xcopy/rod-token.js";
import { hex } from "../../lib/xcopy.js";

const ALL = 0x1_0000;
const SENSE = hex("70 00 0a 00 00 00 00 0a 00 00 00 00 0d 02 00 00 00 00");
const FAILED = { state: "failed", status: STATUS.CHECK_CONDITION, sense: SENSE } as const;
const FACTS: OperationFacts = {
  ...{ nexus: "a", lun: 0, device: "d0", kind: "copy-lid1", listId: 7, usage: LIST_ID_USAGE.HOLD },
  ...{ background: false, segments: 3 },
};

function table() {
  const clock = new ManualClock();
  const operations = new Operations(clock);
  const begin = (more: Partial<OperationFacts> = {}): Operation => {
    const begun = operations.begin({ ...FACTS, ...more });
    if (!(begun instanceof Operation)) throw new Error(`status ${begun}`);
    return begun;
  };
  const receive = (kind: ReceiveKind, listId = 7, length = ALL) => operations.receive("a", 0, { kind, listId, length });
  return { clock, operations, begin, receive };
}

/** What was refused with INVALID FIELD IN CDB at the list identifier. */
function unknown(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    if (!(error instanceof CopyRefusal)) throw error;
    const { key, asc, ascq, fieldPointer } = decodeSense(fixedCopySense(error.fault));
    return key === 5 && asc === 0x24 && ascq === 0 && fieldPointer?.in === "CDB" && fieldPointer.byte === 2;
  }
}

test("a list identifier in use by a copy that runs is refused: OPERATION IN PROGRESS", (t) => {
  const { operations, begin } = table();
  const first = begin();
  for (const kind of ["copy-lid1", "copy-lid4", "populate-token"] as const) {
    const error = t.throws(() => begin({ kind }), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc: 0x00, ascq: 0x16 });
  }
  t.deepEqual(operations.running(), [first]);
  t.true(first.end({ state: "done" }));
  t.true(begin().running);
});

test("nexuses and logical units have list identifiers of their own, both forms the same", (t) => {
  const { operations, begin } = table();
  const one = begin();
  const others = [
    begin({ nexus: "b" }),
    begin({ lun: 1 }),
    begin({ listId: 8 }),
    begin({ kind: "copy-lid4", listId: 0x107 }),
  ];
  t.is(new Set([one, ...others]).size, 5);
  t.is(operations.find("a", 0, 7), one);
  t.is(operations.find("b", 0, 7), others[0]);
  t.is(operations.find("a", 1, 7), others[1]);
  t.is(operations.find("a", 0, 0x107), others[3]);
  t.is(operations.find("b", 1, 7), undefined);
});

test("a new operation with the identifier of one that ended takes its place", (t) => {
  const { begin, receive } = table();
  const first = begin();
  first.hold(hex("0102"));
  first.progress({ segments: 2 });
  first.end(FAILED);
  const second = begin();
  t.is(first.heldBytes, 0);
  t.is(decodeStatusLid1(receive("status-lid1")).segments, 0);
  second.end({ state: "done" });
  t.is(decodeFailureDetails(receive("failure-details")), undefined);
});

test("an operation ends once, and holds nothing after that", (t) => {
  const { clock, begin } = table();
  const one = begin();
  clock.advance(5);
  t.true(one.end({ state: "terminated" }));
  clock.advance(5);
  t.false(one.end({ state: "done" }));
  one.hold(hex("01"));
  t.like(one, { state: "terminated", running: false, endedMs: 5, heldBytes: 0, startedMs: 0 });
});

test("an unknown list identifier is INVALID FIELD IN CDB at byte 2, for each command", (t) => {
  const { operations, begin, receive } = table();
  begin({ usage: LIST_ID_USAGE.NONE, listId: 0 });
  const kinds = [
    "status-lid1",
    "data-lid1",
    "failure-details",
    "status-lid4",
    "data-lid4",
    "token-information",
  ] as const;
  for (const kind of kinds)
    for (const id of [0, 7])
      t.true(
        unknown(() => receive(kind, id)),
        kind,
      );
  t.true(unknown(() => operations.toAbort("a", 0, 7)));
  const one = begin();
  t.is(operations.toAbort("a", 0, 7), one);
  for (const kind of kinds)
    t.is(
      unknown(() => receive(kind)),
      kind === "data-lid1" || kind === "failure-details",
      kind,
    );
});

test("a status of one that has ended is told once; held data and failures stay for themselves", (t) => {
  const { operations, begin, receive } = table();
  const one = begin();
  one.hold(hex("010203"));
  t.is(decodeStatusLid1(receive("status-lid1")).status, 0);
  t.is(decodeStatusLid1(receive("status-lid1")).status, 0);
  one.end(FAILED);
  t.is(decodeStatusLid1(receive("status-lid1", 7, 4)).status, 2);
  t.true(unknown(() => receive("status-lid1")));
  t.true(unknown(() => receive("status-lid4")));
  t.deepEqual(decodeDataLid1(receive("data-lid1")), hex("010203"));
  t.deepEqual(decodeDataLid1(receive("data-lid1")), hex(""));
  t.deepEqual(decodeFailureDetails(receive("failure-details")), { status: 2, sense: SENSE });
  t.is(operations.find("a", 0, 7), undefined);
});

test("data that is held and was not fetched outlives the status", (t) => {
  const { operations, begin, receive } = table();
  const one = begin();
  one.hold(hex("01"));
  one.end({ state: "done" });
  receive("status-lid4");
  t.deepEqual(decodeDataLid1(receive("data-lid1")), hex("01"));
  t.is(operations.find("a", 0, 7), undefined);
});

test("tokens and the outcome of a command of tokens are told until they were fetched whole; of a copy there are none", (t) => {
  const { operations, begin, receive } = table();
  const one = begin({ kind: "populate-token" });
  const tokens = (length?: number) => decodeTokenInformation(receive("token-information", 7, length)).tokens;
  one.made(zeroToken());
  one.end({ state: "done" });
  receive("status-lid4");
  for (const length of [100, ALL]) t.deepEqual(tokens(length), [{ cscdId: 0, token: zeroToken() }]);
  t.true(unknown(() => tokens()));
  const writes = begin({ kind: "write-using-token" });
  writes.end({ state: "partial" });
  t.deepEqual(tokens(), []);
  t.true(unknown(() => tokens()));
  t.is(operations.find("a", 0, 7), undefined);
  begin().end({ state: "done" });
  for (let times = 0; times < 2; times++) t.deepEqual(tokens(), []);
});

test("held data and failure details stay until they are fetched whole, or with an allocation length of 0", (t) => {
  const { begin, receive } = table();
  for (const last of [0, 7]) {
    const one = begin();
    one.hold(hex("010203"));
    one.end(FAILED);
    t.deepEqual(decodeDataLid1(receive("data-lid1", 7, 6)), hex("010203"));
    t.false(one.heldDiscarded);
    t.deepEqual(decodeDataLid1(receive("data-lid1", 7, last)), hex("010203"));
    t.is(one.heldBytes, 0);
    t.true(decodeStatusLid1(receive("status-lid1")).heldDiscarded);
    t.is(decodeFailureDetails(receive("failure-details", 7, 60))?.status, 2);
    t.is(decodeFailureDetails(receive("failure-details", 7, last === 0 ? 0 : ALL))?.status, 2);
    t.true(unknown(() => receive("failure-details")));
  }
});

test("LIST ID USAGE 10b holds no data, 11b is known to nobody and runs all the same", (t) => {
  const { operations, begin, receive } = table();
  const discards = begin({ usage: LIST_ID_USAGE.DISCARD });
  discards.hold(hex("01"));
  discards.end({ state: "done" });
  t.deepEqual(decodeDataLid1(receive("data-lid1")), hex(""));
  t.like(decodeStatusLid1(receive("status-lid1")), { heldDiscarded: true, status: 1 });
  const nameless = [0, 1].map(() => begin({ usage: LIST_ID_USAGE.NONE, listId: 0 }));
  t.deepEqual(operations.running(), nameless);
  for (const one of nameless) one.end({ state: "done" });
  t.deepEqual(operations.running(), []);
});

test("what ended is forgotten after ten minutes, and what runs never", (t) => {
  const { clock, operations, begin } = table();
  const [runs, ended] = [begin({ listId: 1 }), begin({ listId: 2 })];
  ended.hold(hex("01"));
  clock.advance(1000);
  ended.end({ state: "done" });
  clock.advance(KEPT.ms - 1);
  t.is(operations.find("a", 0, 2), ended);
  clock.advance(1);
  t.is(operations.find("a", 0, 2), undefined);
  t.is(ended.heldBytes, 0);
  t.is(operations.find("a", 0, 1), runs);
});

test("of those of a nexus that ended, the 32 that ended last are kept", (t) => {
  const { operations, begin } = table();
  begin({ nexus: "b" }).end({ state: "done" });
  for (let listId = 0; listId < KEPT.ofNexus + 3; listId++) begin({ listId }).end({ state: "done" });
  const known = Array.from({ length: KEPT.ofNexus + 3 }, (_, id) => operations.find("a", 0, id) !== undefined);
  t.deepEqual(known, [false, false, false, ...Array(KEPT.ofNexus).fill(true)]);
  t.true(operations.find("b", 0, 7) !== undefined);
});

test("a nexus has room for 16 copies, all together for 64: TASK SET FULL to whom one of its own blocks, else BUSY", (t) => {
  const { operations, begin } = table();
  const own = Array.from({ length: COPY_LIMITS.copiesOfNexus }, (_, listId) => begin({ listId }));
  t.is(operations.begin({ ...FACTS, listId: 99 }), STATUS.TASK_SET_FULL);
  for (const nexus of ["b", "c", "d"])
    for (let listId = 0; listId < 16; listId++) begin({ nexus, listId, background: true });
  t.is(operations.running().length, COPY_LIMITS.copies);
  t.is(operations.begin({ ...FACTS, nexus: "b", listId: 99 }), STATUS.BUSY);
  t.is(operations.begin({ ...FACTS, nexus: "e" }), STATUS.BUSY);
  t.throws(() => operations.begin({ ...FACTS, listId: 3 }), { instanceOf: CopyRefusal });
  own[3]?.end({ state: "done" });
  t.is(operations.begin({ ...FACTS, nexus: "b", listId: 99 }), STATUS.BUSY);
  // What was kept is not lost by a copy that was not begun.
  begin({ nexus: "e" });
  t.is(operations.begin({ ...FACTS, listId: 3 }), STATUS.TASK_SET_FULL);
  t.is(operations.find("a", 0, 3), own[3]);
});

test("the end of a nexus forgets what it could ask for and tells what still runs; nothing is kept of that later", (t) => {
  const { clock, operations, begin } = table();
  const [runs, ended, other] = [begin({ listId: 1 }), begin({ listId: 2 }), begin({ nexus: "b" })];
  ended.hold(hex("01"));
  ended.end({ state: "done" });
  t.deepEqual(operations.nexusClosed("a"), [runs]);
  t.is(ended.heldBytes, 0);
  for (const id of [1, 2]) t.is(operations.find("a", 0, id), undefined);
  t.is(operations.find("b", 0, 7), other);
  // The server is there again, and its identifier is free.
  const again = begin({ listId: 1 });
  runs.hold(hex("01"));
  t.is(runs.heldBytes, 0);
  runs.end({ state: "terminated" });
  clock.advance(KEPT.ms);
  t.is(operations.find("a", 0, 1), again);
  t.deepEqual(operations.running(), [other, again]);
});

test("a logical unit reset forgets what began there, of every nexus", (t) => {
  const { operations, begin } = table();
  const [runs, elsewhere] = [begin({ listId: 1 }), begin({ lun: 1, device: "d1" })];
  begin({ nexus: "b" }).end({ state: "done" });
  t.deepEqual(operations.onUnit("d1"), [elsewhere]);
  t.deepEqual(operations.unitReset("d0"), [runs]);
  t.is(operations.find("b", 0, 7), undefined);
  t.is(operations.find("a", 0, 1), undefined);
  t.is(operations.find("a", 1, 7), elsewhere);
});

test("a copy holds 64 KiB, the beginning, and says that more was dropped", (t) => {
  const { begin, receive } = table();
  const one = begin();
  const data = Uint8Array.from({ length: 50_000 }, (_, index) => index % 251);
  for (let at = 0; at < 3; at++) one.hold(data);
  t.true(one.heldDiscarded);
  one.end({ state: "done" });
  const held = decodeDataLid1(receive("data-lid1"));
  t.is(held.length, COPY_LIMITS.heldBytes);
  t.deepEqual(held, new Uint8Array(Buffer.concat([data, data]).subarray(0, COPY_LIMITS.heldBytes)));
});

test("after a gap nothing more is held, though there be room again", (t) => {
  const { begin } = table();
  const one = begin();
  one.hold(new Uint8Array(COPY_LIMITS.heldBytes + 1));
  one.dropHeld();
  one.hold(hex("01"));
  t.like(one, { heldBytes: 0, heldDiscarded: true });
});

test("all held data is 1 MiB: what ended first makes room, what runs keeps its own", (t) => {
  const { begin } = table();
  const block = new Uint8Array(COPY_LIMITS.heldBytes);
  const many = KEPT.heldBytes / COPY_LIMITS.heldBytes;
  const runs = Array.from({ length: many - 2 }, (_, listId) => begin({ nexus: "b", listId }));
  for (const one of runs) one.hold(block);
  const ended = [1, 2, 3].map((listId) => {
    const one = begin({ listId });
    one.hold(block);
    one.end({ state: "done" });
    return one;
  });
  t.deepEqual(
    ended.map((one) => one.heldBytes),
    [0, block.length, block.length],
  );
  t.deepEqual(
    ended.map((one) => one.heldDiscarded),
    [true, false, false],
  );
  const more = [begin({ nexus: "c", listId: 1 }), begin({ nexus: "c", listId: 2 }), begin({ nexus: "c", listId: 3 })];
  for (const one of more) one.hold(block);
  t.deepEqual(
    more.map((one) => one.heldBytes),
    [block.length, block.length, 0],
  );
  t.true(more[2]?.heldDiscarded);
  t.true(runs.every((one) => one.heldBytes === block.length));
});

type Step = readonly [what: "begin" | "end" | "fail" | "hold" | "fetch" | "close" | "wait", nexus: string, id: number];

test("whatever happens, room and held data stay within bounds, and a running identifier is never given twice", (t) => {
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom("begin", "begin", "end", "fail", "hold", "fetch", "close", "wait"),
      fc.constantFrom("a", "b", "c"),
      fc.nat(40),
    ) as fc.Arbitrary<Step>,
    { maxLength: 300 },
  );
  fc.assert(
    fc.property(steps, (script) => {
      const { clock, operations } = table();
      const model = new Map<string, Operation>();
      const seen = new Set<Operation>();
      for (const [what, nexus, listId] of script) {
        const key = `${nexus}${listId}`;
        const known = model.get(key);
        if (what === "begin") {
          const facts = { ...FACTS, nexus, listId };
          const own = operations.ofNexus(nexus).length;
          if (known?.running) t.throws(() => operations.begin(facts), { instanceOf: CopyRefusal });
          else {
            const begun = operations.begin(facts);
            t.is(begun instanceof Operation, own < COPY_LIMITS.copiesOfNexus);
            if (begun instanceof Operation) {
              model.set(key, begun);
              seen.add(begun);
            }
          }
        } else if (what === "end") known?.end({ state: "done" });
        else if (what === "fail") known?.end(FAILED);
        else if (what === "hold") known?.hold(new Uint8Array(40_000));
        else if (what === "fetch" && operations.find(nexus, 0, listId)?.running === false)
          operations.receive(nexus, 0, { kind: "data-lid1", listId, length: ALL });
        else if (what === "close") {
          for (const one of operations.nexusClosed(nexus)) one.end({ state: "terminated" });
          for (const [at, one] of [...model]) if (one.facts.nexus === nexus) model.delete(at);
        } else if (what === "wait") clock.advance(KEPT.ms / 4);
        let held = 0;
        for (const one of seen) held += one.heldBytes;
        t.true(held <= KEPT.heldBytes);
        for (const one of model.values())
          if (one.running) t.is(operations.find(one.facts.nexus, 0, one.facts.listId), one);
        t.deepEqual(new Set(operations.running()), new Set([...seen].filter((one) => one.running)));
      }
    }),
    { numRuns: 60 },
  );
});
