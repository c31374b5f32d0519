// The daemon as its shell sees it.
import { performance } from "node:perf_hooks";
import type { App } from "./app.js";
import { TraceDesk } from "./fabric/trace-desk.js";
import type { ShellPlant, ShellRoom } from "./shell/room.js";
import { systemClock, systemTimers } from "./sys/clock.js";
import type { LogRing } from "./sys/log-ring.js";

export interface RoomParts {
  readonly plant: ShellPlant;
  readonly logRing: LogRing;
}

export function shellRoom(app: App, { plant, logRing }: RoomParts): ShellRoom {
  const traces = new TraceDesk({
    source: app.servers,
    own: app.devices.own,
    isDevice: (name) => app.devices.all().some((device) => device.name === name),
    clock: systemClock,
    timers: systemTimers,
    nowNs: () => process.hrtime.bigint(),
  });
  const { media, reservations, servers, jobs, copies, ring, devices, queue } = app;
  return {
    plant,
    bridgeId: app.bridgeId,
    broker: () => app.broker(),
    status: () => app.status(),
    config: () => app.config(),
    counters: () => counters(app, logRing),
    jobsOn: (device) => queue.jobsOn(device),
    media,
    reservations,
    servers,
    jobs,
    copies,
    ring,
    devices,
    logRing,
    traces,
  };
}

function counters({ servers, status, copies }: App, logRing: LogRing): Record<string, unknown> {
  const { uptimeS, keys, jobs, lists, arenaBytes, arenaFreeBytes } = status();
  const { user, system } = process.cpuUsage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    uptimeS,
    keys,
    lists,
    jobs,
    copies: { ...copies.counts },
    servers: servers.counters(),
    paths: servers
      .sessions()
      .flatMap(({ initiator, luns }) => luns.map(({ unit: _unit, ...path }) => ({ initiator, ...path }))),
    log: { ...logRing.counts },
    process: {
      userMs: Math.round(user / 1000),
      systemMs: Math.round(system / 1000),
      eventLoopBusyPercent: Math.round(performance.eventLoopUtilization().utilization * 1000) / 10,
      rssBytes: rss,
      heapBytes: heapUsed,
      externalBytes: external,
      arenaBytes,
      arenaFreeBytes,
    },
  };
}
