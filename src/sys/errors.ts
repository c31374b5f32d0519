// Every error that Gantry makes: one class, a stable code, a sentence that says what is wrong and what to
// do, the cause kept. Code is API: messages may be reworded, codes may not. The table is pinned by a test
// and is the reference for people who match on `error.code`.

/** What the receiver should do: mend the input, try again later, or call somebody. */
export type ErrorKind = "input" | "refused" | "state" | "device" | "system";

interface ErrorRow {
  readonly kind: ErrorKind;
  /** What it means and what to do about it; for the reference. */
  readonly meaning: string;
}

const row = (kind: ErrorKind, meaning: string): ErrorRow => ({ kind, meaning });

/** Code → meaning. Keep the rows of one room together and in alphabetical order. */
export const ERRORS = {
  // native
  NATIVE_CLOSED: row("state", "The handle was closed before or during the call; open it again."),
  NATIVE_FAILED: row("system", "The data plane could not do what was asked; the errno name is in `details.errno`."),
  // control
  // keys and gate
  // sys
  INTERNAL: row("system", "A defect of Gantry itself; please report it with the log."),
  CONFIG_INVALID: row(
    "input",
    "Keys of the configuration are missing, unknown or wrong; each problem has its line in `details.problems`.",
  ),
  CONFIG_SYNTAX: row("input", "The configuration is no valid TOML; the line is in `details.line`."),
  CONFIG_UNREADABLE: row("input", "The configuration file cannot be read; check the path and its permissions."),
  STORE_UNUSABLE: row("system", "The state directory cannot be read or written; nothing of the write was kept."),
  // jobs
  // agent
  // archive
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  readonly cause?: unknown;
  /** Facts for machines: field names, limits, sense data. Plain values only; it travels in CBOR and JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class GantryError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  /** @param message a sentence: what is wrong, with the value, and what to do. */
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GantryError";
    this.code = code;
    this.details = options.details ?? {};
  }

  get kind(): ErrorKind {
    return ERRORS[this.code].kind;
  }
}

export function isGantryError(error: unknown): error is GantryError {
  return error instanceof GantryError;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
