// A way between a bridge and its MQTT server that tests can cut, freeze, narrow, and whose packets they can double,
// swap, hold back and drop. Packets are passed on as the bytes that came: nothing is encoded anew.
import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** MQTT 5.0 2.1.2: types of control packets. */
export const CONNECT = 1;
export const CONNACK = 2;
export const PUBLISH = 3;
export const PUBACK = 4;

/** MQTT 5.0 3.3.1.1. */
const DUP = 0x08;

export type Direction = "to-server" | "to-bridge";

/** What becomes of one packet: those that are returned go on, in this order. */
export type Edit = (packet: Buffer) => readonly Buffer[];

/** What happens to whoever connects. */
export type Door = "open" | "refuse" | "silent" | "garbage" | "say-no";

export const typeOf = (packet: Buffer): number => (packet[0] ?? 0) >> 4;

/** Whole packets out of bytes that come in pieces. */
export class Packets {
  #rest: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const packets: Buffer[] = [];
    for (let size = sizeOf(this.#rest); size !== undefined && size <= this.#rest.length; size = sizeOf(this.#rest)) {
      packets.push(this.#rest.subarray(0, size));
      this.#rest = this.#rest.subarray(size);
    }
    return packets;
  }
}

/** MQTT 5.0 1.5.5: the length is a variable byte integer; undefined when not all of it is there. */
function sizeOf(bytes: Buffer): number | undefined {
  let length = 0;
  for (let at = 1; at <= 4; at++) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** (at - 1);
    if (byte < 0x80) return at + 1 + length;
  }
  throw new Error("no MQTT packet");
}

/** Every PUBLISH twice; the second as the sender would repeat it, or just so. */
export const twice =
  (dup: boolean): Edit =>
  (packet) => {
    if (typeOf(packet) !== PUBLISH) return [packet];
    const second = Buffer.from(packet);
    if (dup) second[0] = (second[0] ?? 0) | DUP;
    return [packet, second];
  };

export const without =
  (type: number): Edit =>
  (packet) =>
    typeOf(packet) === type ? [] : [packet];

/** Of every two PUBLISH packets the second goes first. */
export function swapped(): Edit {
  let held: Buffer | undefined;
  return (packet) => {
    if (typeOf(packet) !== PUBLISH) return [packet];
    if (held === undefined) {
      held = packet;
      return [];
    }
    const first = held;
    held = undefined;
    return [packet, first];
  };
}

interface Leg {
  readonly from: net.Socket;
  readonly to: net.Socket;
}

export class ControlProxy {
  readonly #server: net.Server;
  readonly #upstream: number;
  readonly #legs = new Set<Leg>();
  readonly #edits = new Map<Direction, Edit>();
  /** Pieces that wait while the way is frozen. */
  readonly #held: (() => void)[] = [];
  #frozen = false;
  door: Door = "open";
  /** When each connection came, by the monotonic clock. */
  readonly arrivals: number[] = [];
  /** Milliseconds before each piece goes on. */
  latencyMs = 0;
  /** Largest piece that goes on in that time; 0: any. */
  pieceBytes = 0;

  private constructor(server: net.Server, upstream: number) {
    this.#server = server;
    this.#upstream = upstream;
  }

  static async start(upstream: number): Promise<ControlProxy> {
    const server = net.createServer();
    const proxy = new ControlProxy(server, upstream);
    server.on("connection", (socket) => proxy.#accept(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  edit(direction: Direction, edit: Edit | undefined): void {
    if (edit === undefined) this.#edits.delete(direction);
    else this.#edits.set(direction, edit);
  }

  /** Breaks every connection, with RST or with FIN. */
  cut(how: "reset" | "end" = "reset"): void {
    for (const { from, to } of this.#legs) {
      for (const socket of [from, to]) {
        if (how === "reset") socket.resetAndDestroy();
        else socket.end();
      }
    }
  }

  /** Nothing goes through any more, and nobody is told; who connects now is taken and never answered. */
  freeze(): void {
    this.#frozen = true;
  }

  /** What was held goes on, where there still is somebody to take it. */
  thaw(): void {
    this.#frozen = false;
    for (const pass of this.#held.splice(0)) pass();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(from: net.Socket): void {
    this.arrivals.push(performance.now());
    if (this.door === "refuse") {
      from.resetAndDestroy();
      return;
    }
    const to = this.door === "open" ? net.connect(this.#upstream, "127.0.0.1") : new net.Socket();
    const leg = { from, to };
    this.#legs.add(leg);
    for (const socket of [from, to]) {
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        this.#legs.delete(leg);
        for (const other of [from, to]) if (!other.destroyed) other.end();
      });
    }
    if (this.door === "open") {
      this.#pass("to-server", from, to);
      this.#pass("to-bridge", to, from);
    } else if (this.door === "garbage") from.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    else if (this.door === "say-no") {
      // MQTT 5.0 3.2.2.2, 3.1.1 3.2.2.3: not authorized, in the words of the version that is asked in.
      from.once("data", (connect) => {
        const five = connect.includes(Buffer.from([0x4d, 0x51, 0x54, 0x54, 5]));
        from.end(Buffer.from(five ? [0x20, 3, 0, 0x87, 0] : [0x20, 2, 0, 5]));
      });
    } else from.resume();
  }

  #pass(direction: Direction, from: net.Socket, to: net.Socket): void {
    const packets = new Packets();
    let turn: Promise<void> = Promise.resolve();
    from.on("data", (bytes: Buffer) => {
      const out = packets.push(bytes).flatMap((packet) => this.#edits.get(direction)?.(packet) ?? [packet]);
      if (out.length > 0) turn = turn.then(() => this.#send(to, Buffer.concat(out)));
    });
  }

  async #send(to: net.Socket, bytes: Buffer): Promise<void> {
    const piece = this.pieceBytes === 0 ? bytes.length : this.pieceBytes;
    for (let at = 0; at < bytes.length; at += piece) {
      if (this.latencyMs > 0) await sleep(this.latencyMs);
      if (this.#frozen) await new Promise<void>((resolve) => this.#held.push(resolve));
      if (!to.destroyed) to.write(bytes.subarray(at, at + piece));
    }
  }
}
