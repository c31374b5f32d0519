// What completion offers: names that the daemon knows.
import { GantryError } from "../sys/errors.js";
import type { ShellRoom } from "./room.js";
import { NAME_KINDS, type NameKind } from "./verb.js";

/** More than anybody reads. */
const MOST = 200;

const SOURCES: Readonly<Record<NameKind, (room: ShellRoom) => readonly string[]>> = {
  device: ({ devices }) => devices.all().map(({ name }) => name),
  drive: ({ devices }) => drives(devices),
  cartridge: ({ devices }) => drives(devices).flatMap((name) => devices.cartridges(name).names),
  job: ({ jobs }) => [...jobs.list()].sort((a, b) => b.submittedMs - a.submittedMs).map(({ jobId }) => jobId),
  initiator: ({ servers }) => servers.sessions().map(({ initiator }) => initiator),
  "device-or-initiator": (room) => [...SOURCES.device(room), ...SOURCES.initiator(room)],
};

const drives = (devices: ShellRoom["devices"]): readonly string[] =>
  devices
    .all()
    .filter(({ type }) => type === "tape")
    .map(({ name }) => name);

export function nameList(room: ShellRoom, kind: string | undefined): readonly string[] {
  const known = NAME_KINDS.find((one) => one === kind);
  if (known === undefined) throw new GantryError("SHELL_VERB", `Names are of a ${NAME_KINDS.join(", a ")}.`);
  return [...new Set(SOURCES[known](room))].slice(0, MOST);
}
