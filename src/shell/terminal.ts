// What is in front of us: a terminal or a pipe, how wide and high, how fast, and what it understands. No colour, no
// cursor addressing: it may be a serial line to something older than we think.
import { execFileSync } from "node:child_process";

/** A serial line has no size of its own: the driver says 0 by 0 (tty_ioctl(4), TIOCGWINSZ). */
const USUAL = { columns: 80, rows: 24 } as const;
/** Bits per byte on a serial line: 8 and the start and stop bits. */
const BITS = 10;

export interface Terminal {
  /** Both ends are a terminal: there is somebody who can be asked. */
  readonly interactive: boolean;
  /** Columns of the output; undefined: it is no terminal, lines are as long as they are. */
  readonly columns: number | undefined;
  readonly rows: number;
  /** It cannot go back on a line. */
  readonly dumb: boolean;
  /** Bytes that it takes in a second. */
  bytesPerS(): number;
}

type Output = { readonly isTTY?: boolean; columns?: number; rows?: number };

export function terminalOf(input: { readonly isTTY?: boolean }, output: Output, term = process.env.TERM): Terminal {
  const isTTY = output.isTTY === true;
  // readline divides by them.
  if (isTTY && !output.columns) output.columns = Number(process.env.COLUMNS) || USUAL.columns;
  if (isTTY && !output.rows) output.rows = Number(process.env.LINES) || USUAL.rows;
  let speed: number | undefined;
  return {
    interactive: isTTY && input.isTTY === true,
    get columns() {
      return isTTY ? (output.columns ?? USUAL.columns) : undefined;
    },
    get rows() {
      return output.rows ?? USUAL.rows;
    },
    dumb: !isTTY || term === undefined || term === "" || term === "dumb",
    bytesPerS() {
      speed ??= isTTY ? ttySpeed() : Number.POSITIVE_INFINITY;
      return speed / BITS;
    },
  };
}

/** Bits per second as the driver has it; a terminal that is no line says something harmless (38400). */
function ttySpeed(): number {
  try {
    const said = execFileSync("stty", ["speed"], { stdio: ["inherit", "pipe", "ignore"], encoding: "utf8" });
    const speed = Number(said.trim());
    return speed > 0 ? speed : 9600;
  } catch {
    return 9600;
  }
}
