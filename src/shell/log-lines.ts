// Lines of the log for people: "22:55:44 warn  not connected to the MQTT server reason=ECONNREFUSED".
import { GantryError } from "../sys/errors.js";
import { LOG_LEVELS, type LogLine, type LogRing } from "../sys/log-ring.js";

export interface LogAnswer {
  readonly lines: readonly LogLine[];
}

const LAST = 50;
/** In one answer. */
const MOST = 1000;

/** Options: `level`, `last`, and for a client that follows `after`, the serial number of the last line it has. */
export function showLog(ring: LogRing, options: Readonly<Record<string, string>>): LogAnswer {
  const level = LOG_LEVELS.find((one) => one === (options.level ?? "trace"));
  if (level === undefined)
    throw new GantryError(
      "SHELL_VERB",
      `There is no level "${options.level?.slice(0, 20)}": ${LOG_LEVELS.join(", ")}.`,
    );
  if (options.after !== undefined) return { lines: ring.lines(count("after", options.after, 0), level).slice(-MOST) };
  return { lines: ring.lines(0, level).slice(-Math.min(MOST, count("last", options.last ?? String(LAST), 1))) };
}

export function count(name: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : -1;
  if (value >= least && value <= most) return value;
  throw new GantryError(
    "SHELL_VERB",
    `--${name} has to be a whole number of at least ${least}${most < Number.MAX_SAFE_INTEGER ? ` and at most ${most}` : ""}.`,
  );
}

/** Of a line, what people read; everything is in --json. */
export function logLineText({ level, text }: LogLine): string {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return text;
  }
  const { time, msg, level: _level, bridge: _bridge, ...fields } = line;
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`);
  const at = typeof time === "string" ? time.slice(5, 19).replace("T", " ") : "";
  return [at, level.padEnd(5), String(msg ?? ""), ...rest].join(" ").trimEnd();
}

function fieldText(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const { message } = value as { readonly message?: unknown };
  return typeof message === "string" ? `"${message}"` : JSON.stringify(value);
}
