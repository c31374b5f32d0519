import test from "ava";
import fc from "fast-check";
import type { Entering } from "../../../src/fabric/iscsi/login-machine.js";
import { loginRequest, response, text, textRequest } from "../../lib/iscsi-initiator.js";
import { ask, askBytes, HIDDEN, machine, NORMAL, PLAIN, SERVER, TARGET, TO_FULL, TO_OPERATIONAL } from "./helpers.js";

const entering = (told: ReturnType<typeof ask>): Entering => {
  if (told.step.kind !== "enter") throw new Error(`the login is not through: ${told.kind} ${told.reason}`);
  return told.step.entering;
};

test("a login without authentication goes through both stages to full-feature phase", (t) => {
  const login = machine();
  const first = ask(login, TO_OPERATIONAL, ...NORMAL, "AuthMethod=CHAP,None");
  t.deepEqual(first.pairs, ["TargetPortalGroupTag=1", "TargetAlias=disks", "AuthMethod=None"]);
  t.like(first.answer, { opcode: 0x23, transit: true, stage: 0, nextStage: 1, status: 0, tsih: 0, statSn: 0 });
  t.like(first.answer, { taskTag: 0x11223344, isid: "400001370000", expCmdSn: 7 });
  const last = ask(login, TO_FULL, "HeaderDigest=None", "InitialR2T=No", "MaxRecvDataSegmentLength=65536");
  t.deepEqual(last.pairs, ["HeaderDigest=None", "InitialR2T=No", "MaxRecvDataSegmentLength=1048576"]);
  t.like(last.answer, { transit: true, stage: 1, nextStage: 3, tsih: 9, statSn: 1, expCmdSn: 7, maxCmdSn: 38 });
  t.like(entering(last), {
    initiator: PLAIN,
    discovery: false,
    isid: "400001370000",
    tsih: 0,
    cid: 1,
    expCmdSn: 7,
    statSn: 2,
    maxRecvDataSegmentLength: 1 << 20,
  });
  t.like(entering(last).agreed, { initialR2T: false, initiatorMaxRecvDataSegmentLength: 65_536 });
  t.is(entering(last).target?.name, TARGET);
});

test("a login may begin in the operational stage, and take one request alone", (t) => {
  const told = ask(machine(), TO_FULL, ...NORMAL);
  t.deepEqual(told.pairs, ["TargetPortalGroupTag=1", "TargetAlias=disks", "MaxRecvDataSegmentLength=1048576"]);
  t.is(entering(told).statSn, 1);
});

test("a login may leave out the operational stage: then everything has its default", (t) => {
  const told = ask(machine(), { transit: true, stage: 0, nextStage: 3 }, ...NORMAL, "AuthMethod=None");
  t.is(entering(told).maxRecvDataSegmentLength, 8192, "what was not declared");
  t.like(entering(told).agreed, { initiatorMaxRecvDataSegmentLength: 8192, initialR2T: true });
});

test("without T the stage stays, and negotiation goes on", (t) => {
  const login = machine();
  t.like(ask(login, { stage: 0 }, ...NORMAL, "AuthMethod=None").answer, { transit: false, stage: 0, nextStage: 0 });
  t.like(ask(login, TO_OPERATIONAL).answer, { transit: true, nextStage: 1 });
  t.deepEqual(ask(login, { stage: 1 }, "ImmediateData=No").pairs, [
    "ImmediateData=No",
    "MaxRecvDataSegmentLength=1048576",
  ]);
  const last = ask(login, TO_FULL);
  t.deepEqual(last.pairs, [], "the target declares once");
  t.false(entering(last).agreed.immediateData);
});

test("a discovery session needs no target, and gets no portal group", (t) => {
  const told = ask(machine(), TO_FULL, `InitiatorName=${PLAIN}`, "SessionType=Discovery", "InitialR2T=No");
  t.deepEqual(told.pairs, ["InitialR2T=Irrelevant", "MaxRecvDataSegmentLength=1048576"]);
  t.true(entering(told).discovery);
  t.is(entering(told).target, undefined);
});

test("names are normalised, so that one initiator has one name", (t) => {
  const told = ask(machine(), TO_FULL, `InitiatorName=${PLAIN.toUpperCase()}`, `TargetName=${TARGET}`);
  t.is(entering(told).initiator, PLAIN);
  const eui = ask(machine(), TO_FULL, "InitiatorName=EUI.02004567a425678d", `TargetName=${TARGET}`);
  t.is(entering(eui).initiator, "eui.02004567A425678D");
});

/** RFC 7143 11.13.5: what goes wrong → status. */
const refusals: readonly (readonly [string, number, Parameters<typeof ask>[1], readonly string[]])[] = [
  ["no InitiatorName", 0x0207, TO_FULL, [`TargetName=${TARGET}`]],
  ["no TargetName in a normal session", 0x0207, TO_FULL, [`InitiatorName=${PLAIN}`]],
  ["no key at all", 0x0207, TO_FULL, []],
  ["an InitiatorName that is none", 0x0200, TO_FULL, ["InitiatorName=server", `TargetName=${TARGET}`]],
  ["an InitiatorName of 224 bytes", 0x0200, TO_FULL, [`InitiatorName=iqn.2024-01.a:${"b".repeat(210)}`]],
  ["an InitiatorName that looks like another", 0x0200, TO_FULL, ["InitiatorName=iqn.2024-01.org.exаmple:a"]],
  ["a target that there is none of", 0x0203, TO_FULL, [`InitiatorName=${PLAIN}`, "TargetName=iqn.2024-01.org:no"]],
  ["a target that its zones do not lead to", 0x0202, TO_FULL, [`InitiatorName=${PLAIN}`, `TargetName=${HIDDEN}`]],
  ["an unknown SessionType", 0x0209, TO_FULL, [...NORMAL.slice(0, 2), "SessionType=Strange"]],
  ["a version that is not known", 0x0205, { ...TO_FULL, versionMin: 1, versionMax: 2 }, NORMAL],
  ["a key twice", 0x0200, TO_FULL, [...NORMAL, "InitialR2T=No", "InitialR2T=Yes"]],
  ["a request that is not immediate", 0x0200, { ...TO_FULL, immediate: false }, NORMAL],
  ["additional headers", 0x0200, { ...TO_FULL, additionalHeader: 1 }, NORMAL],
  ["the reserved stage", 0x0200, { stage: 2 }, NORMAL],
  ["full-feature phase as the current stage", 0x0200, { stage: 3 }, NORMAL],
  ["the reserved next stage", 0x0200, { transit: true, stage: 1, nextStage: 2 }, NORMAL],
  ["a step back", 0x0200, { transit: true, stage: 1, nextStage: 1 }, NORMAL],
  ["T and C together", 0x0200, { ...TO_FULL, continued: true }, NORMAL],
  ["what only targets declare", 0x0200, TO_FULL, [...NORMAL, "TargetPortalGroupTag=1"]],
  ["security keys in the operational stage", 0x0200, TO_FULL, [...NORMAL, "AuthMethod=None"]],
  ["CHAP that was not agreed on", 0x0200, TO_OPERATIONAL, [...NORMAL, "CHAP_A=5"]],
  ["a method that cannot be had", 0x0201, TO_OPERATIONAL, [...NORMAL, "AuthMethod=KRB5"]],
  ["CHAP of a name without a secret", 0x0201, TO_OPERATIONAL, [...NORMAL, "AuthMethod=CHAP"]],
  ["no proof of a name that has a secret", 0x0201, TO_FULL, [`InitiatorName=${SERVER}`, `TargetName=${TARGET}`]],
  [
    "a name with a secret that offers None",
    0x0201,
    TO_OPERATIONAL,
    [`InitiatorName=${SERVER}`, `TargetName=${TARGET}`, "AuthMethod=None"],
  ],
];
for (const [what, status, fields, pairs] of refusals) {
  test(`a login is refused with ${status.toString(16).padStart(4, "0")} for ${what}`, (t) => {
    const told = ask(machine(), fields, ...pairs);
    t.is(told.kind, "refused");
    t.is(told.status.toString(16), status.toString(16), told.reason);
    t.like(told.answer, { opcode: 0x23, transit: false, status, taskTag: 0x11223344 });
  });
}

test("off loopback nobody gets in without a proof, unless the configuration says so", (t) => {
  t.is(ask(machine({}, 1), TO_FULL, ...NORMAL).status, 0x0201);
  t.is(ask(machine({ authentication: "none-anywhere" }, 1), TO_FULL, ...NORMAL).kind, "enter");
  t.is(ask(machine({ authentication: "chap" }), TO_FULL, ...NORMAL).status, 0x0201);
  t.is(
    ask(machine({ authentication: "chap" }), TO_FULL, `InitiatorName=${PLAIN}`, "SessionType=Discovery").status,
    0x0201,
  );
});

for (const [what, fields] of [
  ["another stage", { stage: 0 }],
  ["another ISID", { ...TO_FULL, isid: "400001370001" }],
  ["another TSIH", { ...TO_FULL, tsih: 1 }],
  ["another task tag", { ...TO_FULL, taskTag: 1 }],
  ["another CID", { ...TO_FULL, cid: 2 }],
  ["another CmdSN", { ...TO_FULL, cmdSn: 8 }],
] as const) {
  test(`a login is refused when a later request has ${what}`, (t) => {
    const login = machine();
    t.is(ask(login, TO_OPERATIONAL, ...NORMAL).kind, "answer");
    t.is(ask(login, fields).status, 0x0200);
  });
}

test("names come with the first request only, and each key once in the whole login", (t) => {
  for (const late of ["InitiatorAlias=me", `TargetName=${TARGET}`, "SessionType=Normal"]) {
    const login = machine();
    ask(login, TO_OPERATIONAL, `InitiatorName=${PLAIN}`, `TargetName=${TARGET}`);
    t.is(ask(login, TO_FULL, late).status, 0x0200, late);
  }
  const login = machine();
  ask(login, TO_OPERATIONAL, ...NORMAL, "InitialR2T=No");
  t.is(ask(login, TO_FULL, "InitialR2T=No").status, 0x0200);
});

test("the initiator may say that it does not understand what the target declared", (t) => {
  const login = machine();
  ask(login, TO_OPERATIONAL, ...NORMAL);
  t.is(ask(login, TO_FULL, "TargetAlias=NotUnderstood").kind, "enter");
});

test("other PDUs are refused in mid-login with 020b, and without an answer at the beginning", (t) => {
  const login = machine();
  ask(login, TO_OPERATIONAL, ...NORMAL);
  const told = ask(login, { opcode: 0x01 });
  t.is(told.status, 0x020b);
  t.is(told.answer.status, 0x020b);
  const strange = machine().step(textRequest({}), text("SendTargets=All"));
  t.is(strange.kind, "refused");
  t.false("pdu" in strange);
});

test("text may come in several PDUs, cut anywhere", (t) => {
  const login = machine();
  const whole = text(...NORMAL, "AuthMethod=None");
  for (const at of [0, 1]) {
    const told = askBytes(login, { continued: true, stage: 0 }, whole.subarray(at * 20, at * 20 + 20));
    t.like(told.answer, { transit: false, continued: false, stage: 0, statSn: at });
    t.deepEqual(told.pairs, []);
  }
  const told = askBytes(login, TO_OPERATIONAL, whole.subarray(40));
  t.true(told.answer.transit);
  t.true(told.pairs.includes("AuthMethod=None"));
});

test("text of 64 KiB is taken and answered in pieces of 8192 bytes; one byte more is refused", (t) => {
  const login = machine();
  const odd = Array.from({ length: 260 }, (_, index) => `X-com.example.${index}=${"v".repeat(220)}`);
  const whole = text(...NORMAL, ...odd);
  const sent: Buffer[] = [];
  let told = askBytes(login, { continued: true, stage: 1 }, whole.subarray(0, 8192));
  for (let at = 8192; at < whole.length; at += 8192) {
    const last = at + 8192 >= whole.length;
    told = askBytes(login, last ? TO_FULL : { continued: true, stage: 1 }, whole.subarray(at, at + 8192));
  }
  while (told.step.kind === "answer") {
    t.true(told.answer.continued);
    t.false(told.answer.transit);
    t.true(told.step.pdu.data.length <= 8192);
    sent.push(Buffer.from(told.step.pdu.data));
    told = ask(login, TO_FULL);
  }
  t.is(told.kind, "enter", told.reason);
  t.true(sent.length > 0);
  const answers = Buffer.concat([...sent, Buffer.from(entering(told).finish(1).data)])
    .toString()
    .split("\0");
  t.is(answers.filter((pair) => pair.endsWith("=NotUnderstood")).length, odd.length);

  const other = machine();
  for (let count = 0; count < 8; count++) askBytes(other, { continued: true, stage: 1 }, Buffer.alloc(8192, "A"));
  t.is(askBytes(other, { continued: true, stage: 1 }, Buffer.of(65)).status, 0x0200);
});

test("nothing new may come before an answer was fetched whole", (t) => {
  const login = machine();
  const odd = Array.from({ length: 260 }, (_, index) => `X-com.example.${index}=v`);
  t.true(ask(login, TO_FULL, ...NORMAL, ...odd).answer.continued);
  t.is(ask(login, TO_FULL, "InitialR2T=No").status, 0x0200);
});

test("a login that goes on and on is ended, and so is one with too much text in a PDU", (t) => {
  const login = machine();
  ask(login, { stage: 1 }, ...NORMAL);
  let count = 1;
  while (ask(login, { stage: 1 }).kind === "answer") count += 1;
  t.is(count, 64);
  t.is(askBytes(machine(), TO_FULL, Buffer.alloc(8193)).status, 0x0200);
});

test("whatever comes, a login ends or goes on, and nobody gets in without a proof who needs one", (t) => {
  const pair = fc.oneof(
    fc.constantFrom(
      `InitiatorName=${SERVER}`,
      `TargetName=${TARGET}`,
      "SessionType=Discovery",
      "AuthMethod=CHAP,None",
      "AuthMethod=None",
      "CHAP_A=5",
      "CHAP_A=5,7",
      "CHAP_N=server",
      "CHAP_R=0x00112233445566778899aabbccddeeff",
      "CHAP_I=1",
      "CHAP_C=0x01",
      "InitialR2T=No",
      "MaxBurstLength=4096",
      "TargetAlias=NotUnderstood",
    ),
    fc.string().map((value) => `HeaderDigest=${value}`),
    fc.string(),
  );
  const header = fc.record({
    transit: fc.boolean(),
    continued: fc.boolean(),
    stage: fc.nat(3),
    nextStage: fc.nat(3),
  });
  const request = fc.oneof(
    fc.tuple(
      header.map(loginRequest),
      fc.array(pair, { maxLength: 6 }).map((pairs) => text(...pairs)),
    ),
    fc.tuple(
      fc.constantFrom(TO_OPERATIONAL, TO_FULL, { stage: 0 }).map(loginRequest),
      fc
        .array(pair, { maxLength: 3 })
        .map((pairs) => text(`InitiatorName=${SERVER}`, `TargetName=${TARGET}`, ...pairs)),
    ),
    fc.tuple(fc.uint8Array({ minLength: 48, maxLength: 48 }), fc.uint8Array({ maxLength: 100 })),
  );
  fc.assert(
    fc.property(fc.array(request, { maxLength: 8 }), (requests) => {
      const login = machine();
      for (const [bytes, data] of requests) {
        const step = login.step(bytes, data);
        if (step.kind === "enter") return false;
        if (step.kind === "refused") return step.status >= 0x0200;
        if (response(step.pdu.header).opcode !== 0x23 || step.pdu.header.length !== 48) return false;
      }
      return true;
    }),
    { numRuns: 3000 },
  );
  t.pass();
});
