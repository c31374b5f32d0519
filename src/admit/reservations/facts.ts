// Who holds a device and since when, for the log, the shell and the broker.
import type { JobHold } from "./job-holds.js";
import { type HolderFacts, holderFacts, type UnitReservations } from "./state.js";

export interface ReservationFacts {
  readonly device: string;
  /** "none", "reserve" (RESERVE 6 or 10), "persistent", "lost", "job". */
  readonly kind: HolderFacts["kind"] | "job" | "none";
  /** Persistent reservations: "write exclusive, registrants only". */
  readonly type?: string;
  readonly holders: readonly string[];
  readonly sinceMs?: number;
  /** Registered nexuses. Their keys are nobody else's business. */
  readonly registered: readonly string[];
  /** Survives a power loss. */
  readonly aptpl: boolean;
  readonly jobs: readonly string[];
}

const TYPES: Readonly<Record<number, string>> = {
  1: "write exclusive",
  3: "exclusive access",
  5: "write exclusive, registrants only",
  6: "exclusive access, registrants only",
  7: "write exclusive, all registrants",
  8: "exclusive access, all registrants",
};

export function arbiterFacts(device: string, state: UnitReservations, jobs: readonly JobHold[]): ReservationFacts {
  const held = holderFacts(state);
  const type = held?.type === undefined ? undefined : TYPES[held.type];
  const sinceMs = held?.sinceMs ?? jobs[0]?.sinceMs;
  return {
    device,
    kind: held?.kind ?? (jobs.length > 0 ? "job" : "none"),
    ...(type === undefined ? {} : { type }),
    holders: held?.holders ?? [],
    ...(sinceMs === undefined ? {} : { sinceMs }),
    registered: state.registrations.map(({ nexus }) => nexus),
    aptpl: state.aptpl,
    jobs: jobs.map(({ jobId }) => jobId),
  };
}

/** "iscsi:iqn…@1 has reserved it (write exclusive) since 2026-…"; undefined: nobody has. */
export function whoHolds(state: UnitReservations, jobs: readonly JobHold[]): string | undefined {
  const held = holderFacts(state);
  if (held?.kind === "lost") return "who reserved it is not known, because what was stored cannot be read";
  if (held !== undefined) {
    const how = held.type === undefined ? "RESERVE" : TYPES[held.type];
    return `${held.holders.join(" and ")} has reserved it (${how}) since ${date(held.sinceMs)}`;
  }
  const [job] = jobs;
  return job === undefined ? undefined : `job ${job.jobId} has it since ${date(job.sinceMs)}`;
}

const date = (ms: number | undefined): string => (ms === undefined ? "?" : new Date(ms).toISOString());
