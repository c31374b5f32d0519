// What the broker is told of servers, as events of PROTOCOL.md.
import type { PrivilegeFacts } from "./admit/privilege.js";
import type { RefusalReport } from "./admit/refusals.js";
import type { VolumeChange } from "./admit/volume.js";
import type { DoneSum } from "./copy-manager/done-sums.js";
import { byteSize } from "./sys/units.js";

export interface ServerEvent {
  readonly event: string;
  readonly severity: "info" | "warning" | "error";
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export function refusedEvent(report: RefusalReport): ServerEvent {
  const { initiator, device, why, command, count, holder } = report;
  const held = holder === undefined ? "" : `; ${holder}`;
  return {
    event: "refused",
    severity: "warning",
    message: `${initiator} was refused on ${device}: ${why}, ${command}, ${count} times${held}.`,
    details: { ...report },
  };
}

export const volumeEvent = ({ device, sequence, extents }: VolumeChange): ServerEvent => ({
  event: "volume.changed",
  severity: "info",
  message: `Somebody wrote on ${device}.`,
  details: { device, sequence, extents: extents.map(({ lba, blocks }) => [lba, blocks]) },
});

export const privilegeEvent = (facts: PrivilegeFacts, why: string): ServerEvent => ({
  event: "privilege",
  severity: "info",
  message: `${facts.writer ?? "Nobody"} may write on ${facts.device}: ${why}.`,
  details: { ...facts, why },
});

export function copiesDoneEvent(sum: DoneSum): ServerEvent {
  const { initiator, sources, destinations, count, bytes } = sum;
  const from = sources.length === 0 ? "" : ` from ${sources.join(", ")}`;
  const to = destinations.length === 0 ? "" : ` to ${destinations.join(", ")}`;
  const what = count === 1 ? "a copy" : `${count} copies`;
  return {
    event: "copy.done",
    severity: "info",
    message: `${what} of ${byteSize(Number(bytes))}${from}${to} for ${initiator}.`,
    details: { ...sum },
  };
}
