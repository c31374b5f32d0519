// Holding a file system frozen, under two watchdogs (csrc/agent/freeze.c). While it is frozen this process
// must write nothing to it: a writer hangs, and cannot even be killed, until the thaw.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { GantryError } from "../../src/sys/errors.js";
import { type Helper, helperPath } from "./helper.js";

export interface FreezeOptions {
  /** A directory of the file system. */
  readonly mountPoint: string;
  /** Thaws after this many milliseconds, whatever happens: 1 to 86400000. */
  readonly watchdogMs: number;
  /** Path of gantry-fsmap. */
  readonly helper?: string;
}

export class Freeze {
  readonly #child: Helper;
  readonly #reason: Promise<string>;
  #asked = false;

  private constructor(child: Helper, reason: Promise<string>) {
    this.#child = child;
    this.#reason = reason;
  }

  /** Process id of the keeper, for tests and logs. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Freezes. Throws AGENT_FREEZE when it cannot be done, AGENT_HELPER. */
  static async start(options: FreezeOptions): Promise<Freeze> {
    const program = await helperPath(options.helper);
    const child = spawn(program, ["freeze", options.mountPoint, "--watchdog-ms", String(options.watchdogMs)], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.on("error", () => undefined); // it is gone: seen by #reason
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-4096)));
    const lines = createInterface({ input: child.stdout });
    let frozen: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      frozen = resolve;
    });
    let reason = "lost";
    lines.on("line", (line) => {
      if (line === "frozen") frozen();
      else if (line.startsWith("thawed: ")) reason = line.slice("thawed: ".length);
    });
    const ended = once(child, "close").then(
      () => reason,
      () => "lost",
    );
    const first = await Promise.race([begun.then(() => "frozen" as const), ended]);
    if (first === "frozen") return new Freeze(child, ended);
    throw new GantryError("AGENT_FREEZE", `${options.mountPoint} cannot be frozen: ${stderr.trim() || first}`);
  }

  /** Resolves with the reason ("asked", "watchdog", "signal", "lost") when it is no longer frozen. */
  get thawed(): Promise<string> {
    return this.#reason;
  }

  /** Thaws. Throws AGENT_FREEZE when it had been thawed before: what was mapped meanwhile may be stale. */
  async thaw(): Promise<void> {
    if (!this.#asked) this.#child.stdin.end();
    this.#asked = true;
    const reason = await this.#reason;
    if (reason === "asked") return;
    throw new GantryError("AGENT_FREEZE", `The file system did not stay frozen until the end (${reason}).`, {
      details: { reason },
    });
  }
}
