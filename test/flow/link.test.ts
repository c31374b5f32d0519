// The link, the control door and the client against a real Mosquitto.
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { fileURLToPath } from "node:url";
import { Aedes } from "aedes";
import test, { type ExecutionContext } from "ava";
import { BridgeClient, type ClientOptions } from "../../src/control/client.js";
import { decode, encode } from "../../src/control/codec.js";
import { ControlDoor, type DoorOptions } from "../../src/control/door.js";
import {
  type InboundMessage,
  Link,
  type LinkOptions,
  type Publication,
  type ServerOptions,
} from "../../src/control/link.js";
import { ListReceiver } from "../../src/control/list-receiver.js";
import { ListTally } from "../../src/control/list-tally.js";
import { MemoryChunkStore } from "../../src/control/memory-chunk-store.js";
import type { StateMessage } from "../../src/control/messages/events.js";
import type { JobProgress, JobReport } from "../../src/job.js";
import type { ListHeader } from "../../src/list.js";
import { systemClock } from "../../src/sys/clock.js";
import { freePort, type Mosquitto, type MosquittoOptions, startMosquitto } from "../lib/mosquitto.js";

const VERSIONS = ["5.0", "3.1.1"] as const;

function serverOptions(port: number, clientId: string, more: Partial<ServerOptions> = {}): ServerOptions {
  return { host: "127.0.0.1", port, clientId, backoff: { minMs: 20, maxMs: 200 }, ...more };
}

async function mosquitto(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Mosquitto> {
  const server = await startMosquitto(options);
  t.teardown(() => server.close());
  return server;
}

function door(t: ExecutionContext, server: ServerOptions, more: Partial<DoorOptions> = {}): ControlDoor {
  let bdSeq = 0n;
  const made = new ControlDoor({
    bridgeId: "b1",
    version: "0.1.0",
    bootId: "boot",
    server,
    nextBdSeq: async () => ++bdSeq,
    lists: new ListReceiver({ store: new MemoryChunkStore(), clock: systemClock }),
    clock: systemClock,
    newId: randomUUID,
    ...more,
  });
  t.teardown(() => made.stop(100));
  return made;
}

function client(t: ExecutionContext, server: ServerOptions, more: Partial<ClientOptions> = {}): BridgeClient {
  const made = new BridgeClient({ bridgeId: "b1", server, ...more });
  t.teardown(() => made.stop());
  made.start();
  return made;
}

/** A link with nothing above it, as other programs are. */
async function peer(t: ExecutionContext, server: ServerOptions, more: Partial<LinkOptions> = {}): Promise<Link> {
  const link = new Link({ ...server, clean: true, subscriptions: [], onMessage: async () => {}, ...more });
  t.teardown(() => link.stop(100));
  link.start();
  await until("the peer is connected", () => link.state.connected);
  return link;
}

/** Resolves when the condition holds; fails the test after 10 s. */
async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`in vain: ${what}`);
}

function message(topic: string, payload: Uint8Array = new Uint8Array([0])): Publication {
  return { topic, payload, qos: 1, retain: false, priority: "normal" };
}

const PROGRESS: JobProgress = {
  jobId: "j1",
  type: "backup",
  state: "running",
  bytesDone: 1n,
  bytesTotal: 2n ** 40n,
  membersDone: 0,
  membersTotal: 1,
  bytesPerS: 5n,
  tapeWaits: 0n,
};

const REPORT: JobReport = {
  ...PROGRESS,
  state: "succeeded",
  submittedMs: 1,
  startedMs: 2,
  endedMs: 3,
  volumes: [],
  lost: [],
  miscompares: [],
  retries: 0n,
  resumes: 0,
  sourceWaitMs: 0,
  tapeWaitMs: 0,
  throttleMs: 0,
};

for (const protocol of VERSIONS) {
  test(`${protocol}: birth, a command, its reply, progress, report and event`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.router.on("status.get", async () => ({ fine: true }));
    bridge.start();
    const seen: unknown[] = [];
    const broker = client(t, serverOptions(server.port, "broker", { protocol }), {
      onProgress: (progress) => seen.push(progress),
      onReport: (report) => seen.push(report),
      onEvent: ({ event, severity }) => seen.push({ event, severity }),
    });
    await broker.online();
    t.like(broker.bridge, {
      online: true,
      bdSeq: 1n,
      bootId: "boot",
      version: "0.1.0",
      limits: { messageBytes: 1048576 },
    });
    t.deepEqual(await broker.send("status.get", {}), { fine: true });
    await bridge.progress(PROGRESS);
    await until("progress", () => seen.length === 1);
    await bridge.report(REPORT);
    await bridge.event({ event: "tape.loaded", severity: "info", message: "A00001 is in tape0" });
    await until("report and event", () => seen.length === 3);
    t.deepEqual(seen, [PROGRESS, REPORT, { event: "tape.loaded", severity: "info" }]);
    t.is(bridge.state.protocol, protocol);
    t.regex(server.log(), protocol === "5.0" ? /as bridge \(p5/ : /as bridge \(p2/);
  });

  test(`${protocol}: rejections reach the sender with their code`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.router.on("key.revoke", async () => ({ revoked: 0 }));
    bridge.start();
    const broker = client(t, serverOptions(server.port, "broker", { protocol }));
    await broker.online();
    await t.throwsAsync(broker.send("list.status", { listId: "nope" }), { code: "LIST_UNKNOWN", message: /nope/ });
    await t.throwsAsync(broker.send("media.list", {}), { code: "MESSAGE_KIND_UNKNOWN" });
    await t.throwsAsync(broker.send("key.revoke", { order: new Uint8Array() }), {
      code: "MESSAGE_INVALID",
      message: /^key.revoke: `order` must be a byte string/,
    });
  });

  test(`${protocol}: a retained report is seen by who comes later, until it is cleared`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.start();
    await bridge.report(REPORT);
    const reports: JobReport[] = [];
    client(t, serverOptions(server.port, "late", { protocol }), { onReport: (report) => reports.push(report) });
    await until("the late one sees it", () => reports.length === 1);
    t.deepEqual(reports, [REPORT]);
    await bridge.clearReport("j1");
    const none: JobReport[] = [];
    const last = client(t, serverOptions(server.port, "last", { protocol }), {
      onReport: (report) => none.push(report),
    });
    await last.online();
    t.deepEqual(none, []);
  });

  test(`${protocol}: kill -9 of the bridge: its will says so, with the number of its birth, and the next birth has a larger one`, async (t) => {
    const server = await mosquitto(t);
    const states: StateMessage[] = [];
    client(t, serverOptions(server.port, "broker", { protocol }), { onBridge: (state) => states.push(state) });
    const start = (bdSeq: number): ChildProcess => {
      const program = fileURLToPath(new URL("../lib/bridge-process.js", import.meta.url));
      const child = spawn(process.execPath, [program, String(server.port), String(bdSeq)], { stdio: "inherit" });
      t.teardown(() => child.kill("SIGKILL"));
      return child;
    };
    const first = start(7);
    await until("birth", () => states.length === 1);
    first.kill("SIGKILL");
    await until("will", () => states.length === 2);
    t.like(states[0], { online: true, bdSeq: 7n });
    t.like(states[1], { online: false, bdSeq: 7n });
    // Retained: who comes now sees that the bridge is away.
    const later = client(t, serverOptions(server.port, "later", { protocol }));
    await until("the retained will", () => later.bridge !== undefined);
    t.like(later.bridge, { online: false, bdSeq: 7n });
    start(8);
    await later.online();
    t.like(later.bridge, { online: true, bdSeq: 8n });
  });

  test(`${protocol}: the server is killed and comes back: the bridge is born again, and what was queued arrives`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.router.on("status.get", async () => ({ fine: true }));
    bridge.start();
    const reports: JobReport[] = [];
    const broker = client(t, serverOptions(server.port, "broker", { protocol }), {
      onReport: (report) => reports.push(report),
    });
    await broker.online();
    await server.kill();
    await until("the bridge notices", () => !bridge.state.connected);
    const queued = bridge.report(REPORT);
    await server.start();
    await queued;
    await until("the broker has the report", () => reports.length === 1);
    await until("the new birth", () => (broker.bridge?.bdSeq ?? 0n) > 1n);
    t.deepEqual(await broker.send("status.get", {}), { fine: true });
  });

  test(`${protocol}: what was sent but not acknowledged when the connection broke is sent again, in order`, async (t) => {
    const server = await mosquitto(t);
    const sender = await peer(t, serverOptions(server.port, "sender", { protocol }));
    server.freeze();
    const sent = Array.from({ length: 40 }, (_, i) => sender.publish(message(`in/${i}`)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.kill();
    await until("the sender notices", () => !sender.state.connected);
    await server.start();
    await Promise.all(sent);
    const arrived = (): number[] =>
      [...server.log().matchAll(/Received PUBLISH from sender \(.*'in\/(\d+)'/g)].map((match) => Number(match[1]));
    // The log reaches us later than the acknowledgements.
    await until("the server's log of all of them", () => arrived().length >= 40);
    t.deepEqual(
      arrived(),
      Array.from({ length: 40 }, (_, i) => i),
    );
  });

  test(`${protocol}: rebirth publishes the birth of the connection again`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.start();
    const states: StateMessage[] = [];
    const broker = client(t, serverOptions(server.port, "broker", { protocol }), {
      onBridge: (state) => states.push(state),
    });
    await broker.online();
    await broker.send("rebirth", {});
    await until("a second birth", () => states.length === 2);
    t.deepEqual(
      states.map(({ online, bdSeq, bootId }) => ({ online, bdSeq, bootId })),
      [
        { online: true, bdSeq: 1n, bootId: "boot" },
        { online: true, bdSeq: 1n, bootId: "boot" },
      ],
    );
    t.not(states[0]?.id, states[1]?.id);
  });

  test(`${protocol}: stop says farewell, and the server publishes no will`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    bridge.start();
    const states: StateMessage[] = [];
    const broker = client(t, serverOptions(server.port, "broker", { protocol }), {
      onBridge: (state) => states.push(state),
    });
    await broker.online();
    await bridge.stop();
    await until("the farewell", () => states.length === 2);
    t.like(states[1], { online: false, bdSeq: 1n });
    t.regex(server.log(), /Received DISCONNECT from bridge/);
    await t.throwsAsync(bridge.report(REPORT), { code: "LINK_CLOSED" });
    // The will was made before the birth and would bring another message.
    await broker.stop();
    t.is(states.length, 2);
  });

  test(`${protocol}: what the handler did not finish is not acknowledged, and comes again to the next connection`, async (t) => {
    const server = await mosquitto(t);
    const options = serverOptions(server.port, "bridge", { protocol });
    const first: string[] = [];
    const never = await peer(t, options, {
      clean: false,
      subscriptions: ["in/+"],
      onMessage: async ({ topic }) => {
        first.push(topic);
        if (topic !== "in/1") await new Promise(() => {});
      },
    });
    const sender = await peer(t, serverOptions(server.port, "sender", { protocol }));
    for (const topic of ["in/1", "in/2", "in/3"]) await sender.publish(message(topic));
    await until("all three were handed over", () => first.length === 3);
    await never.stop(0);
    const second: string[] = [];
    await peer(t, options, {
      clean: false,
      subscriptions: ["in/+"],
      onMessage: async ({ topic }) => void second.push(topic),
    });
    await until("those that were not finished come again", () => second.length === 2);
    t.deepEqual(second, ["in/2", "in/3"]);
  });

  test(`${protocol}: acknowledgements go out in the order in which the messages came (MQTT-4.6.0-2)`, async (t) => {
    const server = await mosquitto(t);
    const finish: (() => void)[] = [];
    await peer(t, serverOptions(server.port, "bridge", { protocol }), {
      subscriptions: ["in/+"],
      onMessage: () => new Promise((resolve) => finish.push(resolve)),
    });
    const sender = await peer(t, serverOptions(server.port, "sender", { protocol }));
    for (const topic of ["in/1", "in/2", "in/3"]) await sender.publish(message(topic));
    await until("all three wait", () => finish.length === 3);
    const acknowledged = (): string[] =>
      [...server.log().matchAll(/PUBACK from bridge \(Mid: (\d+)/g)].map((match) => match[1] ?? "");
    finish[2]?.();
    finish[1]?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.deepEqual(acknowledged(), []);
    finish[0]?.();
    await until("all three are acknowledged", () => acknowledged().length === 3);
    t.deepEqual(acknowledged(), ["1", "2", "3"]);
  });

  test(`${protocol}: no more messages than the bound are with the handler at once, and none is lost`, async (t) => {
    const server = await mosquitto(t);
    let most = 0;
    const running = new Set<() => void>();
    let handled = 0;
    await peer(t, serverOptions(server.port, "bridge", { protocol }), {
      subscriptions: ["in/#"],
      maxInbound: 4,
      onMessage: () =>
        new Promise((resolve) => {
          running.add(resolve);
          most = Math.max(most, running.size);
        }),
    });
    const sender = await peer(t, serverOptions(server.port, "sender", { protocol }));
    const sent = Array.from({ length: 30 }, (_, i) => sender.publish(message(`in/${i}`)));
    await Promise.all(sent);
    while (handled < 30) {
      await until("the handler is called", () => running.size > 0);
      await new Promise((resolve) => setTimeout(resolve, 5));
      for (const finish of [...running].slice(0, 1)) {
        running.delete(finish);
        handled += 1;
        finish();
      }
    }
    t.is(most, 4);
    t.is(running.size, 0);
  });

  test(`${protocol}: a slow handler holds up neither replies nor other commands`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }));
    let finish = (): void => {};
    bridge.router.on("media.list", async () => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { media: [] };
    });
    bridge.router.on("status.get", async () => ({ fine: true }));
    bridge.start();
    const broker = client(t, serverOptions(server.port, "broker", { protocol }));
    await broker.online();
    const slow = broker.send("media.list", {});
    for (let i = 0; i < 3; i++) t.deepEqual(await broker.send("status.get", {}), { fine: true });
    await bridge.report(REPORT);
    finish();
    t.deepEqual(await slow, { media: [] });
  });

  test(`${protocol}: a packet that is too long does not harm the bridge`, async (t) => {
    const server = await mosquitto(t);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }), { maxMessageBytes: 100_000 });
    bridge.router.on("status.get", async () => ({ fine: true }));
    bridge.start();
    const broker = client(t, serverOptions(server.port, "broker", { protocol }));
    await broker.online();
    const sender = await peer(t, serverOptions(server.port, "sender", { protocol }));
    await sender.publish(message("gantry/1/b1/cmd/status.get", new Uint8Array(900_000)));
    await until(
      "the bridge is there",
      () => broker.bridge?.online === true && (protocol === "5.0" || broker.bridge.bdSeq > 1n),
    );
    t.deepEqual(await broker.send("status.get", {}), { fine: true });
  });

  test(`${protocol}: a block list arrives whole, also when the server is killed in the middle`, async (t) => {
    const server = await mosquitto(t);
    const store = new MemoryChunkStore();
    const lists = new ListReceiver({ store, clock: systemClock });
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol }), { lists });
    bridge.start();
    const broker = client(t, serverOptions(server.port, "broker", { protocol }));
    await broker.online();
    const { header, chunks } = bigList(30, 10_000);
    const stored: number[] = [];
    const status = await broker.sendList(header, "disk0", chunks, {
      onChunk: (index) => {
        stored.push(index);
        if (stored.length === 10) void server.kill().then(() => server.start());
      },
    });
    t.is(status.state, "whole");
    t.is(new Set(stored).size, 30);
    t.deepEqual(lists.whole("big"), { header, device: "disk0" });
    let extents = 0;
    for await (const chunk of lists.readChunks("big")) extents += chunk.extents.blocks.length;
    t.is(extents, 300_000);
    // Once more: everything is there, nothing is sent.
    t.is((await broker.sendList(header, "disk0", chunks, { onChunk: () => t.fail() })).state, "whole");
  });
}

function bigList(count: number, extentsEach: number): { header: ListHeader; chunks: Uint8Array[] } {
  const tally = new ListTally();
  const chunks = Array.from({ length: count }, (_, index) => {
    const numbers = Array.from({ length: extentsEach }, (__, i) => BigInt(i));
    const extents = {
      fileOffset: new BigUint64Array(numbers.map((i) => i * 4096n)),
      lba: new BigUint64Array(numbers.map((i) => BigInt(index) * 1_000_000n + i * 16n)),
      blocks: new Uint32Array(extentsEach).fill(8),
    };
    const file = {
      name: `dir/file-${index}`,
      type: "file" as const,
      size: 1n << 40n,
      mode: 0o600,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
    };
    return tally.add({ index, members: [{ ...file, extents: extentsEach }], extents });
  });
  return { header: tally.header("big", { id: "v", generation: "g", sequence: 1n }, 512), chunks };
}

test("5.0 is refused by a server of 3.1.1: the link falls back and works", async (t) => {
  const aedes = await Aedes.createBroker();
  const server = net.createServer(aedes.handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(async () => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const bridge = door(t, serverOptions(address.port, "bridge"));
  bridge.router.on("status.get", async () => ({ fine: true }));
  bridge.start();
  const broker = client(t, serverOptions(address.port, "broker"));
  await broker.online();
  t.deepEqual(await broker.send("status.get", {}), { fine: true });
  t.is(bridge.state.protocol, "3.1.1");
});

for (const protocol of VERSIONS) {
  test(`${protocol}: TLS with client certificates on both sides`, async (t) => {
    const server = await mosquitto(t, { tls: true });
    const { pki } = server;
    if (pki === undefined) throw new Error("no PKI");
    const [own, other] = await Promise.all([pki.issue("bridge"), pki.issue("broker")]);
    const bridge = door(t, serverOptions(server.port, "bridge", { protocol, tls: { ca: pki.ca, ...own } }));
    bridge.router.on("status.get", async () => ({ fine: true }));
    bridge.start();
    const broker = client(t, serverOptions(server.port, "broker", { protocol, tls: { ca: pki.ca, ...other } }));
    await broker.online();
    t.deepEqual(await broker.send("status.get", {}), { fine: true });
    t.regex(server.log(), /as bridge \(p[25], c0, k30, u'bridge'\)/);
  });
}

test("TLS: without a certificate the server refuses, with another CA or name we refuse", async (t) => {
  const server = await mosquitto(t, { tls: true });
  const stranger = await mosquitto(t, { tls: true });
  const ca = server.pki?.ca ?? "";
  const own = await server.pki?.issue("bridge");
  const attempt = async (tls: ServerOptions["tls"] & object): Promise<string> => {
    const link = new Link({
      ...serverOptions(server.port, "x", { tls }),
      clean: true,
      subscriptions: [],
      onMessage: async () => {},
    });
    t.teardown(() => link.stop(0));
    link.start();
    await until("an error", () => link.state.error !== undefined || link.state.connected);
    t.false(link.state.connected);
    return link.state.error?.message ?? "";
  };
  t.regex(await attempt({ ca }), /certificate required|alert|ECONNRESET|EPIPE/i);
  t.regex(
    await attempt({ ca: stranger.pki?.ca ?? "", ...own }),
    /self-signed certificate|unable to verify|issuer|signature/i,
  );
  t.regex(await attempt({ ca, ...own, serverName: "elsewhere.example" }), /does not match/);
  t.regex(server.log(), /OpenSSL Error|peer did not return a certificate|Protocol error/);
});

test("5.0: a publication that the server's access rules refuse is rejected, and the link goes on", async (t) => {
  const server = await mosquitto(t, { acl: "topic readwrite allowed/#\n" });
  const link = await peer(t, serverOptions(server.port, "p", { protocol: "5.0" }));
  await t.throwsAsync(link.publish(message("forbidden/x")), {
    code: "LINK_REFUSED",
    message: /forbidden\/x.*Not authorized/,
  });
  await t.notThrowsAsync(link.publish(message("allowed/x")));
});

test("a refused subscription is an error of the connection, which is tried again", async (t) => {
  const port = await freePort();
  const states: unknown[] = [];
  const aedes = await Aedes.createBroker({ authorizeSubscribe: (_, __, callback) => callback(null, null) });
  const server = net.createServer(aedes.handle).listen(port, "127.0.0.1");
  t.teardown(async () => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    server.close();
  });
  const link = new Link({
    ...serverOptions(port, "p", { protocol: "3.1.1" }),
    clean: true,
    subscriptions: ["x"],
    onMessage: async () => {},
    onState: ({ error }) => states.push(error),
  });
  t.teardown(() => link.stop(0));
  link.start();
  await until("two attempts", () => states.length >= 2);
  t.like(states[0], { code: "LINK_REFUSED" });
  t.false(link.state.connected);
});

test("offline: what does not fit the queue is refused, the rest is given up on stop", async (t) => {
  const link = new Link({
    ...serverOptions(await freePort(), "p"),
    clean: true,
    subscriptions: [],
    onMessage: async () => {},
    queue: { messages: 2, bytes: 1000 },
    maxMessageBytes: 500,
  });
  link.start();
  const waiting = [link.publish(message("a")), link.publish(message("b"))];
  await t.throwsAsync(link.publish(message("c")), { code: "LINK_BUSY" });
  await t.throwsAsync(link.publish(message("d", new Uint8Array(501))), { code: "MESSAGE_TOO_LARGE" });
  await until("an error is known", () => link.state.error !== undefined);
  t.regex(link.state.error?.message ?? "", /ECONNREFUSED/);
  const settled = Promise.allSettled(waiting);
  await link.stop(0);
  t.deepEqual(
    (await settled).map(({ status }) => status),
    ["rejected", "rejected"],
  );
});

test("no reply in time is COMMAND_TIMED_OUT; the same id again gets the reply of the first time", async (t) => {
  const server = await mosquitto(t);
  const bridge = door(t, serverOptions(server.port, "bridge"));
  let calls = 0;
  let finish = (): void => {};
  bridge.router.on("job.forget", async ({ jobId }) => {
    calls += 1;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { jobId };
  });
  bridge.start();
  const broker = client(t, serverOptions(server.port, "broker"));
  await broker.online();
  const id = randomUUID();
  await t.throwsAsync(broker.send("job.forget", { jobId: "j" }, { id, timeoutMs: 100 }), { code: "COMMAND_TIMED_OUT" });
  // Its sender may give up before it has come.
  await until("the command came", () => calls === 1);
  finish();
  t.deepEqual(await broker.send("job.forget", { jobId: "j" }, { id }), { jobId: "j" });
  t.is(calls, 1);
});

test("a command that was lost because the bridge was away is sent again at its birth", async (t) => {
  const server = await mosquitto(t);
  const broker = client(t, serverOptions(server.port, "broker"));
  await until("connected", () => broker.link.connected);
  const answer = broker.send("status.get", {});
  await until("the server took the command", () => /Received PUBLISH from broker/.test(server.log()));
  const bridge = door(t, serverOptions(server.port, "bridge"));
  bridge.router.on("status.get", async () => ({ fine: true }));
  bridge.start();
  t.deepEqual(await answer, { fine: true });
});

test("a reply that was lost while the client was away is got by sending the command again, which is not carried out twice", async (t) => {
  const server = await mosquitto(t);
  const bridge = door(t, serverOptions(server.port, "bridge"));
  let calls = 0;
  let finish = (): void => {};
  bridge.router.on("job.forget", async ({ jobId }) => {
    calls += 1;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { jobId };
  });
  bridge.start();
  const broker = client(t, serverOptions(server.port, "broker", { backoff: { minMs: 1000, maxMs: 1000 } }));
  await broker.online();
  const answer = broker.send("job.forget", { jobId: "j" });
  await until("the command is there", () => calls === 1);
  // Another client with the same id pushes the first one out [MQTT-3.1.4-3].
  const intruder = await peer(t, serverOptions(server.port, "broker"));
  await until("the client is out", () => !broker.link.connected);
  finish();
  await until("the reply was sent to nobody", () =>
    /Received PUBLISH from bridge \(.*reply\/broker/.test(server.log()),
  );
  await intruder.stop();
  t.deepEqual(await answer, { jobId: "j" });
  t.is(calls, 1);
});

test("a will of a connection that is replaced already does not make the client think that the bridge is away", async (t) => {
  const server = await mosquitto(t);
  const states: StateMessage[] = [];
  const broker = client(t, serverOptions(server.port, "broker"), { onBridge: (state) => states.push(state) });
  const sender = await peer(t, serverOptions(server.port, "sender"));
  const state = (online: boolean, bdSeq: number): Promise<void> =>
    sender.publish(message("gantry/1/b1/state", encode({ v: 1, kind: "state", id: "x", sentMs: 0, online, bdSeq })));
  await until("subscribed", () => broker.link.connected);
  await state(true, 5);
  await state(false, 4);
  await state(false, 5);
  await until("the will of the connection", () => broker.bridge?.online === false);
  t.deepEqual(
    states.map(({ online, bdSeq }) => [online, bdSeq]),
    [
      [true, 5n],
      [false, 5n],
    ],
  );
});

test("5.0: Response Topic and Correlation Data are honoured for a message that has neither", async (t) => {
  const server = await mosquitto(t);
  const bridge = door(t, serverOptions(server.port, "bridge"));
  bridge.router.on("status.get", async () => ({ fine: true }));
  bridge.start();
  const responseTopic = "gantry/1/b1/reply/other/1";
  const replies: InboundMessage[] = [];
  const other = await peer(t, serverOptions(server.port, "other"), {
    subscriptions: [responseTopic],
    onMessage: async (reply) => void replies.push(reply),
  });
  await until("the bridge is there", () => bridge.state.connected);
  const correlation = new Uint8Array([1, 2, 3]);
  const payload = encode({ v: 1, kind: "status.get", id: "m", sentMs: 0 });
  await other.publish({ ...message("gantry/1/b1/cmd/status.get", payload), responseTopic, correlation });
  await until("the reply", () => replies.length === 1);
  t.deepEqual(new Uint8Array(replies[0]?.correlation ?? []), correlation);
  t.like(decode(replies[0]?.payload ?? new Uint8Array()), {
    kind: "accepted",
    to: "m",
    result: { fine: true },
    correlation,
  });
});

test("a birth number that cannot be stored keeps the bridge off until it can", async (t) => {
  const server = await mosquitto(t);
  let full = true;
  const bridge = door(t, serverOptions(server.port, "bridge"), {
    nextBdSeq: async () => {
      if (full) throw new Error("disk full");
      return 9n;
    },
  });
  bridge.start();
  await until("the error is told", () => bridge.state.error?.message === "disk full");
  full = false;
  const broker = client(t, serverOptions(server.port, "broker"));
  await broker.online();
  t.is(broker.bridge?.bdSeq, 9n);
});
