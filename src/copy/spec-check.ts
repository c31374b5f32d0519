// What can be told of a job before it is accepted, without touching a device: do its particulars, its list and
// the configuration fit together?
import type { DeviceRegistry } from "../device/registry.js";
import type { JobSpec } from "../job.js";
import { GantryError } from "../sys/errors.js";
import type { ListSource } from "./job-context.js";
import { checkVolume } from "./list-check.js";

/** Throws DEVICE_UNKNOWN, JOB_INVALID, LIST_NOT_WHOLE, LIST_VOLUME_MISMATCH. */
export function checkSpec(spec: JobSpec, devices: DeviceRegistry, lists: ListSource): void {
  const invalid = (what: string): GantryError => new GantryError("JOB_INVALID", `Job ${spec.jobId}: ${what}.`);
  const expect = (device: string | undefined, type: "disk" | "tape"): void => {
    if (device === undefined) return;
    const config = devices.config(device);
    if (config.type !== type) throw invalid(`${device} is a ${config.type}, and a ${type} is wanted there`);
  };
  expect(spec.disk?.device, "disk");
  expect(spec.toDisk?.device, "disk");
  expect(spec.tape?.device, "tape");
  if (spec.toDisk !== undefined && spec.toDisk.device === spec.disk?.device && spec.toListId === undefined) {
    throw invalid(`it would clone ${spec.disk.device} onto itself`);
  }
  if (spec.type === "backup" && spec.options.startObject !== undefined) {
    throw invalid("`startObject` is for restore and verify; a backup starts where `position` says");
  }
  if (spec.listId !== undefined) checkList(spec, spec.listId, spec.disk?.device, lists);
  if (spec.toListId !== undefined) checkList(spec, spec.toListId, spec.toDisk?.device, lists);
}

function checkList(spec: JobSpec, listId: string, device: string | undefined, lists: ListSource): void {
  const header = lists.header(listId);
  if (header === undefined) {
    throw new GantryError(
      "LIST_NOT_WHOLE",
      `List ${listId} of job ${spec.jobId} is not here whole; send it, then submit the job.`,
    );
  }
  const listed = lists.device(listId);
  if (listed !== device) {
    throw new GantryError(
      "JOB_INVALID",
      `Job ${spec.jobId}: list ${listId} is of blocks of ${listed}, not of ${device}.`,
    );
  }
  if (listId === spec.listId) checkVolume(header, spec.volume);
}
