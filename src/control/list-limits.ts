// How many lists are kept, how large, and for how long.
import { GantryError } from "../sys/errors.js";

export interface ListLimits {
  /** Lists that may exist at once, whole ones too. */
  readonly lists: number;
  /** Encoded bytes of one list. */
  readonly listBytes: number;
  /** Encoded bytes of all lists together. */
  readonly allBytes: number;
  /** Milliseconds without a new chunk after which an incomplete list is dropped. */
  readonly incompleteMs: number;
  /** Milliseconds after which a whole list that no job holds is dropped. */
  readonly unusedMs: number;
}

export const LIST_LIMITS: ListLimits = {
  lists: 64,
  listBytes: 1 << 30,
  allBytes: 4 * 2 ** 30,
  incompleteMs: 3_600_000,
  unusedMs: 86_400_000,
};

export function limit(what: string): GantryError {
  return new GantryError("LIST_LIMIT", `${what}.`);
}
