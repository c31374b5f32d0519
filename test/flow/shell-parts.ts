// What the tests of the shell share: a daemon with a few emulated devices, and a terminal in front of it.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { type TerminalOptions, TerminalProcess } from "../lib/terminal.js";
import { tmpDir } from "../lib/tmp.js";
import { DaemonProcess, smallConfig } from "./daemon-parts.js";

export const SHELL = fileURLToPath(new URL("../../src/shell/main.js", import.meta.url));

export const ESCAPE = String.fromCharCode(0x1b);
/** What readline says besides text: to a column, and the rest of the screen away. */
export const MOVES = new RegExp(`${ESCAPE}\\[(\\d*G|0J|\\d*[ABCD])`, "g");

export interface Place {
  readonly directory: string;
  readonly socket: string;
  readonly daemon: DaemonProcess;
}

/** @param more goes on where [control] ends @param mend the whole text */
export async function place(t: ExecutionContext, more = "", mend = (text: string) => text): Promise<Place> {
  const directory = await tmpDir(t, "shell");
  const devices = ["disk0", "disk1"]
    .map(
      (name) =>
        `[[device]]\nname = "${name}"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, name)}"\nsize_mib = 4\n`,
    )
    .join("");
  const tape = `[[device]]\nname = "tape0"\ntype = "tape"\ntransport = "virtual"\npath = "${join(directory, "tapes")}"\n`;
  const daemon = new DaemonProcess(t, directory, mend(smallConfig(directory, more + devices + tape)));
  await daemon.logged("ready");
  return { directory, socket: join(directory, "state", "gantry.sock"), daemon };
}

export function sit(
  t: ExecutionContext,
  { directory, socket }: Place,
  options: TerminalOptions = {},
  args: string[] = [],
) {
  return new TerminalProcess(t, [process.execPath, SHELL, "--socket", socket, ...args], {
    ...options,
    env: { XDG_STATE_HOME: join(directory, "home"), ...options.env },
  });
}
