// From a command that failed to a GantryError that says so in the standards' words: one place, for commands of
// the supervisor and of the engine alike.
import type { Outcome } from "../native/types.js";
import { type ErrorCode, GantryError } from "../sys/errors.js";
import { toHex } from "../wire/hex.js";
import { SENSE_KEY, STATUS, statusName } from "../wire/names.js";
import { decodeSense, type Sense, senseInWords } from "../wire/sense.js";

export interface FailedAnswer {
  readonly outcome: Outcome;
  readonly status: number;
  readonly sense: Uint8Array;
  readonly cdb: Uint8Array;
}

/** @param what said in front of the device's own words, such as "while writing". */
export function deviceFailure(device: string, failed: FailedAnswer, what = ""): GantryError {
  const details = { device, cdb: toHex(failed.cdb), status: failed.status, outcome: failed.outcome };
  const prefix = what === "" ? device : `${device}, ${what}`;
  if (failed.outcome !== "delivered") {
    const why = failed.outcome === "timed-out" ? "did not answer in time" : "cannot be reached";
    return new GantryError("DEVICE_PATH_FAILED", `${prefix}: the device ${why} (${failed.outcome}).`, { details });
  }
  if (failed.status === STATUS.RESERVATION_CONFLICT) {
    return new GantryError("DEVICE_RESERVED", `${prefix}: RESERVATION CONFLICT; another initiator holds the device.`, {
      details,
    });
  }
  const sense = failed.status === STATUS.CHECK_CONDITION ? senseInWords(failed.sense) : statusName(failed.status);
  return new GantryError(codeOf(failed), `${prefix}: ${sense}.`, {
    details: { ...details, sense, ...(failed.sense.length > 0 && { senseHex: toHex(failed.sense) }) },
  });
}

function codeOf(failed: FailedAnswer): ErrorCode {
  const sense = senseOf(failed);
  if (sense === undefined) return "DEVICE_ERROR";
  // What failed is what an earlier command had brought, and was lost; the command at hand was not carried out.
  if (sense.deferred) return "DEVICE_WRITES_LOST";
  // 2Ah/09h: capacity data has changed. 3Fh: INQUIRY data, device identifier, reported LUNs data has changed.
  if (sense.key === SENSE_KEY.UNIT_ATTENTION && (sense.asc === 0x3f || (sense.asc === 0x2a && sense.ascq === 0x09)))
    return "DEVICE_CHANGED";
  // 28h: not ready to ready, medium may have changed. 29h: power on or reset. Either way a tape is not where it was.
  if (sense.key === SENSE_KEY.UNIT_ATTENTION && (sense.asc === 0x28 || sense.asc === 0x29))
    return "DEVICE_POSITION_LOST";
  if (sense.key === SENSE_KEY.MEDIUM_ERROR) return "DEVICE_MEDIUM_ERROR";
  if (sense.key === SENSE_KEY.ILLEGAL_REQUEST && sense.asc === 0x21 && sense.ascq === 0x00) return "DEVICE_SHRUNK";
  if (sense.asc === 0x30 && (sense.key === SENSE_KEY.NOT_READY || sense.key === SENSE_KEY.ILLEGAL_REQUEST))
    return "MEDIA_INCOMPATIBLE";
  if (sense.key === SENSE_KEY.DATA_PROTECT) return "TAPE_WRITE_PROTECTED";
  if (sense.key === SENSE_KEY.NOT_READY && sense.asc === 0x3a) return "MEDIA_MISSING";
  return "DEVICE_ERROR";
}

/** The sense of an answer; undefined when it has none that can be read, or did not end with CHECK CONDITION. */
export function senseOf(answer: Omit<FailedAnswer, "cdb">): Sense | undefined {
  if (answer.outcome !== "delivered" || answer.status !== STATUS.CHECK_CONDITION) return undefined;
  try {
    return decodeSense(answer.sense);
  } catch {
    // Sense that cannot be decoded is shown as it is by senseInWords; nothing is decided from it.
    return undefined;
  }
}

/** The device knows no such command or field: the answer to a probe, not a failure. */
export function isIllegalRequest(answer: Omit<FailedAnswer, "cdb">): boolean {
  return senseOf(answer)?.key === SENSE_KEY.ILLEGAL_REQUEST;
}
