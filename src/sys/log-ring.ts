// The latest lines of the log, in memory, for whoever stands in front of the machine: so many of all, and of those that
// matter so many more, so that a chatty hour does not push a warning out.

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogLine {
  /** Ascending, without gaps as long as nothing was dropped. */
  readonly serial: number;
  readonly level: LogLevel;
  /** As it was written: one JSON object. */
  readonly text: string;
}

export interface LogRingLimits {
  readonly lines: number;
  /** Of warn and worse. */
  readonly warnings: number;
  /** Characters of a line; what is longer is kept without its fields. */
  readonly chars: number;
}

const LIMITS: LogRingLimits = { lines: 2000, warnings: 500, chars: 2000 };
const WARN = LOG_LEVELS.indexOf("warn");

export class LogRing {
  readonly #limits: LogRingLimits;
  #lines: LogLine[] = [];
  #warnings: LogLine[] = [];
  #serial = 0;

  constructor(limits: LogRingLimits = LIMITS) {
    this.#limits = limits;
  }

  /** How many lines there were, and how many of them are kept. */
  get counts(): { readonly written: number; readonly kept: number } {
    return { written: this.#serial, kept: this.lines(0).length };
  }

  push(line: string): void {
    const level = levelOf(line);
    const entry = { serial: ++this.#serial, level, text: cut(line.trimEnd(), this.#limits.chars) };
    this.#lines = pushed(this.#lines, entry, this.#limits.lines);
    if (LOG_LEVELS.indexOf(level) >= WARN) this.#warnings = pushed(this.#warnings, entry, this.#limits.warnings);
  }

  /** In order, those after a serial number, of a level and worse. */
  lines(after: number, level: LogLevel = "trace"): readonly LogLine[] {
    const least = LOG_LEVELS.indexOf(level);
    const first = this.#lines[0]?.serial ?? Number.POSITIVE_INFINITY;
    return [...this.#warnings.filter(({ serial }) => serial < first), ...this.#lines].filter(
      (line) => line.serial > after && LOG_LEVELS.indexOf(line.level) >= least,
    );
  }
}

/** Cut back only when it is twice as long as it may be: a shift for each line would cost more than the line. */
function pushed(list: LogLine[], entry: LogLine, most: number): LogLine[] {
  list.push(entry);
  return list.length >= 2 * most ? list.slice(-most) : list;
}

/** A line that is not ours to read counts as worth keeping. */
function levelOf(line: string): LogLevel {
  const found = /"level":"([a-z]+)"/.exec(line.slice(0, 60))?.[1];
  return LOG_LEVELS.find((level) => level === found) ?? "error";
}

function cut(line: string, most: number): string {
  if (line.length <= most) return line;
  try {
    const { level, time, msg } = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify({ level, time, msg: String(msg).slice(0, most / 2), cut: true });
  } catch {
    return line.slice(0, most);
  }
}
