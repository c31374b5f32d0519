// The transports against real peers: runs the C conformance program over tgtd, and over a real sg node where the
// environment names one (its data is lost). What needs no peer runs in the C tests.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import { startTgtd, type Tgtd, type TgtdOptions } from "../lib/tgtd.js";

/** Where the C tests were built. */
const PROGRAM = `${process.env.GANTRY_C_TESTS ?? "build/asan"}/transport_conformance_test`;

async function program(
  t: ExecutionContext<unknown>,
  ...args: string[]
): Promise<{ code: number | null; text: string }> {
  if (!existsSync(PROGRAM)) {
    t.fail(`${PROGRAM} is missing; build the C tests first: npm test -- --only c`);
    return { code: null, text: "" };
  }
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += String(data)));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, text };
}

async function tgtd(t: ExecutionContext<unknown>, options: TgtdOptions): Promise<Tgtd> {
  const target = await startTgtd(options);
  t.teardown(() => target.close());
  return target;
}

function expectPass(t: ExecutionContext<unknown>, result: { code: number | null; text: string }): void {
  for (const line of result.text.split("\n")) if (line.startsWith("SKIPPED")) t.log(line);
  if (result.code !== 0) t.log(result.text);
  t.is(result.code, 0);
  t.regex(result.text, /^\d+ checks, 0 failed$/m);
}

const conforms = test.macro(async (t, type: "disk" | "tape") => {
  const target = await tgtd(t, type === "disk" ? { disks: [64] } : { tapes: [64] });
  expectPass(t, await program(t, "iscsi", target.portal, target.target, "1", type, String(target.pid)));
});

test("iscsi conforms over tgtd: disk", conforms, "disk");
test("iscsi conforms over tgtd: tape", conforms, "tape");

interface Login {
  /** What the target is configured with. */
  readonly target?: TgtdOptions;
  readonly lun?: string;
  readonly name?: string;
  readonly digest?: boolean;
  /** name, secret, target's name, target's secret */
  readonly chap?: readonly string[];
  readonly expected: RegExp;
}

const CHAP: TgtdOptions = { chap: { user: "mover", secret: "secret-of-mover" } };
const MUTUAL: TgtdOptions = { ...CHAP, targetChap: { user: "vault", secret: "secret-of-vault" } };

const login = test.macro(async (t, row: Login) => {
  const target = await tgtd(t, { disks: [1], ...row.target });
  const chap = [...(row.chap ?? []), "-", "-", "-", "-"].slice(0, 4);
  const name = row.name ?? target.target;
  const result = await program(t, "login", target.portal, name, row.digest ? "crc32c" : "none", ...chap);
  t.regex(result.text, row.expected);
  t.is(result.code, 0);
});

test("login without CHAP", login, { expected: /^logged in$/m });
test("login with header digests: commands and data pass", login, {
  target: { keys: { HeaderDigest: "CRC32C" } },
  digest: true,
  expected: /^logged in$/m,
});
test("header digests asked of a target that does not do them", login, {
  digest: true,
  expected: /^refused -71: target .* does not do CRC32C header digests; allow them there or do not ask for them$/m,
});
test("CHAP with the right secret", login, {
  target: CHAP,
  chap: ["mover", "secret-of-mover"],
  expected: /^logged in$/m,
});
test("CHAP with the wrong secret", login, {
  target: CHAP,
  chap: ["mover", "secret-of-nobody"],
  expected: /^refused -13: target .* refused the CHAP name or secret; check both on either side$/m,
});
test("CHAP with an unknown name", login, {
  target: CHAP,
  chap: ["nobody", "secret-of-mover"],
  expected: /^refused -13: target .* refused the CHAP name or secret/m,
});
test("a target that wants CHAP and gets none", login, { target: CHAP, expected: /^refused -13: / });
test("mutual CHAP", login, {
  target: MUTUAL,
  chap: ["mover", "secret-of-mover", "vault", "secret-of-vault"],
  expected: /^logged in$/m,
});
test("mutual CHAP where the target does not know its secret", login, {
  target: MUTUAL,
  chap: ["mover", "secret-of-mover", "vault", "secret-of-other"],
  expected: /^refused -13: /m,
});
test("mutual CHAP where the target does not prove anything", login, {
  target: CHAP,
  chap: ["mover", "secret-of-mover", "vault", "secret-of-vault"],
  expected: /^refused -13: /m,
});
test("mutual CHAP where the target asks for none", login, {
  chap: ["mover", "secret-of-mover", "vault", "secret-of-vault"],
  expected: /^refused -13: /m,
});
test("a target that does not exist", login, {
  name: "iqn.2024-01.test.gantry:nobody",
  expected: /^refused -2: there is no target iqn\.2024-01\.test\.gantry:nobody at portal /m,
});

// Without these the transport is judged in the guest (test/vm/sg-conform.test.ts); nodes of this machine need to be named,
// because what is on them is lost.
for (const type of ["disk", "tape"] as const) {
  const node = process.env[`GANTRY_TEST_SG_${type.toUpperCase()}`];
  if (node !== undefined)
    test(`sg conforms on ${node}: ${type}`, async (t) => expectPass(t, await program(t, "sg", node, type)));
}
