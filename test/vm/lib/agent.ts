// The host's end of the guest's agent (guest/agent.pl): scripts run in the guest, their output comes as it is written.
import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";

export interface Ended {
  readonly code: number;
  /** Number of the signal that ended it; 0: none. */
  readonly signal: number;
}

/** A script that runs in the guest. Emits "out" and "err" (Buffer) and, once, "end" (Ended). */
export class GuestProcess extends EventEmitter {
  readonly id: string;
  readonly #send: (head: string, body?: Buffer) => void;
  #out = Buffer.alloc(0);
  #err = Buffer.alloc(0);
  #ended: Ended | undefined;

  constructor(id: string, send: (head: string, body?: Buffer) => void) {
    super();
    this.id = id;
    this.#send = send;
  }

  get out(): Buffer {
    return this.#out;
  }

  get err(): Buffer {
    return this.#err;
  }

  get running(): boolean {
    return this.#ended === undefined;
  }

  /** Signal to the script and everything that it started in its own session. */
  kill(signal = 15): void {
    if (this.running) this.#send(`kill ${this.id} ${signal}\n`);
  }

  /** For its standard input; without bytes: end of input. */
  write(bytes: Buffer | string = ""): void {
    const body = Buffer.from(bytes);
    this.#send(`input ${this.id} ${body.length}\n`, body);
  }

  async end(): Promise<Ended> {
    if (this.#ended !== undefined) return this.#ended;
    const [ended] = (await once(this, "end")) as [Ended];
    return ended;
  }

  /** Resolves with the first output, standard or error, that matches; rejects when it ends without. */
  async said(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    const found = (): RegExpExecArray | null => pattern.exec(`${this.#out}${this.#err}`);
    const until = Date.now() + timeoutMs;
    for (;;) {
      const match = found();
      if (match !== null) return match;
      const problem = this.running ? (Date.now() > until ? "has not said" : undefined) : "ended without";
      if (problem !== undefined) throw new Error(`It ${problem} ${pattern}:\n${this.#out}${this.#err}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 200);
        for (const event of ["out", "err", "end"])
          this.once(event, () => {
            clearTimeout(timer);
            resolve();
          });
      });
    }
  }

  /** @internal */
  take(kind: "out" | "err", bytes: Buffer): void {
    if (kind === "out") this.#out = Buffer.concat([this.#out, bytes]);
    else this.#err = Buffer.concat([this.#err, bytes]);
    this.emit(kind, bytes);
  }

  /** @internal */
  finish(ended: Ended): void {
    this.#ended = ended;
    this.emit("end", ended);
  }
}

const HEAD = /^(\w+) (\w+)(?: (\d+))?(?: (\d+))?$/;

export class AgentLink {
  readonly #socket: Socket;
  readonly #processes = new Map<string, GuestProcess>();
  readonly #pings = new Map<string, () => void>();
  #input = Buffer.alloc(0);
  #next = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setMaxListeners(0);
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      this.#input = Buffer.concat([this.#input, bytes]);
      while (this.#take());
    });
    socket.on("close", () => {
      for (const one of this.#processes.values()) one.finish({ code: -1, signal: 0 });
      this.#processes.clear();
    });
  }

  start(script: string): GuestProcess {
    const id = this.#id();
    const process = new GuestProcess(id, (head, body) => this.#send(head, body));
    process.setMaxListeners(0);
    this.#processes.set(id, process);
    const body = Buffer.from(script);
    this.#send(`run ${id} ${body.length}\n`, body);
    return process;
  }

  /** Resolves as soon as the agent answers; asks again and again until then. */
  async ready(timeoutMs: number): Promise<void> {
    const id = this.#id();
    await new Promise<void>((resolve, reject) => {
      const again = setInterval(() => this.#send(`ping ${id}\n`), 100);
      const limit = setTimeout(() => over(() => reject(new Error("the guest does not answer"))), timeoutMs);
      const gone = (): void => over(() => reject(new Error("QEMU ended")));
      const over = (then: () => void): void => {
        clearInterval(again);
        clearTimeout(limit);
        this.#pings.delete(id);
        this.#socket.off("close", gone);
        then();
      };
      this.#socket.on("close", gone);
      this.#pings.set(id, () => over(resolve));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #id(): string {
    return `p${this.#next++}`;
  }

  #send(head: string, body?: Buffer): void {
    this.#socket.write(body === undefined ? head : Buffer.concat([Buffer.from(head), body]));
  }

  /** Takes one message from what has come; false: it is not whole yet. */
  #take(): boolean {
    const line = this.#input.indexOf("\n");
    if (line < 0) return false;
    const [, kind = "", id = "", first = "0", second = "0"] = HEAD.exec(this.#input.toString("latin1", 0, line)) ?? [];
    const length = kind === "out" || kind === "err" ? Number(first) : 0;
    if (this.#input.length < line + 1 + length) return false;
    const body = this.#input.subarray(line + 1, line + 1 + length);
    this.#input = this.#input.subarray(line + 1 + length);
    const process = this.#processes.get(id);
    if (kind === "out" || kind === "err") process?.take(kind, body);
    else if (kind === "pong") this.#pings.get(id)?.();
    else if (kind === "end") {
      this.#processes.delete(id);
      process?.finish({ code: Number(first), signal: Number(second) });
    }
    return true;
  }
}
