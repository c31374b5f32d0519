// What the verbs need of the daemon. The daemon's object graph fits it (src/shell-room.ts); tests make rooms of their own.
import type { KeyRing } from "../admit/key-ring.js";
import type { MediaDesk } from "../admit/media-desk.js";
import type { ReservationDesk } from "../admit/reservations/desk.js";
import type { AllJobs } from "../control/all-jobs.js";
import type { ServerRoom } from "../control/server-commands.js";
import type { CopyBook } from "../copy-manager/book.js";
import type { DeviceRegistry } from "../device/registry.js";
import type { TraceDesk } from "../fabric/trace-desk.js";
import type { Config } from "../sys/config.js";
import type { LogRing } from "../sys/log-ring.js";
import type { Role } from "./verb.js";

/** How it stands with the connection to the broker. */
export interface BrokerFacts {
  readonly connected: boolean;
  /** Since when it is so. */
  readonly sinceMs: number;
  readonly reason?: string;
}

/** What the daemon's own place gives: its programs, its files, the machine. */
export interface ShellPlant {
  /** Changes nothing in force. @throws GantryError CONFIG_* */
  checkConfig(text: string, name: string): unknown;
  applyConfig(text: string, name: string): Promise<unknown>;
  /** @throws GantryError BOARD_* */
  board(what: "update" | "reboot", args: readonly string[]): Promise<string>;
  /** Writes a record to stable storage, reads it and takes it away again. */
  probeStore(): Promise<void>;
  /** Of the file system that a folder is on. */
  freeBytes(folder: string): number;
  crc32c(bytes: Uint8Array): number;
  /** Of the machine; nothing secret. */
  systemFacts(): Record<string, unknown>;
}

export interface ShellRoom {
  readonly plant: ShellPlant;
  readonly bridgeId: string;
  readonly broker: () => BrokerFacts;
  readonly media: Pick<MediaDesk, "load" | "unload">;
  readonly reservations: Pick<ReservationDesk, "list" | "clear">;
  readonly servers: ServerRoom & {
    /** Devices that servers may reach, and whether they can be reached. */
    units(): readonly {
      readonly device: string;
      readonly unit: number;
      readonly ready: boolean;
      readonly problem?: string;
    }[];
  };
  readonly jobs: AllJobs;
  readonly copies: Pick<CopyBook, "latest">;
  readonly ring: KeyRing;
  readonly devices: DeviceRegistry;
  /** Ids of the jobs that have a device now. */
  readonly jobsOn: (device: string) => readonly string[];
  readonly config: () => Config;
  readonly counters: () => Record<string, unknown>;
  readonly status: () => Record<string, unknown>;
  readonly logRing: LogRing;
  readonly traces: Pick<TraceDesk, "on" | "off" | "list" | "commands">;
}

/** One request, as a handler sees it. */
export interface Asked {
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, string>>;
  readonly role: Role;
}

export type Handler = (room: ShellRoom, asked: Asked) => unknown;
