// The commands: for each kind the fields of the command and those of an accepted reply's result. The one table
// that the router, the client and PROTOCOL.md follow.
import * as v from "valibot";
import type { ListHeader } from "../../list.js";
import { anyMap, big, bytes, flag, INT64_MAX, list, map, name, oneOf, text, uint64, whole } from "../fields.js";
import { CHUNK_BYTES_MAX, CHUNKS_MAX } from "../list-chunk.js";
import { jobProgressSchema, jobReportSchema, jobSpecSchema, jobState, keyId, volumeSchema } from "./jobs.js";

/** Largest key or revocation order, bytes (COSE_Sign1). */
export const KEY_BYTES_MAX = 16384;

/** Largest page of a manifest, bytes. */
export const PAGE_BYTES_MAX = 256 * 1024;

/** Most keys in one page; keys with long lists of devices make it shorter. */
export const KEYS_PAGE_MAX = 1000;

const MAX = Number.MAX_SAFE_INTEGER;

const blockBytes = v.pipe(
  whole(512, 4096),
  v.check((n) => n === 512 || n === 4096, "must be 512 or 4096"),
);

const headerEntries = {
  listId: name,
  volume: volumeSchema,
  blockBytes,
  members: whole(0, MAX),
  extents: uint64,
  bytes: big(0n, INT64_MAX),
  chunks: whole(1, CHUNKS_MAX),
  digest: bytes(32, 32),
};

export const listHeaderSchema = map(headerEntries);

const listStatus = map({
  listId: name,
  /** open: chunks are missing; checking: all are stored and are read through; whole: the digest matched and it is durable. */
  state: oneOf(["open", "checking", "whole"]),
  chunks: whole(0, CHUNKS_MAX),
  stored: whole(0, CHUNKS_MAX),
  /** Missing chunk indexes as [first, last], in order; at most 1000 ranges, the lowest. */
  missing: list(v.strictTuple([whole(0, CHUNKS_MAX), whole(0, CHUNKS_MAX)]), 1000),
});

export type ListStatus = v.InferOutput<typeof listStatus>;

/** Id of a key as facts show it. */
const keyIdText = v.pipe(
  text(64, 16),
  v.regex(/^[0-9a-f]+$/, "must be an id of a key in lower-case hexadecimal digits"),
);

const empty = map({});
const jobAnswer = map({ jobId: name, state: jobState });
const jobOnly = map({ jobId: name });

/** Kind → schemas. "repeat": carrying it out again changes nothing, so that it needs no memory of message ids. */
export const COMMANDS = {
  rebirth: { fields: empty, result: empty, repeat: true },
  "status.get": { fields: empty, result: anyMap, repeat: true },
  "key.install": {
    fields: map({
      key: bytes(1, KEY_BYTES_MAX),
      chap: v.exactOptional(map({ name: text(255, 1), secret: bytes(12, 255) })),
    }),
    result: map({ keyId }),
    repeat: false,
  },
  "key.revoke": {
    fields: map({ order: bytes(1, KEY_BYTES_MAX) }),
    result: map({ revoked: whole(0, MAX) }),
    repeat: false,
  },
  "key.list": {
    fields: map({
      after: v.exactOptional(keyIdText),
      limit: v.optional(whole(1, KEYS_PAGE_MAX), KEYS_PAGE_MAX),
    }),
    result: map({ keys: list(anyMap, KEYS_PAGE_MAX), more: flag }),
    repeat: true,
  },
  "list.open": { fields: map({ ...headerEntries, device: name }), result: listStatus, repeat: true },
  "list.chunk": {
    fields: map({ listId: name, index: whole(0, CHUNKS_MAX - 1), data: bytes(1, CHUNK_BYTES_MAX) }),
    result: listStatus,
    repeat: true,
  },
  "list.status": { fields: map({ listId: name }), result: listStatus, repeat: true },
  "list.drop": { fields: map({ listId: name }), result: map({ listId: name }), repeat: false },
  "job.submit": { fields: jobSpecSchema, result: jobAnswer, repeat: false },
  "job.cancel": { fields: map({ jobId: name, reason: v.exactOptional(text(1024)) }), result: jobAnswer, repeat: false },
  "job.pause": { fields: jobOnly, result: jobAnswer, repeat: false },
  "job.resume": { fields: jobOnly, result: jobAnswer, repeat: false },
  "job.rate": { fields: map({ jobId: name, bytesPerS: big(0n, INT64_MAX) }), result: jobAnswer, repeat: false },
  "job.get": {
    fields: jobOnly,
    result: map({ progress: jobProgressSchema, report: v.exactOptional(jobReportSchema) }),
    repeat: true,
  },
  "job.list": {
    fields: map({
      state: v.exactOptional(jobState),
      after: v.exactOptional(name),
      limit: v.optional(whole(1, 500), 100),
    }),
    result: map({ jobs: list(jobProgressSchema, 500), more: flag }),
    repeat: true,
  },
  "job.forget": { fields: jobOnly, result: jobOnly, repeat: false },
  "media.list": { fields: empty, result: map({ media: list(anyMap, 10_000) }), repeat: true },
  "media.load": {
    fields: map({ device: name, cartridge: name, create: v.exactOptional(flag) }),
    result: map({}),
    repeat: false,
  },
  "media.unload": { fields: map({ device: name }), result: map({}), repeat: false },
  "reservation.list": { fields: empty, result: map({ reservations: list(anyMap, 10_000) }), repeat: true },
  "reservation.clear": { fields: map({ device: name }), result: map({ was: anyMap }), repeat: false },
  "session.list": { fields: empty, result: map({ sessions: list(anyMap, 10_000) }), repeat: true },
  "refusal.list": { fields: empty, result: map({ refusals: list(anyMap, 10_000) }), repeat: true },
  "privilege.list": { fields: empty, result: map({ privileges: list(anyMap, 10_000) }), repeat: true },
  "privilege.move": {
    fields: map({ device: name, from: text(223, 1), to: text(223, 1) }),
    result: map({ privilege: anyMap }),
    repeat: false,
  },
  "reservation.preempt": {
    fields: map({ device: name, jobId: v.exactOptional(name), initiator: v.exactOptional(text(223, 1)) }),
    result: map({ was: anyMap }),
    repeat: false,
  },
  "manifest.get": {
    fields: map({
      jobId: name,
      offset: v.optional(uint64, 0n),
      limit: v.optional(whole(1, PAGE_BYTES_MAX), PAGE_BYTES_MAX),
    }),
    result: map({ jobId: name, offset: uint64, total: uint64, data: bytes(0, PAGE_BYTES_MAX) }),
    repeat: true,
  },
} as const satisfies Record<string, { fields: v.GenericSchema; result: v.GenericSchema; repeat: boolean }>;

export type CommandKind = keyof typeof COMMANDS;
/** What a handler gets: checked, defaults filled in. */
export type CommandFields<K extends CommandKind> = v.InferOutput<(typeof COMMANDS)[K]["fields"]>;
export type CommandResult<K extends CommandKind> = v.InferOutput<(typeof COMMANDS)[K]["result"]>;

/** Optional fields with defaults may be left out by who sends. */
type Sent<K extends CommandKind> = K extends "job.submit"
  ? Omit<CommandFields<"job.submit">, "priority" | "options"> &
      Partial<Pick<CommandFields<"job.submit">, "priority" | "options">>
  : K extends "job.list" | "key.list" | "manifest.get"
    ? Omit<CommandFields<K>, "limit" | "offset"> & Partial<CommandFields<K>>
    : CommandFields<K>;
export type CommandToSend<K extends CommandKind> = Sent<K>;

export function isCommandKind(kind: string): kind is CommandKind {
  return Object.hasOwn(COMMANDS, kind);
}

type Header = v.InferOutput<typeof listHeaderSchema>;
const headersAreTheSame: [Header, ListHeader] extends [ListHeader, Header] ? true : false = true;
void headersAreTheSame;
