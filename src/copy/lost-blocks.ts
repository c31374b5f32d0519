// Blocks of a source that could not be read and stand as zeros in the copy, as reports name them.
import type { LostBlocks } from "../job.js";
import { senseInWords } from "../wire/sense.js";
import type { MidEvent } from "./copy-run.js";

export function lostBlocks(device: string, event: Extract<MidEvent, { type: "medium-error" }>): LostBlocks {
  const { lba, blocks, streamOffset } = event;
  return { device, lba, blocks, sense: senseInWords(event.sense), streamOffset };
}
