// What the verbs need of the daemon. The daemon's object graph fits it (src/shell-room.ts); tests make rooms of their own.
import type { KeyRing } from "../admit/key-ring.js";
import type { MediaDesk } from "../admit/media-desk.js";
import type { ReservationDesk } from "../admit/reservations/desk.js";
import type { AllJobs } from "../control/all-jobs.js";
import type { ServerRoom } from "../control/server-commands.js";
import type { CopyBook } from "../copy-manager/book.js";
import type { DeviceRegistry } from "../device/registry.js";
import type { LogRing } from "../sys/log-ring.js";
import type { Role } from "./verb.js";

/** How it stands with the connection to the broker. */
export interface BrokerFacts {
  readonly connected: boolean;
  /** Since when it is so. */
  readonly sinceMs: number;
  readonly reason?: string;
}

export interface ShellRoom {
  readonly bridgeId: string;
  readonly broker: () => BrokerFacts;
  readonly media: Pick<MediaDesk, "load" | "unload">;
  readonly reservations: Pick<ReservationDesk, "list" | "clear">;
  readonly servers: ServerRoom;
  readonly jobs: AllJobs;
  readonly copies: Pick<CopyBook, "latest">;
  readonly ring: KeyRing;
  readonly devices: DeviceRegistry;
  readonly status: () => Record<string, unknown>;
  readonly logRing: LogRing;
}

/** One request, as a handler sees it. */
export interface Asked {
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly role: Role;
}

export type Handler = (room: ShellRoom, asked: Asked) => unknown;
