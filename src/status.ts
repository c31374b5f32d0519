// What the daemon says of itself, over the control link and in the shell.
import { hostname } from "node:os";
import type { KeyRing } from "./admit/key-ring.js";
import type { TrustedClock } from "./admit/trusted-clock.js";
import { keyCount } from "./control/key-pages.js";
import type { LinkState } from "./control/link.js";
import type { ListReceiver } from "./control/list-receiver.js";
import type { JobQueue } from "./copy/job-queue.js";
import type { CopyBook } from "./copy-manager/book.js";
import type { DeviceRegistry } from "./device/registry.js";
import type { Arena } from "./native/types.js";
import type { Servers } from "./servers.js";
import type { Clock } from "./sys/clock.js";
import { messageOf } from "./sys/errors.js";
import { VERSION } from "./sys/version.js";

export interface StatusParts {
  readonly bridgeId: string;
  readonly bootId: string;
  readonly startedMs: number;
  readonly clock: Clock;
  readonly time: TrustedClock;
  /** Of the control link. */
  readonly state: LinkState;
  readonly stateSinceMs: number;
  readonly ring: KeyRing;
  readonly devices: DeviceRegistry;
  readonly queue: JobQueue;
  readonly copies: CopyBook;
  readonly servers: Servers;
  readonly lists: ListReceiver;
  readonly arena: Arena;
}

export function statusOf(parts: StatusParts): Record<string, unknown> {
  const { bridgeId, bootId, startedMs, clock, time, state, ring, devices, queue, copies, servers, lists, arena } =
    parts;
  return {
    bridge: bridgeId,
    version: VERSION,
    bootId,
    host: hostname(),
    node: process.versions.node,
    startedMs,
    uptimeS: Math.floor((clock.nowMs() - startedMs) / 1000),
    mqtt: state.connected
      ? `connected, MQTT ${state.protocol}`
      : `not connected${state.error === undefined ? "" : `: ${messageOf(state.error)}`}`,
    mqttSinceMs: parts.stateSinceMs,
    clock: time.fault() ?? "trusted",
    keys: keyCount(ring),
    devices: devices.all().map(({ name, type, transport }) => ({ name, type, transport })),
    ...(devices.paths().length > 0 && { paths: devices.paths() }),
    jobs: countBy(queue.list().map((job) => job.state)),
    copies: { ...copies.counts },
    servers: servers.facts() ?? "none can log in: there is no [iscsi] in the configuration",
    lists: lists.all().length,
    arenaBytes: arena.bytes,
    arenaFreeBytes: arena.freeBytes(),
    rssBytes: process.memoryUsage.rss(),
  };
}

function countBy(states: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
