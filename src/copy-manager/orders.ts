// What a command to the copy manager orders, read from its parameter list: which operation, and how it is carried out.
import type { CopyCommand } from "../wire/xcopy/commands.js";
import { type CopyForm, decodeCopyList, LIST_ID_USAGE } from "../wire/xcopy/copy-list.js";
import { decodePopulateToken, decodeWriteUsingToken } from "../wire/xcopy/token-lists.js";
import type { ActiveCopy } from "./active.js";
import { COPY_LIMITS, copyLimits, tokenLimits } from "./limits.js";
import type { OperationFacts } from "./operation.js";
import { planCopy } from "./plan.js";
import { type Asker, resolveUnits } from "./resolver.js";
import { runSteps } from "./run-list.js";
import { populate, type TokenPlant, writeUsing } from "./run-tokens.js";

/** A copy onto itself goes backwards in pieces of one command each; longer ones bring nothing. */
const PIECE_BYTES = 65_536;

export interface Order {
  readonly facts: Pick<OperationFacts, "usage" | "listId" | "background" | "segments">;
  /** G_SENSE: also the end without an error has sense data (SPC-4 6.4.3). */
  readonly goodSense: boolean;
  /** @throws CopyRefusal, GantryError DEVICE_… */
  readonly run: (active: ActiveCopy) => Promise<"done" | "partial">;
}

/** @param command of those that copy @throws CopyRefusal ILLEGAL REQUEST */
export function orderOf(
  command: CopyCommand,
  data: Uint8Array,
  asker: Asker,
  initiator: string,
  plant: TokenPlant,
): Order {
  switch (command.kind) {
    case "copy-lid1":
      return copyOrder(data, "LID1", asker, plant);
    case "copy-lid4":
      return copyOrder(data, "LID4", asker, plant);
    case "populate-token": {
      const list = decodePopulateToken(data, tokenLimits());
      return tokenOrder(command, list, async (active) => {
        active.used(active.operation.facts.device, "read");
        await populate(list, active, initiator, plant);
        return "done";
      });
    }
    default: {
      const list = decodeWriteUsingToken(data, tokenLimits());
      return tokenOrder(command, list, async (active) =>
        (await writeUsing(list, active, plant)) ? "done" : "partial",
      );
    }
  }
}

function copyOrder(data: Uint8Array, form: CopyForm, asker: Asker, plant: TokenPlant): Order {
  const list = decodeCopyList(data, form, copyLimits(asker.streams));
  const { listIdUsage: usage, listId, immediate: background, goodSense, segments } = list;
  return {
    facts: { usage, listId, background, segments: segments.length },
    goodSense,
    run: async (active) => {
      const used: ActiveCopy["used"] = (device, access) => active.used(device, access);
      const lookup = await resolveUnits(list, asker, plant.units, used);
      const transferBytes = Math.min(plant.units.transferBytes, plant.tuning().ioBytes || PIECE_BYTES, PIECE_BYTES);
      // One byte more than can be held: that it has no room is how the operation learns that something was left out.
      await runSteps(planCopy(list, lookup, { heldBytes: COPY_LIMITS.heldBytes + 1, transferBytes }), active, plant);
      return "done";
    },
  };
}

function tokenOrder(
  { listId }: CopyCommand,
  { immediate, ranges }: { readonly immediate: boolean; readonly ranges: readonly unknown[] },
  run: Order["run"],
): Order {
  const facts = { usage: LIST_ID_USAGE.HOLD, listId, background: immediate, segments: ranges.length };
  return { facts, goodSense: false, run };
}
