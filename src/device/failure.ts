// From a command that failed to a GantryError that says so in the standards' words: one place, for commands of
// the supervisor and of the engine alike.
import type { Outcome } from "../native/types.js";
import { type ErrorCode, GantryError } from "../sys/errors.js";
import { toHex } from "../wire/hex.js";
import { decodeSense, SenseKey, senseInWords, statusName } from "../wire/sense.js";

export interface FailedAnswer {
  readonly outcome: Outcome;
  readonly status: number;
  readonly sense: Uint8Array;
  readonly cdb: Uint8Array;
}

const CHECK_CONDITION = 0x02;
const RESERVATION_CONFLICT = 0x18;

/** @param what said in front of the device's own words, such as "while writing". */
export function deviceFailure(device: string, failed: FailedAnswer, what = ""): GantryError {
  const details = { device, cdb: toHex(failed.cdb), status: failed.status, outcome: failed.outcome };
  const prefix = what === "" ? device : `${device}, ${what}`;
  if (failed.outcome !== "delivered") {
    const why = failed.outcome === "timed-out" ? "did not answer in time" : "cannot be reached";
    return new GantryError("DEVICE_PATH_FAILED", `${prefix}: the device ${why} (${failed.outcome}).`, { details });
  }
  if (failed.status === RESERVATION_CONFLICT) {
    return new GantryError("DEVICE_RESERVED", `${prefix}: RESERVATION CONFLICT; another initiator holds the device.`, {
      details,
    });
  }
  const sense = failed.status === CHECK_CONDITION ? senseInWords(failed.sense) : statusName(failed.status);
  return new GantryError(codeOf(failed), `${prefix}: ${sense}.`, { details: { ...details, sense } });
}

function codeOf(failed: FailedAnswer): ErrorCode {
  const sense = failed.status === CHECK_CONDITION ? decodeSense(failed.sense) : undefined;
  if (sense === undefined) return "DEVICE_ERROR";
  // 28h: not ready to ready, medium may have changed. 29h: power on or reset. Either way a tape is not where it was.
  if (sense.key === SenseKey.UNIT_ATTENTION && (sense.asc === 0x28 || sense.asc === 0x29))
    return "DEVICE_POSITION_LOST";
  if (sense.key === SenseKey.MEDIUM_ERROR) return "DEVICE_MEDIUM_ERROR";
  if (sense.key === SenseKey.DATA_PROTECT) return "TAPE_WRITE_PROTECTED";
  if (sense.key === SenseKey.NOT_READY && sense.asc === 0x3a) return "MEDIA_MISSING";
  return "DEVICE_ERROR";
}

/** The device knows no such command or field: the answer to a probe, not a failure. */
export function isIllegalRequest(answer: Omit<FailedAnswer, "cdb">): boolean {
  if (answer.outcome !== "delivered" || answer.status !== CHECK_CONDITION) return false;
  return decodeSense(answer.sense)?.key === SenseKey.ILLEGAL_REQUEST;
}
