// One EXTENDED COPY, carried out: its steps one after the other, until one fails or somebody stops it.
import type { WrittenExtent } from "../plane.js";
import { CopyRefusal } from "../wire/xcopy/refusal.js";
import type { ActiveCopy } from "./active.js";
import { failureOf } from "./resolver.js";
import { type ReserveOut, runCommand } from "./run-commands.js";
import { type DataKeeper, type RunPlant, runData, type StepEnd } from "./run-data.js";
import { runImage } from "./run-image.js";
import type { CopyStep, DataStep, StepSegment } from "./steps.js";

export interface ListPlant extends RunPlant {
  readonly reserveOut: ReserveOut;
  /** Blocks of a disk were written, or may have been. */
  readonly onWrote: (device: string, extents: readonly WrittenExtent[]) => void;
}

/** @throws CopyRefusal what ended it early; it was cancelled: control says so */
export async function runSteps(steps: Iterable<CopyStep>, active: ActiveCopy, plant: ListPlant): Promise<void> {
  const keeper: DataKeeper = { onHeld: (data) => active.operation.hold(data), carried: new Uint8Array(0) };
  for (const step of steps) {
    if (active.control.cancelled) return;
    const end = await runStep(step, active, plant, keeper).catch((error: unknown) => {
      throw error instanceof CopyRefusal ? error : failureOf(error, "source", firstOf(step));
    });
    active.stepEnded(end.bytes, segmentsOf(step), end.refusal === undefined && !end.cancelled);
    if (end.refusal !== undefined) throw end.refusal;
    if (end.cancelled) return active.brokenOff(end.at);
  }
}

async function runStep(step: CopyStep, active: ActiveCopy, plant: ListPlant, keeper: DataKeeper): Promise<StepEnd> {
  switch (step.kind) {
    case "data":
      active.stepBegins(step.segments);
      try {
        return await runData(step, plant, active.control, keeper);
      } finally {
        tellWrites(step, plant);
      }
    case "tape-image":
      return runImage(step, plant, active.control, (bytes) => active.runEnded(bytes));
    default:
      await runCommand(step, plant.units, plant.reserveOut);
      return { bytes: 0n, cancelled: false };
  }
}

/** All that the step was to write: how far it got is not known to the block. */
function tellWrites({ scatter }: DataStep, plant: ListPlant): void {
  const written = new Map<string, WrittenExtent[]>();
  for (const part of scatter) {
    if (part.op !== "extent" || part.bytes === 0n) continue;
    const size = BigInt(plant.units.blockBytes(part.device));
    const blocks = (BigInt(part.skip) + part.bytes + size - 1n) / size;
    const extents = written.get(part.device);
    if (extents === undefined) written.set(part.device, [{ lba: part.lba, blocks }]);
    else extents.push({ lba: part.lba, blocks });
  }
  for (const [device, extents] of written) plant.onWrote(device, extents);
}

const firstOf = (step: CopyStep): number => (step.kind === "data" ? (step.segments[0]?.segment ?? 0) : step.segment);
/** A command has done nothing before it has done all. */
const segmentsOf = (step: CopyStep): readonly Pick<StepSegment, "segment" | "end" | "later">[] =>
  step.kind === "data" ? step.segments : [{ segment: step.segment, end: 1n << 64n, later: 0n }];
