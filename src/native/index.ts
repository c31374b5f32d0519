// The data plane for TypeScript: the only door to the addon. It is loaded at first use, so that programs
// that never move a block need no compiled code.
import { getSystemErrorName } from "node:util";
import { addonFile, loadAddon } from "./addon.js";
import { bytes, integer, text, U32_MAX } from "./check.js";
import { createArena, startCopy } from "./copy.js";
import { openDisk, openTape } from "./device.js";
import { call, errnoOf } from "./failure.js";
import { openLu } from "./lu.js";
import { openPlane } from "./plane.js";
import { openTap } from "./tap.js";
import type { Native } from "./types.js";

export { type Program, ProgramBuilder } from "./program.js";
export * from "./records.js";
export * from "./types.js";
export { errnoOf };

const CRC_INPUT_MAX = 0x7fff_ffff;
const FD_MAX = 0x7fff_ffff;

/** Loads the data plane from a file, by default from where the build puts it. Throws NATIVE_FAILED. */
export function loadNative(file: string = addonFile()): Native {
  const addon = loadAddon(file);
  return {
    openDisk: (options) => openDisk(addon, options),
    openTape: (options) => openTape(addon, options),
    openLu: (target, tapped) => openLu(addon, target, tapped),
    openTap: () => openTap(addon),
    createArena: (size) => createArena(addon, size),
    startCopy: (options, onEvents) => startCopy(addon, options, onEvents),
    openPlane: (options, events) => openPlane(addon, options, events),
    listenForDevices: (onChange) => {
      const uevents = call(() => addon.ueventsStart(onChange));
      return () => call(() => addon.ueventsStop(uevents));
    },
    bsgUring: (path) => {
      const result = call(() => addon.bsgProbe(text("path", path)));
      return result === 0 || getSystemErrorName(result);
    },
    crc32c: (data, seed) =>
      call(() => addon.crc32c(bytes("data", data, 0, CRC_INPUT_MAX), integer("seed", seed, 0, U32_MAX, 0))),
    sdNotify: (state) => {
      const { NOTIFY_SOCKET: socket } = process.env;
      if (socket === undefined || socket === "") return false;
      call(() => addon.notify(text("NOTIFY_SOCKET", socket), text("state", state)));
      return true;
    },
    lockFile: (fd) => call(() => addon.lockFile(integer("fd", fd, 0, FD_MAX))),
  };
}

let loaded: Native | undefined;
const ready = (): Native => {
  loaded ??= loadNative();
  return loaded;
};

/** The data plane of this thread. */
export const native: Native = {
  openDisk: (options) => ready().openDisk(options),
  openTape: (options) => ready().openTape(options),
  openLu: async (target, tapped) => await ready().openLu(target, tapped),
  openTap: () => ready().openTap(),
  createArena: (size) => ready().createArena(size),
  startCopy: (options, onEvents) => ready().startCopy(options, onEvents),
  openPlane: (options, events) => ready().openPlane(options, events),
  listenForDevices: (onChange) => ready().listenForDevices(onChange),
  bsgUring: (path) => ready().bsgUring(path),
  crc32c: (data, seed) => ready().crc32c(data, seed),
  sdNotify: (state) => ready().sdNotify(state),
  lockFile: (fd) => ready().lockFile(fd),
};
