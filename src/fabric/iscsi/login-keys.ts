// The keys that say who logs in to what (RFC 7143 13.4, 13.5, 13.21): they come with the first request.
import { normalName } from "./iscsi-name.js";
import { STATUS } from "./login-pdu.js";
import { loginRefused } from "./login-refused.js";
import { type Pair, shown } from "./text-keys.js";

export interface Claimed {
  readonly initiator: string;
  /** Absent in a discovery session. */
  readonly target?: string;
  readonly discovery: boolean;
}

/** Taken without an answer; once, in the first request. */
export const NAMING_KEYS: readonly string[] = ["InitiatorName", "InitiatorAlias", "TargetName", "SessionType"];

/** What only targets declare: an initiator may say that it did not understand one, nothing else. */
export const TARGET_KEYS: readonly string[] = ["TargetAlias", "TargetAddress", "TargetPortalGroupTag"];

/** @throws GantryError ISCSI_LOGIN_REFUSED */
export function claimed(pairs: readonly Pair[]): Claimed {
  const given = new Map(pairs.map(({ key, value }) => [key, value]));
  const initiator = nameOf(given.get("InitiatorName"), "InitiatorName");
  const type = given.get("SessionType") ?? "Normal";
  if (type === "Discovery") return { initiator, discovery: true };
  if (type !== "Normal")
    throw loginRefused(STATUS.SESSION_TYPE_NOT_SUPPORTED, `There is no SessionType ${shown(type)}.`);
  return { initiator, target: nameOf(given.get("TargetName"), "TargetName"), discovery: false };
}

function nameOf(value: string | undefined, key: string): string {
  if (value === undefined) throw loginRefused(STATUS.MISSING_PARAMETER, `The first request has no ${key}.`);
  const name = normalName(value);
  if (name === undefined) throw loginRefused(STATUS.INITIATOR_ERROR, `${key} ${shown(value)} is no iSCSI name.`);
  return name;
}
