// What the daemon and `gantry` say to each other over the local socket: one JSON object a line, one answer for
// each request. Bigints are written as decimal text, bytes as hexadecimal.

/** A request: which verb, with which arguments. */
export interface ShellRequest {
  readonly verb: string;
  readonly args: readonly string[];
  /** By name, without dashes; one without a value has "". */
  readonly options?: Readonly<Record<string, string>>;
}

export type ShellAnswer =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly error: { readonly code: string; readonly message: string } };

/** Longest line that either side takes, bytes. */
export const LINE_MAX = 4 * 1024 * 1024;

export function toLine(value: unknown): string {
  const plain = (_key: string, inner: unknown): unknown => {
    if (typeof inner === "bigint") return inner.toString();
    return inner instanceof Uint8Array ? Buffer.from(inner).toString("hex") : inner;
  };
  return `${JSON.stringify(value, plain)}\n`;
}
