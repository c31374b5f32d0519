// A bridge's control door in a process of its own, to be killed by tests: node bridge-process.js <port> <bdSeq>.
import { randomUUID } from "node:crypto";
import { ControlDoor } from "../../src/control/door.js";
import { ListReceiver } from "../../src/control/list-receiver.js";
import { MemoryChunkStore } from "../../src/control/memory-chunk-store.js";
import { systemClock } from "../../src/sys/clock.js";

const [port, firstBdSeq] = process.argv.slice(2);
let bdSeq = BigInt(firstBdSeq ?? "1");

const door = new ControlDoor({
  bridgeId: "b1",
  version: "0.1.0",
  bootId: `pid-${process.pid}`,
  server: { host: "127.0.0.1", port: Number(port), clientId: "bridge", backoff: { minMs: 20, maxMs: 200 } },
  nextBdSeq: async () => bdSeq++,
  lists: new ListReceiver({ store: new MemoryChunkStore(), clock: systemClock }),
  clock: systemClock,
  newId: randomUUID,
});
door.start();
