// What tests ask of a copy manager among models (copy-room.ts), and what they are answered, in short words.
import { STATUS } from "../../src/wire/names.js";
import { decodeSense } from "../../src/wire/sense.js";
import { type CopyCommandKind, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { type CopyList, encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import { decodeStatusLid4, type StatusLid4 } from "../../src/wire/xcopy/copy-results.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { nameOf } from "./copy-model-unit.js";
import { type Answer, DEVICES, type Device, FULL, LUN, type Room } from "./copy-room.js";
import { disk } from "./xcopy.js";

/** CSCD descriptor IDs of a LID1 list: the devices in their order. */
export const ID: Readonly<Record<Device, number>> = { disk0: 0, big0: 1, tape0: 2, tape1: 3, hidden: 4 };
/** No bytes, no device: what is sent to these goes nowhere. */
export const NULL_DISK = 0xc000;
export const NULL_TAPE = 0xc001;

export const cscdOf = (room: Room, device: Device, more: Partial<IdentificationCscd> = {}): IdentificationCscd => ({
  ...disk(),
  deviceType: device.startsWith("tape") ? 1 : 0,
  blockBytes: room.plant.disks.get(device)?.block ?? 0,
  designator: nameOf(room.plant, device),
  ...more,
});

export interface Asking extends Partial<Omit<CopyList, "segments">> {
  readonly nexus?: number;
  readonly at?: keyof typeof LUN;
}

export function listOf(room: Room, segments: readonly Segment[], { nexus: _, at: __, ...more }: Asking = {}): CopyList {
  const form = more.form ?? "LID1";
  const up = (id: number): number => (form === "LID1" || id >= 0x0800 ? id : id + 1);
  return {
    ...{ form, striped: false, listIdUsage: 0, priority: 1, listId: 1, goodSense: false, immediate: false },
    cscds: DEVICES.map((device) => cscdOf(room, device)),
    inline: Uint8Array.from({ length: 64 }, (_one, index) => 0x40 + index),
    ...more,
    segments: segments.map((segment) => ({
      ...segment,
      ...("source" in segment && { source: up(segment.source) }),
      ...("destination" in segment && { destination: up(segment.destination) }),
    })) as readonly Segment[],
  };
}

/** Sends the command; it may still run when this returns. @returns the number of the command */
export function punt(room: Room, segments: readonly Segment[], asking: Asking = {}): bigint {
  const list = encodeCopyList(listOf(room, segments, asking));
  const kind = asking.form === "LID4" ? "copy-lid4" : "copy-lid1";
  const { nexus = FULL, at = "disk0" } = asking;
  return room.punt(nexus, LUN[at], encodeCopyCommand({ kind, listId: 0, length: list.length }), list);
}

export const command = (kind: CopyCommandKind, listId = 1, length = 0xffff): Uint8Array =>
  encodeCopyCommand({ kind, listId, length });

export async function statusOf(room: Room, listId = 1, at: keyof typeof LUN = "disk0"): Promise<StatusLid4> {
  const answer = await room.send(FULL, LUN[at], command("status-lid4", listId));
  if (answer?.status !== STATUS.GOOD) throw new Error(`no status: ${words(answer)}`);
  return decodeStatusLid4(answer.data);
}

/** "good", "status 18", key/asc/ascq, or "nothing". */
export function words(answer: Answer | undefined): string {
  if (answer === undefined) return "nothing";
  const { status, sense } = answer;
  if (status === STATUS.GOOD) return "good";
  if (status !== STATUS.CHECK_CONDITION) return `status ${status.toString(16)}`;
  const { key, asc, ascq } = decodeSense(sense);
  return [key, asc, ascq].map((part) => part.toString(16)).join("/");
}
