// One line that changes in place while somebody watches, at a pace that the line bears: a tenth of what it carries. Goes
// back by backspaces or a carriage return, which every terminal that is not dumb understands, and writes only from
// where the text differs. On a dumb one, or into a pipe, each change is a line of its own, more seldom.
import type { Terminal } from "./terminal.js";

const SHARE = 10;
const LEAST_MS = 2000;
const LEAST_DUMB_MS = 10_000;

export class LiveLine {
  readonly #terminal: Terminal;
  readonly #write: (text: string) => void;
  #shown = "";

  constructor(terminal: Terminal, write: (text: string) => void) {
    this.#terminal = terminal;
    this.#write = write;
  }

  /** How long to wait before the next show(). */
  get pauseMs(): number {
    const { columns = 80, dumb } = this.#terminal;
    const lineMs = (columns * SHARE * 1000) / this.#terminal.bytesPerS();
    return Math.max(dumb ? LEAST_DUMB_MS : LEAST_MS, Math.ceil(lineMs));
  }

  show(text: string): void {
    const { columns = 80, dumb } = this.#terminal;
    // The last column is left alone: a terminal wraps when it is written, or with the next character, or not at all.
    const line = dumb ? text : text.slice(0, columns - 1);
    if (line === this.#shown) return;
    this.#write(dumb ? `${line}\n` : change(this.#shown, line));
    this.#shown = line;
  }

  /** What comes next starts on a line of its own. */
  end(): void {
    if (this.#shown !== "" && !this.#terminal.dumb) this.#write("\n");
    this.#shown = "";
  }
}

/** The shortest way from one text to the other, with the cursor at the end of each. */
export function change(from: string, to: string): string {
  let same = 0;
  while (same < from.length && same < to.length && from[same] === to[same]) same++;
  const rest = to.slice(same).padEnd(from.length - same);
  const tail = "\b".repeat(Math.max(0, from.length - to.length));
  const back = "\b".repeat(from.length - same) + rest + tail;
  const anew = `\r${to.padEnd(from.length)}${tail}`;
  return back.length <= anew.length ? back : anew;
}
