// The verbs of the local shell, as far as the daemon carries them out. Showing how they look is the client's.
import type { KeyRing } from "../admit/key-ring.js";
import type { MediaDesk } from "../admit/media-desk.js";
import type { ReservationDesk } from "../admit/reservations/desk.js";
import type { AllJobs } from "../control/all-jobs.js";
import { jobPage, mediaFacts } from "../control/job-commands.js";
import { keyPage } from "../control/key-pages.js";
import { privilegeFacts, refusalFacts, type ServerRoom, sessionFacts } from "../control/server-commands.js";
import type { CopyBook } from "../copy-manager/book.js";
import type { DeviceRegistry } from "../device/registry.js";
import { GantryError, messageOf } from "../sys/errors.js";
import * as cdb from "../wire/cdb.js";
import { decodeInquiry } from "../wire/inquiry.js";
import { copyRows } from "./copy-rows.js";

export interface ShellRoom {
  readonly media: Pick<MediaDesk, "load" | "unload">;
  readonly reservations: Pick<ReservationDesk, "list" | "clear">;
  readonly servers: ServerRoom;
  readonly jobs: AllJobs;
  readonly copies: Pick<CopyBook, "latest">;
  readonly ring: KeyRing;
  readonly devices: DeviceRegistry;
  readonly status: () => Record<string, unknown>;
}

const INQUIRY_BYTES = 96;

type Verb = (room: ShellRoom, args: readonly string[]) => unknown;

export const VERBS: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  ["show system", ({ status }) => status()],
  ["show devices", ({ devices }) => showDevices(devices)],
  ["show media", ({ devices }) => mediaFacts(devices)],
  ["show keys", ({ ring }, [after, limit]) => keyPage(ring, after ?? "", pageLimit(limit))],
  ["tape load", ({ media }, [drive, cartridge, create]) => loadTape(media, drive, cartridge, create)],
  ["tape unload", ({ media }, [drive]) => media.unload(drive ?? "")],
  ["show reservations", ({ reservations }) => reservations.list()],
  ["show sessions", ({ servers }) => sessionFacts(servers)],
  ["show refusals", ({ servers }) => refusalFacts(servers)],
  ["show privileges", ({ servers }) => privilegeFacts(servers)],
  ["privilege move", ({ servers }, [device, from, to]) => movePrivilege(servers, device, from, to)],
  ["reservation clear", ({ reservations }, [device, sure]) => clearReservation(reservations, device, sure)],
  ["show jobs", ({ jobs }, [after, limit]) => jobPage(jobs, undefined, after, pageLimit(limit))],
  ["show copies", ({ copies }) => copyRows(copies)],
  ["show job", ({ jobs }, [jobId]) => jobs.progress(required(jobId))],
  ["job cancel", ({ jobs }, [jobId]) => jobs.cancel(required(jobId))],
  ["job pause", ({ jobs }, [jobId]) => jobs.pause(required(jobId))],
  ["job resume", ({ jobs }, [jobId]) => jobs.resume(required(jobId))],
]);

/** Jobs or keys in one answer: with the longest names there are, far less than a line holds. */
const PAGE = 500;

function pageLimit(text: string | undefined): number {
  if (text === undefined) return PAGE;
  const limit = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= PAGE) return limit;
  throw new GantryError("SHELL_VERB", `How many are shown at once has to be a whole number from 1 to ${PAGE}.`);
}

function loadTape(media: ShellRoom["media"], drive = "", cartridge = "", create: string | undefined): Promise<void> {
  if (/^[A-Za-z0-9._:-]{1,64}$/.test(cartridge)) return media.load(drive, cartridge, create === "create");
  throw new GantryError("SHELL_VERB", "A cartridge has a name of 1 to 64 letters, digits, '.', '_', ':' or '-'.");
}

/** Whoever holds the device may be in the middle of writing: the name is to be said twice. */
function clearReservation(desk: ShellRoom["reservations"], device: string | undefined, sure: string | undefined) {
  if (device === undefined) throw new GantryError("SHELL_VERB", "This verb needs the name of a device.");
  if (sure === device) return desk.clear(device);
  throw new GantryError(
    "SHELL_VERB",
    `Servers that hold ${device} lose it in the middle of what they do; say so with --confirm ${device}.`,
  );
}

function movePrivilege(servers: ServerRoom, device?: string, from?: string, to?: string) {
  if (device !== undefined && from !== undefined && to !== undefined) return servers.movePrivilege(device, from, to);
  throw new GantryError("SHELL_VERB", "This verb needs a device, who writes on it now, and who is to.");
}

function required(jobId: string | undefined): string {
  if (jobId !== undefined) return jobId;
  throw new GantryError("SHELL_VERB", "This verb needs a job id; `gantry show jobs` lists them.");
}

/** Asks every device who it is; one that does not answer is shown with its reason. */
function showDevices(devices: DeviceRegistry): Promise<unknown> {
  return Promise.all(
    devices.all().map(async ({ name, type, transport }) => {
      try {
        const unit = await devices.openUnit(name);
        try {
          const { data } = await unit.command(cdb.inquiry(INQUIRY_BYTES), { dataIn: INQUIRY_BYTES });
          const { vendor, product, revision } = decodeInquiry(data);
          return { name, type, transport, vendor, product, revision };
        } finally {
          await unit.close();
        }
      } catch (error) {
        return { name, type, transport, problem: messageOf(error) };
      }
    }),
  );
}
