// Segments that are commands (SPC-4 6.4.6.9, 6.4.6.13 to 6.4.6.18), as steps.
import { ASC } from "../wire/xcopy/refusal.js";
import type { Segment } from "../wire/xcopy/segments.js";
import { fieldOf, findEnd, type Turn, wrong } from "./plan-ends.js";
import type { CommandStep, CopyAccess, ImageStep } from "./steps.js";

export type CommandKind =
  | "verify"
  | "filemarks"
  | "space"
  | "locate"
  | "tape-image"
  | "register-key"
  | "source-nexus"
  | "rod-ranges"
  | "rod-range";
export type CommandSegment = Extract<Segment, { kind: CommandKind }>;

/** @returns undefined: nothing is sent @throws CopyRefusal COPY ABORTED */
export function commandOf(turn: Turn, segment: CommandSegment): CommandStep | ImageStep | undefined {
  switch (segment.kind) {
    case "verify": {
      const { unit } = findEnd(turn, segment.source, "source", "look", undefined);
      if (unit === undefined || !segment.testUnitReady) return undefined;
      return { kind: "test-ready", segment: turn.segment, device: unit.device };
    }
    case "filemarks": {
      const { count, immediate } = segment;
      const { unit } = findEnd(turn, segment.destination, "destination", "write", "tape");
      // What is written to the null device is written nowhere.
      return unit && { kind: "filemarks", segment: turn.segment, device: unit.device, count, immediate };
    }
    case "space": {
      const { code, count } = segment;
      return { kind: "space", ...place(turn, segment, "position", "tape"), code, count };
    }
    case "locate":
      return { kind: "locate", ...place(turn, segment, "position", "tape"), object: segment.objectId };
    case "tape-image":
      return imageOf(turn, segment);
    case "register-key": {
      const { key, actionKey } = segment;
      return { kind: "register", ...place(turn, segment, "reserve", undefined), key, actionKey };
    }
    case "source-nexus": {
      const { key, actionKey, unregister, aptpl, port, transportId } = segment;
      const where = place(turn, segment, "reserve", undefined);
      return { kind: "move-registration", ...where, key, actionKey, unregister, aptpl, port, transportId };
    }
    default:
      throw wrong(turn, ASC.SEGMENT_TYPE, "RODs are made by POPULATE TOKEN alone", 0);
  }
}

function place(
  turn: Turn,
  { destination }: { readonly destination: number },
  access: CopyAccess,
  wanted: "tape" | undefined,
): { segment: number; device: string } {
  const { unit } = findEnd(turn, destination, "destination", access, wanted);
  if (unit !== undefined) return { segment: turn.segment, device: unit.device };
  throw wrong(turn, ASC.WRONG_OPERATION, "nothing can be sent to the null device", fieldOf("destination"));
}

function imageOf(turn: Turn, segment: Extract<Segment, { kind: "tape-image" }>): ImageStep {
  const source = findEnd(turn, segment.source, "source", "read", "tape").unit;
  const destination = findEnd(turn, segment.destination, "destination", "write", "tape").unit;
  if (source === undefined || destination === undefined)
    throw wrong(turn, ASC.WRONG_OPERATION, "an image is of a tape and on a tape", fieldOf("destination"));
  if (source.device === destination.device)
    throw wrong(turn, ASC.WRONG_OPERATION, "a tape cannot be copied to itself", fieldOf("destination"));
  const { filemarks } = segment;
  return {
    kind: "tape-image",
    segment: turn.segment,
    source: source.device,
    destination: destination.device,
    filemarks,
  };
}
