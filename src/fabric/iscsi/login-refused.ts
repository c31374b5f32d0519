// A login that ends: the status that the initiator is told (RFC 7143 11.13.5), and the reason in words for us alone.
import { GantryError } from "../../sys/errors.js";
import { STATUS } from "./login-pdu.js";

/** @param reason a sentence for the log and the broker; the initiator gets only the status. */
export function loginRefused(status: number, reason: string): GantryError {
  return new GantryError("ISCSI_LOGIN_REFUSED", reason, { details: { status } });
}

/** The status of anything that was thrown: what is no refusal is a defect of ours. */
export function statusOf(error: unknown): number {
  if (!(error instanceof GantryError)) return STATUS.TARGET_ERROR;
  if (error.code === "ISCSI_TEXT_INVALID") return STATUS.INITIATOR_ERROR;
  const { status } = error.details;
  return error.code === "ISCSI_LOGIN_REFUSED" && typeof status === "number" ? status : STATUS.TARGET_ERROR;
}
