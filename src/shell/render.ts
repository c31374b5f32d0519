// Answers of the daemon as text for people: tables for lists, "name: value" for one thing. 80 columns where the
// content allows, no colour, nothing redrawn: it has to read well on a serial line.

import { facts, KEY_COLUMNS, pick, type Row, table } from "../sys/text.js";

const DONE = "done";

export function render(verb: string, result: unknown): string {
  if (result === null || result === undefined) return DONE;
  if (Array.isArray(result)) return table(pick(COLUMNS[verb], result as Row[]));
  return facts(result as Row);
}

/** The columns that matter in a list; everything is in --json and in the single view. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  "show jobs": ["jobId", "type", "state", "bytesDone", "bytesTotal", "membersDone", "cartridge"],
  "show copies": ["jobId", "who", "what", "from", "to", "bytes", "bytesPerS", "result"],
  "show keys": KEY_COLUMNS,
  "show sessions": ["initiator", "target", "peer", "sinceMs", "luns"],
  "show refusals": ["initiator", "device", "why", "command", "count", "lastMs"],
  "show privileges": ["device", "writer", "sinceMs", "waiting", "moving"],
  "show reservations": ["device", "kind", "type", "holders", "sinceMs", "jobs"],
};
