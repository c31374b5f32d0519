// Topic names. Everything lies under gantry/1/<bridge id>/; ids are checked before they become part of one.
import { GantryError } from "../sys/errors.js";
import { isName } from "./fields.js";

export interface Topics {
  /** Retained birth and last will. */
  readonly state: string;
  readonly event: string;
  /** Filters of what the bridge takes in. */
  readonly inbound: readonly string[];
  command(kind: string): string;
  list(listId: string): string;
  reply(clientId: string): string;
  /** Filters of all jobs' progress and reports. */
  readonly allProgress: string;
  readonly allReports: string;
  progress(jobId: string): string;
  report(jobId: string): string;
}

export function topicsOf(bridgeId: string): Topics {
  const root = `gantry/1/${checked("bridge id", bridgeId)}`;
  return {
    state: `${root}/state`,
    event: `${root}/event`,
    allProgress: `${root}/job/+/progress`,
    allReports: `${root}/job/+/report`,
    inbound: [`${root}/cmd/+`, `${root}/list/+`],
    command: (kind) => `${root}/cmd/${checked("kind", kind)}`,
    list: (listId) => `${root}/list/${checked("list id", listId)}`,
    reply: (clientId) => `${root}/reply/${checked("client id", clientId)}`,
    progress: (jobId) => `${root}/job/${checked("job id", jobId)}/progress`,
    report: (jobId) => `${root}/job/${checked("job id", jobId)}/report`,
  };
}

/**
 * Whether the bridge may publish replies there. Only below its own reply/: a reply address is chosen by the
 * sender, and anything else would let one client publish elsewhere with the bridge's rights.
 */
export function isReplyTopic(bridgeId: string, topic: string): boolean {
  const prefix = `gantry/1/${bridgeId}/reply/`;
  return topic.startsWith(prefix) && topic.slice(prefix.length).split("/").every(isName);
}

/** The last part of cmd/<kind> or list/<list id>, or undefined for another topic. */
export function inboundPart(
  bridgeId: string,
  topic: string,
): { readonly room: "cmd" | "list"; readonly part: string } | undefined {
  const prefix = `gantry/1/${bridgeId}/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [room, part, ...more] = topic.slice(prefix.length).split("/");
  if ((room !== "cmd" && room !== "list") || part === undefined || more.length > 0) return undefined;
  return { room, part };
}

function checked(what: string, value: string): string {
  if (isName(value)) return value;
  throw new GantryError(
    "MESSAGE_INVALID",
    `The ${what} ${JSON.stringify(value)} must be 1 to 64 characters of A-Z a-z 0-9 . _ : -.`,
  );
}
