// The store's memory twin for tests: same order of keys, same atomic batches, nothing on disk. A failing
// write can be asked for, so that callers' error paths are exact.
import { GantryError } from "./errors.js";
import type { Store, StoreChange, StoreKey } from "./store.js";

export class MemoryStore implements Store {
  readonly #entries = new Map<string, { key: StoreKey; value: Uint8Array }>();
  /** The next write fails with STORE_UNUSABLE. */
  failNext = false;
  /** Writes taken so far. */
  writes = 0;

  get(key: StoreKey): Uint8Array | undefined {
    return this.#entries.get(JSON.stringify(key))?.value;
  }

  put(key: StoreKey, value: Uint8Array): Promise<void> {
    return this.batch([{ put: key, value }]);
  }

  delete(key: StoreKey): Promise<void> {
    return this.batch([{ delete: key }]);
  }

  async batch(changes: readonly StoreChange[]): Promise<void> {
    await Promise.resolve();
    if (this.failNext) {
      this.failNext = false;
      throw new GantryError("STORE_UNUSABLE", "The store was told to fail this write.");
    }
    this.writes++;
    for (const change of changes) {
      if ("put" in change) {
        this.#entries.set(JSON.stringify(change.put), { key: [...change.put], value: Uint8Array.from(change.value) });
      } else if ("delete" in change) this.#entries.delete(JSON.stringify(change.delete));
      else for (const { key } of [...this.under(change.deleteUnder)]) this.#entries.delete(JSON.stringify(key));
    }
  }

  *under(prefix: StoreKey): Iterable<{ key: StoreKey; value: Uint8Array }> {
    const inside = [...this.#entries.values()].filter(({ key }) => prefix.every((part, index) => key[index] === part));
    yield* inside.sort((a, b) => compareKeys(a.key, b.key));
  }

  async close(): Promise<void> {}
}

function compareKeys(a: StoreKey, b: StoreKey): number {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const left = a[index] ?? "";
    const right = b[index] ?? "";
    if (left === right) continue;
    if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return a.length - b.length;
}
