// QEMU's machine protocol: one command at a time, answered by line.
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

type Answer = { readonly return?: unknown; readonly error?: { readonly desc: string }; readonly event?: string };

/** Connects to a Unix socket that a program is about to make. */
export async function connectSoon(path: string, ended: () => boolean, timeoutMs = 20_000): Promise<Socket> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      socket.destroy();
      if (ended() || Date.now() > until) throw error;
      await sleep(10);
    }
  }
}

export class Qmp {
  readonly #socket: Socket;
  #rest = "";
  #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", () => {});
    socket.on("close", () => this.#waiting?.reject(new Error("QEMU ended")));
  }

  static async connect(path: string, ended: () => boolean): Promise<Qmp> {
    const qmp = new Qmp(await connectSoon(path, ended));
    await qmp.command("qmp_capabilities");
    return qmp;
  }

  /** @throws Error with QEMU's own words */
  command(execute: string, given: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const answer = this.#tail.then(
      () =>
        new Promise<unknown>((resolve, reject) => {
          this.#waiting = {
            resolve,
            reject: (error) => reject(new Error(`QMP ${execute}: ${error.message}`)),
          };
          this.#socket.write(`${JSON.stringify({ execute, arguments: given })}\n`);
        }),
    );
    this.#tail = answer.catch(() => {});
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const answer = JSON.parse(line) as Answer;
      const waiting = this.#waiting;
      if (waiting === undefined || (answer.error === undefined && !("return" in answer))) continue;
      this.#waiting = undefined;
      if (answer.error === undefined) waiting.resolve(answer.return);
      else waiting.reject(new Error(answer.error.desc));
    }
  }
}
