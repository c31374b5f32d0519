// A way to a port through which bytes are counted, in both directions: what really went over the network, whoever asks.
import net from "node:net";
import type { ExecutionContext } from "ava";

export class CountingWay {
  #bytes = 0;
  readonly port: number;

  private constructor(server: net.Server, to: number) {
    this.port = (server.address() as net.AddressInfo).port;
    server.on("connection", (near) => this.#join(near, to));
  }

  /** Closed when the test ends. */
  static async open(t: ExecutionContext<unknown>, to: number): Promise<CountingWay> {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => void server.close());
    return new CountingWay(server, to);
  }

  get bytes(): number {
    return this.#bytes;
  }

  #join(near: net.Socket, to: number): void {
    const far = net.connect(to, "127.0.0.1");
    for (const [from, other] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (data) => (this.#bytes += data.length));
      from.on("error", () => other.destroy());
      from.on("close", () => other.destroy());
      from.pipe(other);
    }
  }
}
