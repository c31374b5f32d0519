// MQTT servers that are none, or will not have us: the bridge keeps trying, further and further apart, says why it is
// not connected, and is online as soon as there is a server.
import { once } from "node:events";
import net from "node:net";
import test, { type ExecutionContext } from "ava";
import { Link, type LinkOptions } from "../../src/control/link.js";
import { ControlProxy, type Door } from "../lib/control-proxy.js";
import { startMosquitto } from "../lib/mosquitto.js";
import { allIsRight, backup, connected, MIB, moves, shell, startPath } from "./control-path-parts.js";
import { until } from "./kill-parts.js";

const MIN_MS = 40;
const MAX_MS = 160;

function linkTo(t: ExecutionContext, port: number, more: Partial<LinkOptions> = {}): Link {
  const link = new Link({
    host: "127.0.0.1",
    port,
    clientId: "link",
    clean: true,
    subscriptions: [],
    onMessage: async () => {},
    connectTimeoutMs: 100,
    backoff: { minMs: MIN_MS, maxMs: MAX_MS },
    ...more,
  });
  t.teardown(() => link.stop(100));
  return link;
}

/** No wait is shorter than it may be at the least: half of what doubles each time. A timer is never early. */
function backsOff(t: ExecutionContext, arrivals: readonly number[]): void {
  for (let index = 1; index < arrivals.length; index++) {
    const gap = (arrivals[index] ?? 0) - (arrivals[index - 1] ?? 0);
    const least = Math.min(MAX_MS, MIN_MS * 2 ** (index - 1)) / 2;
    t.true(gap >= least - 2, `attempt ${index + 1} came after ${gap} ms, ${least} at the least`);
  }
}

const DOORS: readonly (readonly [Door, RegExp])[] = [
  ["refuse", /ECONNRESET|closed|hang up/],
  ["silent", /connack timeout/i],
  ["garbage", /./],
  ["say-no", /Not authorized/],
];

for (const [door, why] of DOORS) {
  test(`a server that does this: ${door}; attempts come further and further apart, and the first good server is taken`, async (t) => {
    const mosquitto = await startMosquitto();
    t.teardown(() => mosquitto.close());
    const proxy = await ControlProxy.start(mosquitto.port);
    t.teardown(() => proxy.close());
    proxy.door = door;
    const errors: string[] = [];
    const link = linkTo(t, proxy.port, {
      onState: ({ error }) => {
        if (error !== undefined) errors.push(error.message);
      },
    });
    link.start();
    await until("seven attempts", () => proxy.arrivals.length >= 7);
    backsOff(t, proxy.arrivals.slice(0, 7));
    t.false(link.state.connected);
    t.true(
      errors.some((message) => why.test(message)),
      errors.join("; "),
    );
    proxy.door = "open";
    await until("it is connected", () => link.state.connected);
  });
}

test("waits differ from each other, so that bridges do not all come back at once", async (t) => {
  const waits = new Set<number>();
  for (let bridge = 0; bridge < 4; bridge++) {
    const proxy = await ControlProxy.start(1);
    t.teardown(() => proxy.close());
    proxy.door = "refuse";
    const draws: number[] = [];
    const link = linkTo(t, proxy.port, {
      random: () => {
        draws.push(Math.random());
        return draws.at(-1) ?? 0;
      },
    });
    link.start();
    await until("three attempts", () => proxy.arrivals.length >= 3);
    await link.stop(0);
    t.true(draws.length >= 2, "each wait is drawn");
    for (const draw of draws) waits.add(draw);
  }
  t.true(waits.size >= 8);
});

test("a server that goes away in the middle of the TLS handshake, and one that speaks no TLS", async (t) => {
  const mosquitto = await startMosquitto({ tls: true });
  t.teardown(() => mosquitto.close());
  const { pki } = mosquitto;
  if (pki === undefined) throw new Error("no certificates");
  const { cert, key } = await pki.issue("link");
  let goesAway = true;
  let attempts = 0;
  const server = net.createServer((from) => {
    attempts++;
    from.on("error", () => {});
    // After the ClientHello: either nothing more, or what is no TLS at all.
    if (goesAway) from.once("data", () => (attempts % 2 === 0 ? from.resetAndDestroy() : from.end("220 hello\r\n")));
    else {
      const to = net.connect(mosquitto.port, "127.0.0.1");
      to.on("error", () => {});
      from.pipe(to).pipe(from);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const link = linkTo(t, port, {
    host: "localhost",
    connectTimeoutMs: 5000,
    tls: { ca: pki.ca, cert, key, serverName: "localhost" },
  });
  link.start();
  await until("four attempts", () => attempts >= 4);
  t.false(link.state.connected);
  t.truthy(link.state.error);
  goesAway = false;
  await until("it is connected", () => link.state.connected);
});

test("a daemon whose server refuses it in all manners goes on with its job and says why; few attempts are made", async (t) => {
  const path = await startPath(t);
  const { bridge, directory, proxy } = path;
  const reported = bridge.session.run(await backup(bridge, "refused", BigInt(MIB)));
  await moves(directory, "refused");
  const before = proxy.arrivals.length;
  for (const door of ["say-no", "garbage", "refuse"] as const) {
    proxy.door = door;
    proxy.cut();
    await moves(directory, "refused", MIB);
  }
  t.false(await connected(directory));
  t.regex(((await shell(directory, "show system")) as { mqtt: string }).mqtt, /^not connected: ./);
  // Three MiB at one a second: one that does not back off makes thousands.
  t.true(proxy.arrivals.length - before <= 12, `${proxy.arrivals.length - before} attempts`);
  proxy.door = "open";
  t.is((await reported).state, "succeeded");
  await allIsRight(t, path, ["refused"]);
});
