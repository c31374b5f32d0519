// As many keys as a bridge takes are listed whole, in pages that fit a message.
import test from "ava";
import type { Key } from "../../../src/admit/key.js";
import { encode } from "../../../src/control/codec.js";
import { keyCount, keyPage } from "../../../src/control/key-pages.js";
import { KEYS_PAGE_MAX } from "../../../src/control/messages/commands.js";
import { LINE_MAX, toLine } from "../../../src/shell/protocol.js";
import { fromHex } from "../../../src/wire/hex.js";
import { request, START_MS, scene } from "../admit/helpers.js";

const MESSAGE_MAX = 1_048_576;

function ringOf(count: number, change: Partial<Key> = {}) {
  const { content } = scene().broker.issue(request(), START_MS);
  const keys = Array.from({ length: count }, (_, index): Key => {
    // In another order than that of the ids.
    const id = fromHex(((index * 7919) % count).toString(16).padStart(32, "0"));
    return { ...content, id, ...change };
  });
  const revoked = new Set<Key>();
  const byId = new Map(keys.map((key) => [key.id, key]));
  const lookup = (id: Uint8Array) => {
    const key = byId.get(id);
    if (key === undefined) return { state: "unknown" } as const;
    return revoked.has(key) ? ({ state: "revoked", key } as const) : ({ state: "installed", key } as const);
  };
  return { keys: () => keys, lookup, revoked };
}

function pages(ring: ReturnType<typeof ringOf>, limit: number) {
  const ids: string[] = [];
  for (let [after, more] = ["", true]; more; ) {
    const page = keyPage(ring, after, limit);
    if (encode({ result: page }).length > MESSAGE_MAX - 4096) throw new Error("too long for a message");
    if (toLine({ ok: true, result: page }).length > LINE_MAX) throw new Error("too long for the shell");
    ids.push(...page.keys.map(({ keyId }) => String(keyId)));
    after = ids.at(-1) ?? "";
    more = page.more;
  }
  return ids;
}

test("16,384 keys are listed, each once, in the order of their ids", (t) => {
  const ring = ringOf(16_384);
  const ids = pages(ring, KEYS_PAGE_MAX);
  t.is(new Set(ids).size, 16_384);
  t.deepEqual(ids, [...ids].sort());
  t.is(keyCount(ring), 16_384);
});

test("keys with thousands of devices make shorter pages, and none is left out", (t) => {
  const devices = Array.from(
    { length: 400 },
    (_, index) => ({ kind: "device", name: `${index}`.padStart(40) }) as const,
  );
  const ring = ringOf(300, { devices });
  t.true(keyPage(ring, "", KEYS_PAGE_MAX).keys.length < 100);
  t.is(new Set(pages(ring, KEYS_PAGE_MAX)).size, 300);
});

test("a page goes on where the one before ended though its last key is gone, and what was taken back is not told", (t) => {
  const ring = ringOf(10);
  const first = keyPage(ring, "", 3);
  const gone = ring.keys().find(({ id }) => id[15] === 2);
  t.is(String(first.keys.at(-1)?.keyId).at(-1), "2");
  if (gone !== undefined) ring.revoked.add(gone);
  t.deepEqual(
    keyPage(ring, String(first.keys.at(-1)?.keyId), 3).keys.map(({ keyId }) => String(keyId).at(-1)),
    ["3", "4", "5"],
  );
  t.is(keyCount(ring), 9);
  t.false(keyPage(ring, `${"0".repeat(31)}6`, 3).more, "exactly the rest");
});
