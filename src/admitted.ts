// The brand that only admit/ can give: what starts a job takes an Admitted<JobSpec>, and there is no way to
// come by one but through the gate (src/admit/admitted.ts). Types only, so that every room may name it.

declare const brand: unique symbol;

export interface Admitted<T> {
  readonly [brand]: true;
  readonly subject: T;
  /** When the first of the keys relied on ends, milliseconds since 1970. */
  readonly expiresMs: number;
  /** Ids of the keys relied on. */
  readonly keyIds: readonly Uint8Array[];
}
