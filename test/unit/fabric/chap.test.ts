import { createHash } from "node:crypto";
import test from "ava";
import { chapDigest } from "../../../src/fabric/iscsi/chap.js";
import { challengeIn, chapResponse } from "../../lib/iscsi-initiator.js";
import { ask, machine, OWN_SECRET, PROVED, SECRET, SERVER, TO_FULL, TO_OPERATIONAL } from "./helpers.js";

/** A login as far as the challenge. */
function challenged(algorithms = "5", options: Parameters<typeof machine>[0] = {}) {
  const login = machine(options);
  const method = ask(login, { stage: 0 }, ...PROVED, "AuthMethod=CHAP,None");
  const told = ask(login, { stage: 0 }, `CHAP_A=${algorithms}`);
  return { login, method, told, ...challengeIn(told.pairs) };
}

test("the digest is that of RFC 1994: identifier, secret, challenge", (t) => {
  // Made by hand: MD5 of 01, "secret", 02 03.
  t.is(
    Buffer.from(chapDigest("md5", 1, Buffer.from("secret"), Uint8Array.of(2, 3))).toString("hex"),
    createHash("md5")
      .update(Buffer.from("01736563726574" + "0203", "hex"))
      .digest("hex"),
  );
});

test("one-way CHAP: method, algorithm, challenge, proof", (t) => {
  const { login, method, told, id, challenge } = challenged();
  t.true(method.pairs.includes("AuthMethod=CHAP"), "CHAP is chosen although None was offered");
  t.false(method.answer.transit);
  t.is(told.pairs[0], "CHAP_A=5");
  t.is(challenge.length, 32);
  const proof = ask(login, TO_OPERATIONAL, "CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, challenge)}`);
  t.true(proof.step.judged);
  t.like(proof.answer, { transit: true, nextStage: 1, status: 0 });
  t.deepEqual(proof.pairs, []);
  const last = ask(login, TO_FULL);
  t.is(last.step.kind === "enter" ? last.step.entering.chapName : "", "server");
});

test("T before the proof does not leave the security stage", (t) => {
  const login = machine();
  t.false(ask(login, TO_OPERATIONAL, ...PROVED, "AuthMethod=CHAP").answer.transit);
  t.false(ask(login, TO_OPERATIONAL, "CHAP_A=5").answer.transit);
  t.is(ask(login, TO_FULL).status, 0x0200, "it is in the security stage still");
});

for (const [list, number, hash] of [
  ["7", 7, "sha256"],
  ["8,5", 8, "sha3-256"],
  ["6,99,5,7", 5, "md5"],
] as const) {
  test(`of the algorithms ${list} the first that is known is taken`, (t) => {
    const { login, told, id, challenge } = challenged(list);
    t.is(told.pairs[0], `CHAP_A=${number}`);
    const right = chapResponse(id, SECRET, challenge, hash);
    t.is(ask(login, TO_OPERATIONAL, "CHAP_N=server", `CHAP_R=${right}`).kind, "answer");
  });
}

test("mutual CHAP: the bridge proves itself with its own secret", (t) => {
  const { login, id, challenge } = challenged();
  const back = Buffer.from("a challenge of the initiator");
  const right = `CHAP_R=${chapResponse(id, SECRET, challenge)}`;
  const told = ask(login, TO_OPERATIONAL, "CHAP_N=server", right, "CHAP_I=200", `CHAP_C=0b${back.toString("base64")}`);
  t.deepEqual(told.pairs, ["CHAP_N=bridge", `CHAP_R=${chapResponse(200, OWN_SECRET, back)}`]);
  t.true(told.answer.transit);
});

/** Each of them is refused with an authentication failure, and tells nothing more. */
const attacks: readonly (readonly [
  string,
  (id: number, challenge: Buffer) => readonly string[],
  Parameters<typeof machine>[0]?,
])[] = [
  ["a wrong secret", (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, "another secret", c)}`]],
  ["an unknown CHAP name", (id, c) => ["CHAP_N=nobody", `CHAP_R=${chapResponse(id, SECRET, c)}`]],
  ["an empty CHAP name", (id, c) => ["CHAP_N=", `CHAP_R=${chapResponse(id, SECRET, c)}`]],
  ["another identifier", (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id + 1, SECRET, c)}`]],
  ["another challenge", (id) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, Buffer.from("old"))}`]],
  ["a digest cut short", (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c).slice(0, -2)}`]],
  ["a digest of another algorithm", (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c, "sha256")}`]],
  ["an empty proof", () => ["CHAP_N=server", "CHAP_R=0x"]],
  ["no proof", () => ["CHAP_N=server"]],
  ["no name", (id, c) => [`CHAP_R=${chapResponse(id, SECRET, c)}`]],
  [
    "the challenge reflected",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_I=1", `CHAP_C=0x${c.toString("hex")}`],
  ],
  [
    "the challenge reflected without a proof of its own",
    (_id, c) => ["CHAP_N=bridge", "CHAP_R=0x00", "CHAP_I=1", `CHAP_C=0x${c.toString("hex")}`],
  ],
  [
    "a challenge back without identifier",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_C=0x01"],
  ],
  [
    "a challenge back that is empty",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_I=1", "CHAP_C=0x"],
  ],
  [
    "a challenge back of 1025 bytes",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_I=1", `CHAP_C=0x${"01".repeat(1025)}`],
  ],
  [
    "an identifier back above 255",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_I=256", "CHAP_C=0x01"],
  ],
  [
    "one secret for both directions",
    (id, c) => ["CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, c)}`, "CHAP_I=1", "CHAP_C=0x01"],
    { own: { name: "bridge", secret: Buffer.from(SECRET) } },
  ],
];
for (const [what, pairs, options] of attacks) {
  test(`CHAP is refused with ${what}`, (t) => {
    const { login, id, challenge } = challenged("5", options);
    const told = ask(login, TO_OPERATIONAL, ...pairs(id, challenge));
    t.is(told.status, 0x0201, told.reason);
    t.deepEqual(told.pairs, []);
  });
}

test("an initiator that wants a proof of a bridge without a secret is refused", (t) => {
  const login = machine({ own: undefined as never });
  ask(login, { stage: 0 }, ...PROVED, "AuthMethod=CHAP");
  const { id, challenge } = challengeIn(ask(login, { stage: 0 }, "CHAP_A=5").pairs);
  const right = `CHAP_R=${chapResponse(id, SECRET, challenge)}`;
  t.is(ask(login, TO_OPERATIONAL, "CHAP_N=server", right, "CHAP_I=1", "CHAP_C=0x0102").status, 0x0201);
});

test("CHAP keys out of their order are refused", (t) => {
  const early = machine();
  ask(early, { stage: 0 }, ...PROVED, "AuthMethod=CHAP");
  t.is(ask(early, { stage: 0 }, "CHAP_N=server", "CHAP_R=0x00").status, 0x0201);
  const unknown = machine();
  ask(unknown, { stage: 0 }, ...PROVED, "AuthMethod=CHAP");
  t.is(ask(unknown, { stage: 0 }, "CHAP_A=6,99,MD5").status, 0x0201);
});

test("a secret is good for the name that it belongs to, and no other", (t) => {
  const other = "iqn.2024-01.org.example:other";
  const login = machine({
    configured: [
      { initiator: SERVER, name: "server", secret: Buffer.from(SECRET) },
      { initiator: other, name: "other", secret: Buffer.from("the secret of another") },
    ],
  });
  ask(login, { stage: 0 }, `InitiatorName=${other}`, "TargetName=iqn.2024-01.org.example:disks", "AuthMethod=CHAP");
  const { id, challenge } = challengeIn(ask(login, { stage: 0 }, "CHAP_A=5").pairs);
  t.is(ask(login, TO_OPERATIONAL, "CHAP_N=server", `CHAP_R=${chapResponse(id, SECRET, challenge)}`).status, 0x0201);
});
