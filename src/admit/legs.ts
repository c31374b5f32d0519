// What a job does, as the gate judges it: a pure function of the job itself, so that nobody who asks can
// leave a leg out.
import type { JobSpec, TapeRef } from "../job.js";
import type { Leg } from "./gate.js";
import type { Right } from "./key.js";

/**
 * Every leg of a job. A job that names cartridges also loads and unloads them.
 * @param bytes data bytes of the job's block list, where there is one.
 */
export function legsOf(spec: JobSpec, bytes?: bigint): readonly Leg[] {
  const disk = (device: string, right: Right): Leg => ({
    device,
    class: "disk",
    right,
    ...(bytes !== undefined && { bytes }),
  });
  const legs: Leg[] = [];
  const writesDisk = spec.type === "restore";
  if (spec.disk !== undefined) legs.push(disk(spec.disk.device, writesDisk ? "write" : "read"));
  if (spec.toDisk !== undefined) legs.push(disk(spec.toDisk.device, "write"));
  if (spec.tape !== undefined) legs.push(...tapeLegs(spec.tape, spec.type === "backup" ? "write" : "read", bytes));
  if (spec.tape !== undefined && spec.options.readBack === true) legs.push(...tapeLegs(spec.tape, "read", bytes));
  return legs;
}

function tapeLegs(tape: TapeRef, right: Right, bytes: bigint | undefined): Leg[] {
  const one: Leg = { device: tape.device, class: "tape", right, ...(bytes !== undefined && { bytes }) };
  if (tape.cartridges.length === 0) return [one];
  return tape.cartridges.flatMap((cartridge): Leg[] => [
    { ...one, cartridge },
    { device: tape.device, class: "tape", right: "media-control", cartridge },
  ]);
}
