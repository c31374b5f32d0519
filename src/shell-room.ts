// The daemon as its shell sees it.
import type { App } from "./app.js";
import type { Native } from "./native/types.js";
import type { ShellRoom } from "./shell/room.js";
import type { LogRing } from "./sys/log-ring.js";

export interface RoomParts {
  readonly native: Native;
  readonly logRing: LogRing;
}

export function shellRoom(app: App, { logRing }: RoomParts): ShellRoom {
  const { media, reservations, servers, jobs, copies, ring, devices } = app;
  return {
    bridgeId: app.bridgeId,
    broker: () => app.broker(),
    status: () => app.status(),
    media,
    reservations,
    servers,
    jobs,
    copies,
    ring,
    devices,
    logRing,
  };
}
