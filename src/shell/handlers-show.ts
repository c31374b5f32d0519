// What the bridge knows by itself: paths, drives, shelves, counters, configuration.
import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { PathFacts } from "../device/discovery/device-paths.js";
import { isIllegalRequest } from "../device/failure.js";
import type { DeviceConfig } from "../sys/config.js";
import { messageOf } from "../sys/errors.js";
import type { Row } from "../sys/text.js";
import * as cdb from "../wire/cdb.js";
import { decodeElementStatus } from "../wire/element-status.js";
import { decodeModeSense6, tapeParameter } from "../wire/mode.js";
import { STATUS } from "../wire/names.js";
import { decodeShortPosition } from "../wire/tape.js";
import { configView } from "./config-view.js";
import { LOOK_MS, looking, readiness, usersOf } from "./device-look.js";
import type { Handler, ShellRoom } from "./room.js";

const ELEMENT_BYTES = 256 * 1024;
const MODE_BYTES = 252;

export const SHOW_HANDLERS: readonly (readonly [string, Handler])[] = [
  ["show paths", showPaths],
  ["show tape", (room) => Promise.all(tapes(room).map((drive) => tapeRow(room, drive)))],
  ["show library", showLibrary],
  ["show counters", ({ counters }) => counters()],
  ["show config", ({ config }) => configView(config())],
];

function showPaths({ devices, servers }: ShellRoom): readonly Row[] {
  const units = new Map(servers.units().map((unit) => [unit.device, unit]));
  const known = devices.paths();
  return devices.all().flatMap((device) => {
    const unit = units.get(device.name);
    const { problem } = unit ?? {};
    const ways = wayOf(device) ?? known.filter((path) => path.device === device.name).map(pathRow);
    return (ways.length === 0 ? [{ path: "none", state: "not there" }] : ways).map((way) => ({
      device: device.name,
      transport: device.transport,
      ...way,
      ...(unit === undefined ? {} : { forServers: unit.ready ? "ready" : "not ready" }),
      ...(problem === undefined ? {} : { problem }),
    }));
  });
}

/** Undefined: it is known by its identity, and has the paths that were found. */
function wayOf(device: DeviceConfig): readonly Row[] | undefined {
  if (device.transport === "sg") return device.path === undefined ? undefined : [sgWay(device.path)];
  if (device.transport === "virtual") return [{ path: device.path, state: "in this process" }];
  return [{ path: `${device.portal} ${device.target} LUN ${device.lun}`, initiator: device.initiator, state: "" }];
}

function pathRow({ path, address, state, sinceMs, failures }: PathFacts): Row {
  return { path: `${path} ${address}`, state, sinceMs, failures };
}

/** What the kernel's SCSI mid layer says of a node: its address (host:channel:target:LUN) and its state. */
function sgWay(path: string): Row {
  try {
    const folder = realpathSync(join("/sys/class/scsi_generic", basename(realpathSync(path)), "device"));
    return { path: `${path} ${basename(folder)}`, state: readFileSync(join(folder, "state"), "utf8").trim() };
  } catch (error) {
    return { path, state: "not there", problem: messageOf(error) };
  }
}

const tapes = ({ devices }: ShellRoom): readonly string[] =>
  devices
    .all()
    .filter(({ type }) => type === "tape")
    .map(({ name }) => name);

/** A drive that is in use is left alone: what it would say is old by the time that somebody reads it. */
async function tapeRow(room: ShellRoom, drive: string): Promise<Row> {
  const { loaded } = room.devices.cartridges(drive);
  const usedBy = usersOf(room, drive);
  const known = { drive, cartridge: loaded, usedBy };
  if (usedBy.length > 0) return { ...known, state: "in use" };
  try {
    return await looking(room, drive, async (unit) => {
      const state = await readiness(unit, "tape");
      if (state !== "ready") return { ...known, state };
      const position = await unit.command(cdb.readPosition(0), { dataIn: 20, timeoutMs: LOOK_MS });
      const mode = await unit.command(cdb.modeSense6(0x3f, MODE_BYTES), {
        dataIn: MODE_BYTES,
        timeoutMs: LOOK_MS,
        accept: isIllegalRequest,
      });
      const { object, partition } = decodeShortPosition(position.data);
      const writeProtected =
        mode.status === STATUS.GOOD
          ? tapeParameter(decodeModeSense6(mode.data).deviceSpecific).writeProtected
          : undefined;
      return { ...known, state, object, partition, writeProtected };
    });
  } catch (error) {
    return { ...known, state: messageOf(error) };
  }
}

/** Shelves of emulated drives are folders; of a changer, its elements as it remembers them (CURDATA). */
async function showLibrary(room: ShellRoom): Promise<readonly Row[]> {
  const changers = room.devices.all().filter(({ type }) => type === "changer");
  const elements = await Promise.all(changers.map(({ name }) => elementRows(room, name)));
  return [...tapes(room).flatMap((drive) => shelfRows(room, drive)), ...elements.flat()];
}

function shelfRows({ devices }: ShellRoom, drive: string): readonly Row[] {
  const config = devices.config(drive);
  if (config.transport !== "virtual") return [];
  const { names, loaded } = devices.cartridges(drive);
  return names.map((cartridge) => ({
    cartridge,
    place: cartridge === loaded ? "in the drive" : "on the shelf",
    drive,
    bytes: statSync(join(config.path, `${cartridge}.tap`), { throwIfNoEntry: false })?.size,
  }));
}

async function elementRows(room: ShellRoom, changer: string): Promise<readonly Row[]> {
  try {
    return await looking(room, changer, async (unit) => {
      const { data } = await unit.command(cdb.readElementStatus({ currentData: true }, ELEMENT_BYTES), {
        dataIn: ELEMENT_BYTES,
        timeoutMs: LOOK_MS,
      });
      return decodeElementStatus(data)
        .filter(({ full, exception }) => full || exception !== undefined)
        .map(({ volume, type, address, exception }) => ({
          cartridge: volume ?? "(no label)",
          place: `${changer}: ${type} ${address}${exception === undefined ? "" : `, ${exception}`}`,
          drive: "",
        }));
    });
  } catch (error) {
    return [{ cartridge: "", place: `${changer}: ${messageOf(error)}`, drive: "" }];
  }
}
