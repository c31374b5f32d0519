// Punts that neither a key nor a reservation answers: security protocols of a real device. A tape's encryption
// (SSC-4 8.5) goes through to who may write on it; other protocols lock or erase devices, and no right is for that.
import type { Plane, Punt } from "../plane.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { decodeSecurityCdb, PROTOCOL } from "../wire/security-protocol.js";
import { fixedSense } from "../wire/sense-encode.js";
import type { DeviceClass } from "./key.js";
import { goesThrough, type Standing } from "./reservations/classes.js";

const { ILLEGAL_REQUEST } = SENSE_KEY;
export const NO_LOGICAL_UNIT = fixedSense(ILLEGAL_REQUEST, 0x25, 0x00);
const INVALID_FIELD_IN_CDB = fixedSense(ILLEGAL_REQUEST, 0x24, 0x00);
const NO_ACCESS_RIGHTS = fixedSense(ILLEGAL_REQUEST, 0x20, 0x02);

export interface PuntFacts {
  readonly type: DeviceClass;
  readonly mayWrite: boolean;
  readonly standing: Standing;
}

export function answerPunt(plane: Pick<Plane, "answer" | "pass">, punt: Punt, facts: PuntFacts): void {
  const security = decodeSecurityCdb(punt.cdb);
  if (security?.protocol !== PROTOCOL.TAPE_ENCRYPTION || facts.type !== "tape")
    plane.answer(punt.id, STATUS.CHECK_CONDITION, INVALID_FIELD_IN_CDB);
  else if (security.out && !facts.mayWrite) plane.answer(punt.id, STATUS.CHECK_CONDITION, NO_ACCESS_RIGHTS);
  else if (!goesThrough(facts.standing, security.out ? "change" : "read"))
    plane.answer(punt.id, STATUS.RESERVATION_CONFLICT);
  else plane.pass(punt.id);
}
