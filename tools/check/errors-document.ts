#!/usr/bin/env node
// Writes ERRORS.md from the table in src/sys/errors.ts: one source, so that the reference cannot drift. A test
// compares the two; `npm run docs` mends a difference.
import { writeFileSync } from "node:fs";
import { ERRORS } from "../../src/sys/errors.js";

const KINDS = {
  input: "mend what was given, then try again",
  refused: "somebody else decides: ask for a key, or for another one",
  state: "not now, or not any more; the message says when",
  device: "look at the device or the medium named",
  system: "look at the machine: room, permissions, the log",
} as const;

/** The whole document. */
export function errorsDocument(): string {
  const rows = Object.entries(ERRORS).sort(([a], [b]) => (a < b ? -1 : 1));
  return `# Errors

Every error of Gantry has a stable code, a sentence that says what is wrong and what to do, and where it helps
\`details\` for machines. Match on the code; messages may be reworded. The same codes stand in replies and reports on
MQTT, in the answers of \`gantry\`, \`gantry-broker\` and \`gantry-agent\` with \`--json\`, and in the log.

| kind | what the receiver should do |
|---|---|
${Object.entries(KINDS)
  .map(([kind, text]) => `| ${kind} | ${text} |`)
  .join("\n")}

| code | kind | meaning, and what to do |
|---|---|---|
${rows.map(([code, { kind, meaning }]) => `| \`${code}\` | ${kind} | ${meaning} |`).join("\n")}
`;
}

if (import.meta.filename === process.argv[1]) writeFileSync("ERRORS.md", errorsDocument());
