// Looking at a device without disturbing who uses it. Over iSCSI and on emulated devices the shell is an I_T nexus of its
// own; a SCSI generic node has one nexus for everybody on this machine, where any command but INQUIRY would take a unit
// attention that is meant for the job or the server that uses it (SAM-5 5.14).
import { senseOf } from "../device/failure.js";
import type { ScsiUnit } from "../device/scsi-unit.js";
import { GantryError } from "../sys/errors.js";
import * as cdb from "../wire/cdb.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { endInWords, type SenseSource } from "../wire/sense.js";
import type { ShellRoom } from "./room.js";

/** Nobody sits longer before a device that does not answer. */
export const LOOK_MS = 10_000;
const ATTENTIONS_MAX = 8;

type Room = Pick<ShellRoom, "devices" | "servers" | "jobsOn">;

/** Jobs and servers that use a device now, in words. */
export function usersOf({ jobsOn, servers }: Room, device: string): readonly string[] {
  const sessions = servers.sessions().filter(({ luns }) => luns.some((entry) => entry.device === device));
  return [...jobsOn(device).map((jobId) => `job ${jobId}`), ...new Set(sessions.map(({ initiator }) => initiator))];
}

/** Why only INQUIRY may go to a device now; undefined: anything that changes nothing may. */
export function onlyInquiry(room: Room, device: string): string | undefined {
  if (room.devices.config(device).transport !== "sg") return undefined;
  const users = usersOf(room, device);
  return users.length === 0 ? undefined : users.join(", ");
}

/** Any commands that change nothing. Throws DEVICE_IN_USE. */
export async function looking<T>(room: Room, device: string, work: (unit: ScsiUnit) => Promise<T>): Promise<T> {
  const users = onlyInquiry(room, device);
  if (users === undefined) return inquiring(room, device, work);
  throw new GantryError(
    "DEVICE_IN_USE",
    `${device} is used by ${users} over the same I_T nexus, and would lose a unit attention to this command; \`device inquire\` asks it without.`,
    { details: { device } },
  );
}

/** INQUIRY only. */
export async function inquiring<T>(
  { devices }: Pick<Room, "devices">,
  device: string,
  work: (unit: ScsiUnit) => Promise<T>,
): Promise<T> {
  const unit = await devices.openUnit(device);
  try {
    return await work(unit);
  } finally {
    await unit.close();
  }
}

/** TEST UNIT READY, past the unit attentions of our own nexus: "ready", or what the device says instead. */
export async function readiness(unit: ScsiUnit, source?: SenseSource): Promise<string> {
  for (let attentions = 0; ; attentions++) {
    const answer = await unit.lu.execute(cdb.testUnitReady(), { timeoutMs: LOOK_MS });
    if (answer.outcome === "delivered" && answer.status === STATUS.GOOD) return "ready";
    if (senseOf(answer)?.key !== SENSE_KEY.UNIT_ATTENTION || attentions >= ATTENTIONS_MAX)
      return endInWords(answer, source);
  }
}

export function sourceOf(type: string): SenseSource | undefined {
  return type === "disk" || type === "tape" || type === "changer" ? type : undefined;
}
