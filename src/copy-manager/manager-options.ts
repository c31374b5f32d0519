// What the copy manager gets from the bridge, and tells it.
import type { Plane, WrittenExtent } from "../plane.js";
import type { Clock } from "../sys/clock.js";
import type { Logger } from "../sys/log.js";
import type { CopyRefusal } from "../wire/xcopy/refusal.js";
import type { ActiveCopy } from "./active.js";
import type { RefusedCopy } from "./refused-copy.js";
import type { SeenPath } from "./resolver.js";
import type { TokenPlant } from "./run-tokens.js";

/** A session, as the keeper of paths knows it. */
export interface CopySession {
  /** The I_T nexus in words. */
  readonly text: string;
  readonly initiator: string;
  readonly paths: () => ReadonlyMap<number, SeenPath>;
}

export interface CopyManagerOptions {
  readonly plane: Pick<Plane, "answer" | "pass">;
  readonly plant: Omit<TokenPlant, "reserveOut" | "onWrote">;
  /** undefined: it is gone. */
  readonly session: (nexus: number) => CopySession | undefined;
  readonly typeOf: (device: string) => "disk" | "tape" | "changer";
  readonly isEmulated: (device: string) => boolean;
  /** PERSISTENT RESERVE OUT of that nexus, to a device that it sees. */
  readonly reserveOut: (
    nexus: number,
    device: string,
    cdb: Uint8Array,
    list: Uint8Array,
  ) => Promise<{ readonly status: number; readonly sense: Uint8Array }>;
  readonly onWrote: (device: string, extents: readonly WrittenExtent[]) => void;
  readonly onBegin: (copy: ActiveCopy, initiator: string) => void;
  /** @param failure absent: it did what was asked for */
  readonly onEnd: (copy: ActiveCopy, initiator: string, failure?: CopyRefusal) => void;
  /** A copy was asked for and did not begin. */
  readonly onRefused?: (refused: RefusedCopy) => void;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Logger;
}
