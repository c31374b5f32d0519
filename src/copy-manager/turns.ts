// Copies that follow one another under one list identifier. SPC-4 5.17.4.2 has a command refused whose identifier is that of
// a copy that is processed; an initiator that gives every copy the same one, sends several at a time and wants nothing kept
// (LIST ID USAGE 10b: `qemu-img convert -C` does so) would go on without offload, and without a word. Such a command is
// not processed yet while the one before it is: it waits, as any command in a task set may.
import { LIST_ID_USAGE } from "../wire/xcopy/copy-list.js";
import type { ActiveCopy } from "./active.js";
import { COPY_LIMITS } from "./limits.js";
import type { OperationFacts } from "./operation.js";

type Facts = Pick<OperationFacts, "nexus" | "lun" | "listId" | "usage">;

/** full: the nexus has enough that wait. */
export type Turn = "begin" | "gone" | "full";

export class Turns {
  /** Punts that wait, with their nexus. */
  readonly #waiting = new Map<bigint, string>();

  /** The running copy that this one has to wait for. */
  before(facts: Facts, active: Iterable<ActiveCopy>): ActiveCopy | undefined {
    if (facts.usage !== LIST_ID_USAGE.DISCARD) return undefined;
    for (const one of active) if (isSame(one.operation.facts, facts)) return one;
    return undefined;
  }

  /** Resolves at the end of that copy, for those that wait in the order of asking. */
  async wait(punt: bigint, nexus: string, before: ActiveCopy): Promise<Turn> {
    const own = [...this.#waiting.values()].filter((one) => one === nexus).length;
    if (own >= COPY_LIMITS.copiesOfNexus) return "full";
    this.#waiting.set(punt, nexus);
    await before.ended;
    return this.#waiting.delete(punt) ? "begin" : "gone";
  }

  /** Nobody wants the punt any more. True: it waited, and whoever waits for its end is to be answered now. */
  gone(punt: bigint): boolean {
    return this.#waiting.delete(punt);
  }

  /** Nothing begins any more. */
  close(): void {
    this.#waiting.clear();
  }
}

const isSame = (one: Facts, other: Facts): boolean =>
  one.usage === other.usage && one.listId === other.listId && one.lun === other.lun && one.nexus === other.nexus;
