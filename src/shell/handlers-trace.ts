// The traces of servers' commands, for the shell: on, off, and what was recorded, decoded.
import type { DeviceClass } from "../admit/key.js";
import type { TracedCommand } from "../fabric/trace-desk.js";
import { toHex } from "../wire/hex.js";
import { endInWords } from "../wire/sense.js";
import { cdbWords } from "./cdb-words.js";
import { sourceOf } from "./device-look.js";
import { count } from "./log-lines.js";
import type { Asked, Handler, ShellRoom } from "./room.js";
import type { TraceAnswer, TraceLine } from "./trace-lines.js";

const SECONDS = { usual: 600, most: 86_400 } as const;
/** In one answer: far less than a line between daemon and client holds. */
const MOST = 4096;

export const TRACE_HANDLERS: readonly (readonly [string, Handler])[] = [
  [
    "trace on",
    ({ traces }, { args: [what = ""], options }) =>
      traces.on(what, count("seconds", options.seconds ?? String(SECONDS.usual), 1, SECONDS.most)),
  ],
  ["trace off", ({ traces }, { args: [what] }) => traces.off(what)],
  ["trace show", show],
];

function show({ traces, devices }: ShellRoom, { options }: Asked): TraceAnswer {
  const { commands, lost } = traces.commands(count("after", options.after ?? "0", 0));
  const last = count("last", options.last ?? String(MOST), 1);
  const types = new Map(devices.all().map(({ name, type }) => [name, type]));
  return {
    lines: commands.slice(-Math.min(last, MOST)).map((command) => lineOf(command, types.get(command.device))),
    lost,
    on: traces.list().map(({ what }) => what),
  };
}

function lineOf({ cdb, sense, unit: _unit, ...command }: TracedCommand, type: DeviceClass | undefined): TraceLine {
  return {
    ...command,
    command: cdbWords(cdb, type),
    ended: endInWords({ ...command, sense }, sourceOf(type ?? "")),
    cdb: toHex(cdb),
    sense: toHex(sense),
  };
}
