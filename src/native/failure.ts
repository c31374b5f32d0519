// What goes wrong at the border to C, as GantryError with NATIVE_FAILED (details.errno is the errno's name)
// or NATIVE_CLOSED.
import { GantryError, messageOf } from "../sys/errors.js";

/** For arguments that are refused here already: the same code and errno that C would have given. */
export function invalid(message: string, details: Readonly<Record<string, unknown>> = {}): GantryError {
  return new GantryError("NATIVE_FAILED", message, { details: { errno: "EINVAL", ...details } });
}

/** Whatever the addon threw, as a GantryError. What it did not make itself is a defect of this project. */
export function translate(error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  const { code, errno, segment } = (error ?? {}) as { code?: unknown; errno?: unknown; segment?: unknown };
  if (code === "NATIVE_CLOSED") return new GantryError(code, messageOf(error));
  if (code !== "NATIVE_FAILED") return new GantryError("INTERNAL", messageOf(error), { cause: error });
  return new GantryError(code, messageOf(error), { details: segment === undefined ? { errno } : { errno, segment } });
}

/** Runs a call into the addon. */
export function call<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translate(error);
  }
}

/** The same for calls that answer with a promise. */
export async function callLater<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}

/** Name of the errno behind a NATIVE_FAILED ("EBUSY"), or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof GantryError) || error.code !== "NATIVE_FAILED") return undefined;
  const { errno } = error.details;
  return typeof errno === "string" ? errno : undefined;
}
