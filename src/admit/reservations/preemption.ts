// Who may take a device from whom: a higher priority may, as far as the configuration lets it, and with "ask" only after
// the broker's word. Here are the rules and what the broker was asked and has said; the arbiter takes and gives.
import { GantryError } from "../../sys/errors.js";
import { initiatorName as nameOf } from "../../wire/transport-id.js";
import { admitsRegistrants } from "./classes.js";
import { type NexusText, nexusParts, persistentHolders, type UnitReservations } from "./state.js";

export type PreemptPolicy = "off" | "ask" | "automatic";

/** A job by its id, a server by the name of its initiator. */
export type Claimant = { readonly jobId: string } | { readonly initiator: string };

/** Somebody of higher priority wants a device; for the broker, who answers by `reservation.preempt`. */
export interface Wanted {
  readonly device: string;
  readonly by: Claimant;
  readonly priority: number;
  /** Who has it, in words. */
  readonly holder: string;
  readonly holderPriority: number;
}

export interface PreemptionOptions {
  readonly policy: () => PreemptPolicy;
  /** Highest priority among the keys by which the initiator may reserve the device. */
  readonly priorityOf: (device: string, initiator: string) => number;
  readonly onWanted: (wanted: Wanted) => void;
}

export class Preemption {
  readonly #options: PreemptionOptions;
  /** Device → claimant → what of the device it was asked for: another holder is another question. */
  readonly #asked = new Map<string, Map<string, string>>();
  readonly #leaves = new Map<string, Map<string, string>>();

  constructor(options: PreemptionOptions) {
    this.#options = options;
  }

  /** Of whoever may use the device as a reservation is: the highest. What nobody knows about is never outranked. */
  rankOfServers(device: string, state: UnitReservations): number {
    if (state.lost) return Number.POSITIVE_INFINITY;
    return Math.max(-1, ...usersOf(state).map((nexus) => this.rankOf(device, nexus)));
  }

  rankOf(device: string, nexus: NexusText): number {
    const name = initiatorName(nexus);
    return name === undefined ? Number.POSITIVE_INFINITY : this.#options.priorityOf(device, name);
  }

  /** Whether the claimant may take the device now from holders of that rank. */
  may(device: string, by: Claimant, priority: number, held: { readonly rank: number; readonly what: string }): boolean {
    const policy = this.#options.policy();
    if (policy === "off" || priority <= held.rank) return false;
    return policy === "automatic" || this.#leaves.get(device)?.get(keyOf(by)) === held.what;
  }

  /** Asks the broker, once for each holder. */
  want(wanted: Wanted, what: string): void {
    const { device, by, priority, holderPriority } = wanted;
    if (this.#options.policy() !== "ask" || priority <= holderPriority) return;
    const asked = this.#asked.get(device) ?? new Map<string, string>();
    if (asked.get(keyOf(by)) === what) return;
    this.#asked.set(device, asked.set(keyOf(by), what));
    this.#options.onWanted(wanted);
  }

  /** The broker's yes. @throws GantryError PREEMPT_UNWANTED when that was not asked, or not of this holder */
  allow(device: string, by: Claimant, what: string): void {
    if (this.#asked.get(device)?.get(keyOf(by)) !== what) {
      const who = "jobId" in by ? `Job ${by.jobId}` : by.initiator;
      throw new GantryError("PREEMPT_UNWANTED", `${who} does not wait to take ${device} from who has it now.`, {
        details: { device },
      });
    }
    this.#leaves.set(device, (this.#leaves.get(device) ?? new Map<string, string>()).set(keyOf(by), what));
  }

  /** Nobody holds the device any more: what was asked and said about its holder is done with. */
  settled(device: string): void {
    this.#asked.delete(device);
    this.#leaves.delete(device);
  }
}

const keyOf = (by: Claimant): string => ("jobId" in by ? `job ${by.jobId}` : `server ${by.initiator}`);

export function initiatorName(nexus: NexusText): string | undefined {
  const initiator = nexusParts(nexus)?.initiator;
  return initiator === undefined ? undefined : nameOf(initiator);
}

/** Every nexus that a reservation leaves everything to: what preempting it takes something from. */
export function usersOf(state: UnitReservations): readonly NexusText[] {
  const { reservation, reserved, registrations } = state;
  if (reserved !== undefined) return [reserved.nexus];
  if (reservation === undefined) return [];
  return admitsRegistrants(reservation.type) ? registrations.map(({ nexus }) => nexus) : persistentHolders(state);
}

/** One reservation among those of a device over time. */
export const identityOf = ({ reservation, reserved }: UnitReservations): string =>
  JSON.stringify([reservation?.type, reservation?.holder, reservation?.sinceMs, reserved?.nexus, reserved?.sinceMs]);
