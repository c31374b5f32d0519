// KEYS.md is the reference for people who write brokers: what it says is compared with what is so.
import { readFileSync } from "node:fs";
import test from "ava";
import { decodeSign1 } from "../../../src/admit/cose.js";
import { CLAIM } from "../../../src/admit/cwt.js";
import { decodeKey } from "../../../src/admit/key.js";
import { ERRORS } from "../../../src/sys/errors.js";
import { toHex } from "../../../src/wire/hex.js";
import { vector } from "../../lib/vectors.js";

const text = readFileSync("KEYS.md", "utf8");

test("every claim number is in KEYS.md, and no other", (t) => {
  const documented = [...text.matchAll(/^\| \w+ \| (−?\d+) \| [^|]+ \| (?:yes|no)/gm)].map(([, number]) =>
    Number(number?.replace("−", "-")),
  );
  const { REVOKE, ...ofKeys } = CLAIM;
  t.deepEqual(new Set(documented), new Set<number>(Object.values(ofKeys)));
  t.true(text.includes(`\`revoke\` (${String(REVOKE).replace("-", "−")})`));
});

test("every error code of keys and gate is in KEYS.md, and every code there exists", (t) => {
  const documented = new Set([...text.matchAll(/`((?:KEY|GATE|CLOCK)_[A-Z_]+)`/g)].map(([, code]) => code));
  const known = Object.keys(ERRORS).filter((code) => /^(KEY|GATE|CLOCK)_/.test(code));
  // Faults of the bridge itself and of the broker's tools, which no sender of a key gets.
  const internal = ["KEY_ISSUER_INVALID", "KEY_RING_CORRUPT", "KEY_UNKNOWN_HERE"];
  t.deepEqual([...documented].sort(), known.filter((code) => !internal.includes(code)).sort());
});

test("the example in KEYS.md has the values and the signature of its vector", (t) => {
  const message = decodeSign1(vector("cose/gantry-key"));
  const key = decodeKey(message.payload);
  const signature = /h'([0-9a-f]{64})\s+([0-9a-f]{64})'/.exec(text);
  t.is(`${signature?.[1]}${signature?.[2]}`, toHex(message.signature));
  for (const part of [
    `1: "${key.issuer}"`,
    `3: "${key.audience[0]}"`,
    `4: ${key.expiresMs / 1000}`,
    `5: ${key.notBeforeMs / 1000}`,
    `7: h'${toHex(key.id)}'`,
    `-70003: ${key.priority}`,
    `2: ${key.media?.maxBytes}`,
    `-70005: ${key.epoch}`,
    `-70006: ${key.maxBytes}`,
  ]) {
    t.true(text.includes(part), part);
  }
});
