// The verbs of the local shell, as far as the daemon carries them out. Showing how they look is the client's.
import { jobPage, mediaFacts } from "../control/job-commands.js";
import { keyPage } from "../control/key-pages.js";
import { privilegeFacts, refusalFacts, type ServerRoom, sessionFacts } from "../control/server-commands.js";
import type { DeviceRegistry } from "../device/registry.js";
import { GantryError, messageOf } from "../sys/errors.js";
import * as cdb from "../wire/cdb.js";
import { decodeInquiry } from "../wire/inquiry.js";
import { copyRows } from "./copy-rows.js";
import { CARE_HANDLERS } from "./handlers-care.js";
import { DEVICE_HANDLERS } from "./handlers-device.js";
import { SHOW_HANDLERS } from "./handlers-show.js";
import { TRACE_HANDLERS } from "./handlers-trace.js";
import { showLog } from "./log-lines.js";
import { nameList } from "./names.js";
import type { Handler, ShellRoom } from "./room.js";

const INQUIRY_BYTES = 96;

export const HANDLERS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  // For the client itself: who answers, and what completion offers.
  ["greet", ({ bridgeId, broker }, { role }) => ({ bridge: bridgeId, role, broker: broker() })],
  ["names", (room, { args: [kind] }) => nameList(room, kind)],

  ["show system", ({ status }) => status()],
  ["show devices", ({ devices }) => showDevices(devices)],
  ["show media", ({ devices }) => mediaFacts(devices)],
  ["show keys", ({ ring }, { args: [after, limit] }) => keyPage(ring, after ?? "", pageLimit(limit))],
  [
    "tape load",
    ({ media }, { args: [drive, cartridge], options }) => loadTape(media, drive, cartridge, "create" in options),
  ],
  ["tape unload", ({ media }, { args: [drive] }) => media.unload(drive ?? "")],
  ["show reservations", ({ reservations }) => reservations.list()],
  ["show sessions", ({ servers }) => sessionFacts(servers)],
  ["show refusals", ({ servers }) => refusalFacts(servers)],
  ["show privileges", ({ servers }) => privilegeFacts(servers)],
  ["privilege move", ({ servers }, { args: [device, from, to] }) => movePrivilege(servers, device, from, to)],
  ["reservation clear", ({ reservations }, { args: [device] }) => reservations.clear(device ?? "")],
  ["show jobs", ({ jobs }, { args: [after, limit] }) => jobPage(jobs, undefined, after, pageLimit(limit))],
  ["show copies", ({ copies }) => copyRows(copies)],
  ["show job", ({ jobs }, { args: [jobId] }) => jobs.progress(required(jobId))],
  ["job cancel", ({ jobs }, { args: [jobId] }) => jobs.cancel(required(jobId))],
  ["job pause", ({ jobs }, { args: [jobId] }) => jobs.pause(required(jobId))],
  ["job resume", ({ jobs }, { args: [jobId] }) => jobs.resume(required(jobId))],
  ...SHOW_HANDLERS,
  ...DEVICE_HANDLERS,
  ...CARE_HANDLERS,
  ...TRACE_HANDLERS,
  ["show log", ({ logRing }, { options }) => showLog(logRing, options)],
]);

/** Jobs or keys in one answer: with the longest names there are, far less than a line holds. */
const PAGE = 500;

function pageLimit(text: string | undefined): number {
  if (text === undefined) return PAGE;
  const limit = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= PAGE) return limit;
  throw new GantryError("SHELL_VERB", `How many are shown at once has to be a whole number from 1 to ${PAGE}.`);
}

function loadTape(media: ShellRoom["media"], drive = "", cartridge = "", create: boolean): Promise<void> {
  if (/^[A-Za-z0-9._:-]{1,64}$/.test(cartridge)) return media.load(drive, cartridge, create);
  throw new GantryError("SHELL_VERB", "A cartridge has a name of 1 to 64 letters, digits, '.', '_', ':' or '-'.");
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
