// Installed keys as the broker and the shell list them: in pages, ordered by id, so that a page follows the one before
// whatever came or went in between.
import { holderText, type Key, selectorText } from "../admit/key.js";
import type { KeyRing } from "../admit/key-ring.js";
import { toHex } from "../wire/hex.js";

export interface KeyPage {
  readonly keys: Record<string, unknown>[];
  readonly more: boolean;
}

type Ring = Pick<KeyRing, "keys" | "lookup">;

/** Characters of a page: far below what a message or a line of the shell may have, and one key more still fits. */
const PAGE_CHARS = 512 * 1024;

/** Keys that grant something: those that were taken back stay in the ring until they expire, and are not told. */
const inForce = (ring: Ring): readonly Key[] => ring.keys().filter(({ id }) => ring.lookup(id).state === "installed");

export const keyCount = (ring: Ring): number => inForce(ring).length;

/** @param after id of the last key of the page before, in hexadecimal; it need not be there any more */
export function keyPage(ring: Ring, after: string, limit: number): KeyPage {
  const behind = inForce(ring)
    .map((key) => ({ idHex: toHex(key.id), key }))
    .filter(({ idHex }) => idHex > after)
    .sort((a, b) => (a.idHex < b.idHex ? -1 : 1));
  const keys: Record<string, unknown>[] = [];
  let chars = 0;
  for (const { key } of behind) {
    if (keys.length === limit || chars > PAGE_CHARS) return { keys, more: true };
    const facts = factsOf(key);
    chars += JSON.stringify(facts).length;
    keys.push(facts);
  }
  return { keys, more: false };
}

function factsOf(key: Key): Record<string, unknown> {
  return {
    keyId: toHex(key.id),
    issuer: key.issuer,
    holder: holderText(key.holder),
    devices: key.devices.map(selectorText),
    rights: [...key.rights],
    priority: key.priority,
    notBeforeMs: key.notBeforeMs,
    expiresMs: key.expiresMs,
    epoch: key.epoch,
    ...(key.media === undefined ? {} : { cartridges: [...key.media.cartridges] }),
  };
}
