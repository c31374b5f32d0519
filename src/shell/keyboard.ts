// Keys of a terminal, given to whoever they are for: the line editor while nothing runs, the pager while it shows
// something, and while a verb runs nobody: what is typed ahead waits, and Ctrl-C ends the verb. The terminal is in raw
// mode all the time, since keys that come while modes change get lost.
import { execFileSync } from "node:child_process";
import { PassThrough } from "node:stream";
import type { ReadStream } from "node:tty";

const CTRL_C = 0x03;
/** Line feed and carriage return; a tab, since completion asks the daemon and has to be done before the next key. */
const ENDS_PIECE: readonly number[] = [0x0a, 0x0d, 0x09];
/** Typed ahead; more than a person does. */
const AHEAD_MAX = 64 * 1024;

/** Raw mode takes XON and XOFF for keys; a terminal at a serial line says by them that it cannot take more. */
function keepFlowControl(): void {
  try {
    execFileSync("stty", ["ixon"], { stdio: ["inherit", "ignore", "ignore"] });
  } catch {
    // A machine without stty has hardly a terminal that needs it.
  }
}

export type KeyOwner =
  | { readonly kind: "editor" }
  | { readonly kind: "verb"; readonly interrupt: () => void }
  | { readonly kind: "pager"; readonly key: (byte: number) => void };

export class Keyboard {
  /** The line editor's input. */
  readonly editor = new PassThrough();
  readonly #input: ReadStream;
  #owner: KeyOwner = { kind: "editor" };
  #waiting = Buffer.alloc(0);
  #feeding = false;
  #ended = false;

  constructor(input: ReadStream) {
    this.#input = input;
  }

  start(): void {
    this.#input.setRawMode(true);
    keepFlowControl();
    this.#input.on("data", (bytes: Buffer) => this.#typed(bytes));
    // The line was cut: a modem hung up, or the window was closed.
    this.#input.on("end", () => this.#end());
    this.#input.on("error", () => this.#end());
    this.#input.resume();
  }

  stop(): void {
    this.#input.setRawMode(false);
    this.#input.pause();
  }

  /** From now on keys are for this one; what waits goes to it. Returns whose they were. */
  give(owner: KeyOwner): KeyOwner {
    const before = this.#owner;
    this.#owner = owner;
    if (owner.kind !== "verb") this.#feed();
    return before;
  }

  #typed(bytes: Buffer): void {
    const owner = this.#owner;
    if (owner.kind === "verb" && bytes.includes(CTRL_C)) {
      // As a terminal does it: an interrupt throws away what was typed before (termios(3), NOFLSH is off).
      this.#waiting = Buffer.from(bytes.subarray(bytes.lastIndexOf(CTRL_C) + 1));
      owner.interrupt();
      return;
    }
    this.#waiting = Buffer.concat([this.#waiting, bytes]).subarray(0, AHEAD_MAX);
    this.#feed();
  }

  /** Piece by piece, since a line may be a verb that takes the keys. */
  #feed(): void {
    if (this.#feeding) return;
    this.#feeding = true;
    while (this.#waiting.length > 0 && this.#owner.kind !== "verb") {
      const owner = this.#owner;
      const end = owner.kind === "pager" ? 0 : this.#waiting.findIndex((byte) => ENDS_PIECE.includes(byte));
      const count = end < 0 ? this.#waiting.length : end + 1;
      const piece = this.#waiting.subarray(0, count);
      this.#waiting = this.#waiting.subarray(count);
      if (owner.kind === "pager") owner.key(piece[0] ?? 0);
      // At once, not when the stream gets to it: the line that this ends decides who has the next one.
      else if (owner.kind === "editor") this.editor.emit("data", piece);
    }
    this.#feeding = false;
    if (this.#ended && this.#waiting.length === 0) this.editor.emit("end");
  }

  #end(): void {
    this.#ended = true;
    if (this.#owner.kind === "verb") this.#owner.interrupt();
    if (this.#owner.kind === "pager") this.#owner.key("q".charCodeAt(0));
    this.#feed();
  }
}
