// Parameter lists as bytes, for tests of what is refused of them and where.
import type { ExecutionContext } from "ava";
import type { ScsiAnswer } from "../../src/native/types.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import type { CopyForm } from "../../src/wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type CopyHost, type CopyPlant, startCopyPlant, words } from "./copy-plant.js";

/** That all of these lists are sent to. */
export const UNIT = "disk0";

export const blocks = (form: CopyForm, more: object = {}): Segment => ({
  ...{ kind: "block-block", hold: false, cat: false, destinationCount: false, blocks: 1 },
  ...{ source: form === "LID4" ? 1 : 0, destination: form === "LID4" ? 2 : 1 },
  ...{ sourceLba: 0n, destinationLba: 0n },
  ...more,
});

/** "5/26/0", and where: "list 80", "list 1 bit 4", "cdb 2", or "" for nowhere (SPC-4 4.5.2.4.2). */
export function refusal(answer: Pick<ScsiAnswer, "status" | "sense">): string {
  const sense = Buffer.from(answer.sense);
  const flags = sense.length > 17 ? sense.readUInt8(15) : 0;
  if ((flags & 0x80) === 0) return words(answer);
  const bit = (flags & 0x08) === 0 ? "" : ` bit ${flags & 7}`;
  return `${words(answer)} ${(flags & 0x40) === 0 ? "list" : "cdb"} ${sense.readUInt16BE(16)}${bit}`;
}

export interface ListScene {
  readonly plant: CopyPlant;
  readonly host: CopyHost;
  readonly cscds: readonly IdentificationCscd[];
  /** @param length PARAMETER LIST LENGTH, where it is not that of the list */
  send(
    kind: "copy-lid1" | "copy-lid4" | "populate-token" | "write-using-token",
    out: Uint8Array,
    length?: number,
  ): Promise<string>;
}

export async function startLists(t: ExecutionContext<unknown>): Promise<ListScene> {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("disk1")];
  return {
    ...{ plant, host, cscds },
    send: async (kind, out, length = out.length) =>
      refusal(await host.send(UNIT, encodeCopyCommand({ kind, listId: 1, length }), { out })),
  };
}

export const inline = (form: CopyForm): Segment => ({
  ...{ kind: "inline-stream", cat: false, destination: form === "LID4" ? 2 : 1, transfer: 512 },
  ...{ inlineOffset: 0, byteCount: 512 },
});
