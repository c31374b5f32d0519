// PROTOCOL.md is the reference; this keeps it in step with the schemas.
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { encode } from "../../../src/control/codec.js";
import { COMMANDS } from "../../../src/control/messages/commands.js";
import { envelopeSchema, replySchema } from "../../../src/control/messages/envelope.js";
import { eventSchema, limitsSchema, stateSchema } from "../../../src/control/messages/events.js";
import { jobProgressSchema, jobReportSchema } from "../../../src/control/messages/jobs.js";
import { ERRORS } from "../../../src/sys/errors.js";

/** Top of the tree, from dist/test/unit/control/. */
const ROOT = new URL("../../../../", import.meta.url);
const document = readFileSync(new URL("PROTOCOL.md", ROOT), "utf8");

/** Text from the heading of a command to the next heading. */
function section(kind: string): string {
  const start = document.indexOf(`### \`${kind}\`\n`);
  if (start < 0) return "";
  const end = document.indexOf("\n#", start + 4);
  return document.slice(start, end < 0 ? undefined : end);
}

/** Names of all fields of a schema, of nested maps too. */
function fieldNames(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { entries, wrapped, pipe, item, type } = schema as Record<string, unknown>;
  const inner = [wrapped, item, ...(Array.isArray(pipe) ? pipe.filter((part) => part !== schema) : [])];
  const own = type === "object" ? Object.entries(entries as object) : [];
  return [...own.flatMap(([name, field]) => [name, ...fieldNames(field)]), ...inner.flatMap(fieldNames)];
}

test("every command has its section, which names every field", (t) => {
  for (const [kind, { fields }] of Object.entries(COMMANDS)) {
    const text = section(kind) + (kind === "job.submit" ? section("list.open") : "");
    t.not(text, "", kind);
    for (const name of fieldNames(fields)) t.true(text.includes(`\`${name}\``), `${kind}: ${name}`);
  }
});

test("there is no section of a command that does not exist", (t) => {
  const headings = [...document.matchAll(/^### `([a-z.]+)`$/gm)].map((match) => match[1]);
  const known = new Set([...Object.keys(COMMANDS), "state", "job.progress", "job.report", "event"]);
  t.deepEqual(
    headings.filter((kind) => kind === undefined || !known.has(kind)),
    [],
  );
});

test("every field of envelope, replies, results and what the bridge says is named", (t) => {
  const schemas = [
    envelopeSchema,
    replySchema,
    eventSchema,
    limitsSchema,
    stateSchema,
    jobProgressSchema,
    jobReportSchema,
  ];
  const results = Object.values(COMMANDS).map(({ result }) => result);
  const names = [...schemas, ...results].flatMap(fieldNames);
  t.true(names.length > 100);
  for (const name of new Set(names)) t.true(document.includes(`\`${name}\``), name);
});

test("every error code that the control plane makes is in the table of errors and in the document", (t) => {
  const sources = readdirSync(new URL("src/control/", ROOT)).filter((name) => name.endsWith(".ts"));
  const codes = sources.flatMap((name) => {
    const text = readFileSync(new URL(`src/control/${name}`, ROOT), "utf8");
    return [...text.matchAll(/new GantryError\(\s*"([A-Z_]+)"/g)].map((match) => match[1] ?? "");
  });
  t.true(codes.length > 20);
  for (const code of new Set(codes)) {
    t.true(Object.hasOwn(ERRORS, code), code);
    t.true(document.includes(`\`${code}\``), code);
  }
});

test("the example in bytes is the example in words", (t) => {
  const [, notation, hex] = /```\n(\{.*\})\n```\n```\n([0-9a-f\s]+)```/.exec(document) ?? [];
  const value: unknown = JSON.parse(notation ?? "");
  t.is(Buffer.from(encode(value)).toString("hex"), (hex ?? "").replace(/\s/g, ""));
});
