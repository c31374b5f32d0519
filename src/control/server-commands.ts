// Commands about servers that log in: who is there, who was refused what, who writes on shared disks.
import type { PrivilegeFacts } from "../admit/privilege.js";
import type { RefusalFacts } from "../admit/refusals.js";
import type { SessionView } from "../fabric/sessions.js";
import type { Router } from "./router.js";

export interface ServerRoom {
  sessions(): readonly SessionView[];
  refusals(): readonly RefusalFacts[];
  privileges(): readonly PrivilegeFacts[];
  movePrivilege(device: string, from: string, to: string): Promise<PrivilegeFacts>;
}

type Facts = Record<string, unknown>;

/** As many as an answer holds. */
const LIST_MAX = 1000;

export function registerServerCommands(router: Router, room: ServerRoom): void {
  router
    .on("session.list", async () => ({ sessions: sessionFacts(room) }))
    .on("refusal.list", async () => ({ refusals: refusalFacts(room) }))
    .on("privilege.list", async () => ({ privileges: privilegeFacts(room) }))
    .on("privilege.move", async ({ device, from, to }) => ({
      privilege: { ...(await room.movePrivilege(device, from, to)) },
    }));
}

export function sessionFacts(room: ServerRoom): Facts[] {
  return room.sessions().map(({ initiator, isid, target, peer, sinceMs, chapName, luns }) => ({
    initiator,
    isid,
    target,
    peer,
    sinceMs,
    ...(chapName === undefined ? {} : { chapName }),
    luns: luns.map(({ unit: _unit, ...entry }) => ({ ...entry })),
  }));
}

export const refusalFacts = (room: ServerRoom): Facts[] =>
  room
    .refusals()
    .slice(0, LIST_MAX)
    .map((facts) => ({ ...facts }));

export const privilegeFacts = (room: ServerRoom): Facts[] => room.privileges().map((facts) => ({ ...facts }));
