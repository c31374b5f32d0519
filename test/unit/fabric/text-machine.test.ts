import test from "ava";
import fc from "fast-check";
import type { LoginDirectory } from "../../../src/fabric/iscsi/directory.js";
import { TextMachine } from "../../../src/fabric/iscsi/text-machine.js";
import { isGantryError } from "../../../src/sys/errors.js";
import { pairsOf, response, type TextFields, text, textRequest } from "../../lib/iscsi-initiator.js";
import { directory, PLAIN, TARGET } from "./helpers.js";

const NO_TAG = 0xffffffff;
const INVALID = { code: "ISCSI_TEXT_INVALID" } as const;

function machine(options: { target?: string; segment?: number; directory?: LoginDirectory; initiator?: string } = {}) {
  return new TextMachine({ initiator: PLAIN, portal: 0, directory, segment: 8192, segmentMax: 65_536, ...options });
}

function ask(one: TextMachine, fields: TextFields, ...pairs: readonly string[]) {
  const answer = one.step(textRequest(fields), text(...pairs));
  return { ...response(answer.header), final: response(answer.header).transit, pairs: pairsOf(answer.data), answer };
}

test("SendTargets=All tells targets with their portals", (t) => {
  const told = ask(machine(), {}, "SendTargets=All");
  t.deepEqual(told.pairs, [`TargetName=${TARGET}`, "TargetAddress=10.0.0.5:3260,1"]);
  t.like(told, { opcode: 0x24, final: true, continued: false, taskTag: 5, transferTag: NO_TAG });
});

test("SendTargets with a name tells that target; of one that is not visible, nothing", (t) => {
  t.is(ask(machine(), {}, `SendTargets=${TARGET}`).pairs.length, 2);
  t.deepEqual(ask(machine(), {}, "SendTargets=iqn.2024-01.org.example:others").pairs, []);
  t.deepEqual(ask(machine(), {}, "SendTargets=no name").pairs, []);
  t.deepEqual(ask(machine({ initiator: "iqn.2024-01.org.example:nobody" }), {}, "SendTargets=All").pairs, []);
});

test("All is for discovery sessions, the empty value for normal ones", (t) => {
  t.deepEqual(ask(machine({ target: TARGET }), {}, "SendTargets=All").pairs, ["SendTargets=Reject"]);
  t.deepEqual(ask(machine(), {}, "SendTargets=").pairs, ["SendTargets=Reject"]);
  t.deepEqual(ask(machine({ target: TARGET }), {}, "SendTargets=").pairs.slice(0, 1), [`TargetName=${TARGET}`]);
});

test("a portal without an address is the one that the initiator came to", (t) => {
  const here: LoginDirectory = {
    ...directory,
    visible: () => [{ name: TARGET, addresses: [{ address: "", portalGroupTag: 1 }] }],
  };
  t.deepEqual(ask(machine({ directory: here }), {}, "SendTargets=All").pairs, [`TargetName=${TARGET}`]);
});

test("a thousand targets come in pieces that the initiator takes", (t) => {
  const many: LoginDirectory = {
    ...directory,
    visible: () =>
      Array.from({ length: 1000 }, (_, index) => ({
        name: `iqn.2024-01.org.example:disk-${index}`,
        addresses: [{ address: "10.0.0.5:3260", portalGroupTag: 1 }],
      })),
  };
  const one = machine({ directory: many, segment: 512 });
  let told = ask(one, {}, "SendTargets=All");
  const parts = [Buffer.from(told.answer.data)];
  while (!told.final) {
    t.true(told.continued);
    t.not(told.transferTag, NO_TAG);
    t.true(told.answer.data.length <= 512);
    told = ask(one, { transferTag: told.transferTag });
    parts.push(Buffer.from(told.answer.data));
  }
  t.false(told.continued);
  t.is(pairsOf(Buffer.concat(parts)).length, 2000);
});

test("a request may come in several PDUs", (t) => {
  const one = machine();
  const whole = text("SendTargets=All");
  const first = one.step(textRequest({ final: false, continued: true }), whole.subarray(0, 5));
  t.like(response(first.header), { transit: false, continued: false });
  const { transferTag } = response(first.header);
  t.not(transferTag, NO_TAG);
  const last = one.step(textRequest({ transferTag }), whole.subarray(5));
  t.is(pairsOf(last.data).length, 2);
});

test("MaxRecvDataSegmentLength may be declared anew, and holds from the next answer on", (t) => {
  const told = ask(machine(), {}, "MaxRecvDataSegmentLength=1024", "InitiatorAlias=me");
  t.deepEqual(told.pairs, []);
  t.is(told.answer.segment, 1024);
  t.throws(() => ask(machine(), {}, "MaxRecvDataSegmentLength=1"), INVALID);
});

test("keys of login are rejected, others not understood", (t) => {
  t.deepEqual(ask(machine(), {}, "MaxBurstLength=512", "AuthMethod=None", "InitiatorName=iqn.a", "X-a.b=c").pairs, [
    "MaxBurstLength=Reject",
    "AuthMethod=Reject",
    "InitiatorName=Reject",
    "X-a.b=NotUnderstood",
  ]);
});

for (const [what, fields] of [
  ["a tag that was not given", { transferTag: 77 }],
  ["F and C together", { continued: true }],
] as const) {
  test(`a text request with ${what} breaks the rules`, (t) => {
    t.throws(() => ask(machine(), fields, "SendTargets=All"), INVALID);
  });
}

test("a key twice, and text that never ends, break the rules", (t) => {
  t.throws(() => ask(machine(), {}, "SendTargets=All", "SendTargets=All"), INVALID);
  const one = machine();
  let told = ask(one, { final: false });
  t.throws(() => {
    for (;;) told = ask(one, { final: false, transferTag: told.transferTag });
  }, INVALID);
});

test("whatever comes, there is an answer or our own error", (t) => {
  const pair = fc.oneof(
    fc.constantFrom("SendTargets=All", "SendTargets=", "MaxRecvDataSegmentLength=512"),
    fc.string(),
  );
  const header = fc.oneof(
    fc
      .record({ final: fc.boolean(), continued: fc.boolean(), transferTag: fc.constantFrom(NO_TAG, 0, 1, 2) })
      .map(textRequest),
    fc.uint8Array({ minLength: 48, maxLength: 48 }),
  );
  const request = fc.tuple(
    header,
    fc.array(pair, { maxLength: 3 }).map((pairs) => text(...pairs)),
  );
  fc.assert(
    fc.property(fc.array(request, { maxLength: 10 }), (requests) => {
      const one = machine();
      for (const [bytes, data] of requests) {
        try {
          if (one.step(bytes, data).header.length !== 48) return false;
        } catch (error) {
          if (!isGantryError(error)) throw error;
          return true;
        }
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
