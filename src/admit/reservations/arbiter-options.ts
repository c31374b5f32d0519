// What the arbiter needs of others: the data plane, who is there, a store, and what the configuration says.
import type { Plane } from "../../plane.js";
import type { Clock, Timers } from "../../sys/clock.js";
import type { Logger } from "../../sys/log.js";
import type { Store } from "../../sys/store.js";
import type { ReservationFacts } from "./facts.js";
import type { ReadingPolicy } from "./job-holds.js";
import type { PreemptionOptions, PreemptPolicy } from "./preemption.js";
import type { NexusText } from "./state.js";

/** One way of a server to a device. */
export interface ArbiterPath {
  readonly nexus: number;
  readonly lun: number;
  readonly unit: number;
  readonly text: NexusText;
}

export interface UnitFacts {
  readonly device: string;
  /** Peripheral device type. */
  readonly deviceType: number;
}

/** Who is there, as the keeper of paths knows it. */
export interface ArbiterPaths {
  /** Words of a nexus; undefined: it is gone. */
  nexusText(nexus: number): NexusText | undefined;
  /** undefined: it is gone. */
  unit(unit: number): UnitFacts | undefined;
  pathsTo(device: string): readonly ArbiterPath[];
  /** Relative target port identifiers through which the device is reached. */
  targetPorts(device: string): readonly number[];
  /** Compiles the verdicts of a device anew, with mask(), and sets them, before it returns. */
  changed(device: string): void;
}

export interface ArbiterPolicy {
  readonly reading: ReadingPolicy;
  readonly leaseMs: number;
  readonly preempt: PreemptPolicy;
}

export interface ArbiterOptions extends Omit<PreemptionOptions, "policy"> {
  readonly plane: Pick<Plane, "attention" | "abort" | "answer" | "pass" | "drain">;
  readonly paths: ArbiterPaths;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly policy: () => ArbiterPolicy;
  /** Something changed: for events and for jobs that wait. */
  readonly onChange: (facts: ReservationFacts, why: string) => void;
}
