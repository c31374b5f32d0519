// Messages of the control plane, and the chunks of block lists.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { decode, encode } from "../../../src/control/codec.js";
import { isName, read } from "../../../src/control/fields.js";
import { ListCheck } from "../../../src/control/list-check.js";
import { CHUNK_BYTES_MAX, decodeChunk, encodeChunk, isMemberName } from "../../../src/control/list-chunk.js";
import { newEntry, readRecord, record } from "../../../src/control/list-entry.js";
import { ListTally } from "../../../src/control/list-tally.js";
import { COMMANDS, isCommandKind } from "../../../src/control/messages/commands.js";
import { envelopeSchema, replySchema } from "../../../src/control/messages/envelope.js";
import {
  eventSchema,
  progressMessageSchema,
  reportMessageSchema,
  stateSchema,
} from "../../../src/control/messages/events.js";
import { Router } from "../../../src/control/router.js";
import { isReplyTopic } from "../../../src/control/topics.js";
import type { ListChunk } from "../../../src/list.js";
import { ERRORS } from "../../../src/sys/errors.js";
import { makeList } from "../../lib/archives.js";
import { must, type Target } from "../target.js";

const BRIDGE = "b1";
const REPLY = `gantry/1/${BRIDGE}/reply/broker`;
const envelope = (kind: string) => ({ v: 1, id: "m-1", kind, reply: REPLY, correlation: Uint8Array.of(1), sentMs: 1 });
const VOLUME = { id: "vol", generation: "g", sequence: 2n ** 64n - 1n };
const HEADER = { volume: VOLUME, blockBytes: 512, members: 3, extents: 4n, bytes: 2048n, chunks: 2 };

const SUBMIT = {
  jobId: "job-1",
  type: "backup",
  keys: [new Uint8Array(16)],
  priority: 100,
  disk: { device: "disk0" },
  tape: { device: "tape0", cartridges: ["A1", "A2"] },
  listId: "list-1",
  volume: VOLUME,
  options: { tapeBlockBytes: 65536, position: "append", sha256: true, bytesPerS: 5n, comment: "é" },
};

/** One of each command. */
const FIELDS: Record<keyof typeof COMMANDS, object> = {
  rebirth: {},
  "status.get": {},
  "key.install": { key: new Uint8Array(90) },
  "key.revoke": { order: new Uint8Array(90) },
  "key.list": { after: "0123456789abcdef", limit: 1000 },
  "list.open": { listId: "list-1", ...HEADER, digest: new Uint8Array(32), device: "disk0" },
  "list.chunk": { listId: "list-1", index: 65535, data: new Uint8Array(50) },
  "list.status": { listId: "list-1" },
  "list.drop": { listId: "list-1" },
  "job.submit": SUBMIT,
  "job.cancel": { jobId: "job-1", reason: "why not" },
  "job.pause": { jobId: "job-1" },
  "job.resume": { jobId: "job-1" },
  "job.rate": { jobId: "job-1", bytesPerS: 2n ** 63n - 1n },
  "job.get": { jobId: "job-1" },
  "job.list": { state: "running", after: "job-0", limit: 500 },
  "job.forget": { jobId: "job-1" },
  "media.list": {},
  "media.load": { device: "tape0", cartridge: "A1", create: true },
  "media.unload": { device: "tape0" },
  "reservation.list": {},
  "reservation.clear": { device: "disk0" },
  "reservation.preempt": { device: "tape0", jobId: "j1" },
  "session.list": {},
  "refusal.list": {},
  "privilege.list": {},
  "privilege.move": { device: "disk0", from: "iqn.2024-01.org.example:a", to: "iqn.2024-01.org.example:b" },
  "manifest.get": { jobId: "job-1", offset: 2n ** 64n - 1n, limit: 262144 },
};

/** Maps that can be sent, as a client of this bridge with this address for replies would. */
export const commandMaps = (reply = REPLY): Record<string, unknown>[] =>
  Object.entries(FIELDS).map(([kind, fields]) => ({ ...envelope(kind), reply, ...fields }));

export const commandMessages = (): Uint8Array[] => commandMaps().map((message) => encode(message));

const commandTarget: Target = {
  name: "message-command",
  codes: ["MESSAGE_MALFORMED", "MESSAGE_INVALID", "MESSAGE_KIND_UNKNOWN"],
  seeds: commandMessages,
  run: (input) => {
    const message = decode(input);
    const { kind, id } = read("message", envelopeSchema, message);
    must(isName(id) && isName(kind), "ids and kinds are names");
    if (!isCommandKind(kind)) return undefined;
    const { fields } = COMMANDS[kind];
    const taken = read(kind, fields, message);
    // What was taken is in the schema's own form: read again, it is the same.
    const again = read(kind, fields, decode(encode(taken)));
    must(Buffer.compare(encode(again), encode(taken)) === 0, "fields do not come back as they were");
    return taken;
  },
  proportion: 200,
};

const PROGRESS = {
  jobId: "job-1",
  type: "verify",
  state: "failed",
  bytesDone: 2n ** 63n,
  bytesTotal: 2n ** 64n - 1n,
  membersDone: 1,
  membersTotal: 2,
  bytesPerS: 3n,
  cartridge: "A1",
  tapeWaits: 4n,
};
const REPORT = {
  ...PROGRESS,
  failure: { code: "VERIFY_DIFFERS", message: "It differs.", device: "tape0", sense: "NO SENSE", details: { at: 5n } },
  submittedMs: 1,
  startedMs: 2,
  endedMs: 3,
  volumes: [{ cartridge: "A1", firstObject: 0n, endObject: 9n, from: 0n, to: 4096n }],
  manifest: { offset: 512n, bytes: 1024n },
  tapeBlockBytes: 512,
  manifestCrc32c: 0xffff_ffff,
  lost: [{ device: "disk0", lba: 5n, blocks: 1n, sense: "MEDIUM ERROR", streamOffset: 77n }],
  miscompares: [{ member: "a/b", streamOffset: 6n, reason: "other bytes" }],
  retries: 0n,
  resumes: 1,
  sourceWaitMs: 2,
  tapeWaitMs: 3,
  throttleMs: 4,
};

/** What a broker reads: replies, and what the bridge says of its own accord. */
const broadcastTarget: Target = {
  name: "message-to-broker",
  codes: ["MESSAGE_MALFORMED", "MESSAGE_INVALID"],
  seeds: () =>
    [
      { ...envelope("accepted"), to: "m-1", result: { jobId: "job-1", state: "queued" } },
      { ...envelope("rejected"), to: "", error: { code: "JOB_UNKNOWN", message: "There is none.", details: {} } },
      { ...envelope("state"), online: true, bdSeq: 5n, bootId: "b", version: "1", limits: { messageBytes: 5 } },
      { ...envelope("job.progress"), progress: PROGRESS },
      { ...envelope("job.report"), report: REPORT },
      { ...envelope("event"), event: "disk.full", severity: "warning", message: "No room.", details: {} },
    ].map((message) => encode(message)),
  run: (input) => {
    const message = decode(input);
    const { kind } = read("message", envelopeSchema, message);
    if (kind === "state") return read(kind, stateSchema, message);
    if (kind === "job.progress") return read(kind, progressMessageSchema, message);
    if (kind === "job.report") return read(kind, reportMessageSchema, message);
    if (kind === "event") return read(kind, eventSchema, message);
    return read("reply", replySchema, message);
  },
  proportion: 200,
};

const TOPICS = ["cmd/job.get", "cmd/status.get", "list/list-1", "cmd/", "list/a/b", "state"];

/** Values of every type, at every edge. */
const ODD: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  255,
  256,
  511,
  513,
  65535,
  65536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
  -(2n ** 63n),
  -(2n ** 64n),
  "",
  ".",
  "..",
  "a/b",
  "a b",
  "ü",
  "x".repeat(64),
  "x".repeat(65),
  "x".repeat(5000),
  "\u0000",
  "constructor",
  "backup",
  new Uint8Array(),
  new Uint8Array(7),
  new Uint8Array(8),
  new Uint8Array(32),
  new Uint8Array(33),
  new Uint8Array(17000),
  [],
  [[]],
  ["a"],
  [1],
  [null],
  [new Uint8Array(8)],
  Array.from({ length: 300 }, () => "a"),
  {},
  { device: 5 },
  { device: "disk0", cartridges: "A1" },
  { id: "", generation: "", sequence: -1 },
  BigUint64Array.of(2n ** 64n - 1n),
  BigUint64Array.of(),
  Uint32Array.of(0),
  Uint32Array.of(1, 2, 3),
];

/** Puts another value where steps lead to: a key of a map or an item of an array each. */
export function mistype(value: unknown, steps: Uint8Array): unknown {
  const [step, ...rest] = steps;
  // `undefined` alone is no message.
  if (step === undefined) return {};
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || rest.length < 1)
    return ODD[step % ODD.length];
  const keys = Object.keys(value);
  const key = keys[step % Math.max(1, keys.length)] ?? "more";
  const inner = mistype((value as Record<string, unknown>)[key], Uint8Array.from(rest));
  if (Array.isArray(value)) return value.map((item, at) => (String(at) === key ? (inner ?? null) : item));
  return { ...value, [key]: inner };
}

/** The input says which message, and where in it what is wrong: well-formed, and of another type or range. */
const mistypedTarget: Target = {
  name: "message-mistyped",
  codes: ["MESSAGE_INVALID", "MESSAGE_KIND_UNKNOWN", "MESSAGE_MALFORMED"],
  seeds: () => Object.keys(FIELDS).map((_, at) => Uint8Array.of(at, 7, at, at)),
  run: (input) => {
    const entries = Object.entries(FIELDS);
    const [kind, fields] = entries[(input[0] ?? 0) % entries.length] ?? ["rebirth", {}];
    return commandTarget.run(encode(mistype({ ...envelope(kind), ...fields }, input.subarray(1, 6)) ?? null));
  },
  proportion: 100_000,
};

const mistypedChunkTarget: Target = {
  name: "list-chunk-mistyped",
  codes: ["LIST_INVALID", "MESSAGE_MALFORMED"],
  seeds: () => [0, 1, 2, 3].map((at) => Uint8Array.of(0, at, 0, at, 9)),
  run: (input) => {
    const { members, extents } = CHUNKS[(input[0] ?? 0) % CHUNKS.length] ?? { members: [], extents: {} };
    return chunkTarget.run(encode(mistype({ members, ...extents }, input.subarray(1, 6)) ?? null));
  },
  proportion: 100_000,
};

/** The whole way of a command: whatever comes, one reply of known form or none, and never an exception. */
const routerTarget: Target = {
  name: "message-router",
  codes: [],
  seeds: commandMessages,
  run: async (input) => {
    const router = new Router({ bridgeId: BRIDGE, clock: { nowMs: () => 5 }, newId: () => "r-1" });
    router.on("status.get", async () => ({ fine: true })).on("rebirth", async () => ({}));
    for (const part of TOPICS) {
      const reply = await router.answer({ topic: `gantry/1/${BRIDGE}/${part}`, payload: input, responseTopic: REPLY });
      if (reply === undefined) continue;
      must(isReplyTopic(BRIDGE, reply.topic), "replies go below reply/");
      const { kind, error } = read("reply", replySchema, decode(reply.payload));
      must(kind === "accepted" || (error !== undefined && error.code in ERRORS), "a rejection has a known code");
      must(error?.code !== "INTERNAL", `a defect: ${error?.message}`);
    }
    return undefined;
  },
};

const CHUNKS = makeList(
  [
    { name: "a/ü", at: [[0, 10, 3]] },
    {
      name: "hole",
      at: [
        [0, 20, 1],
        [5, 30, 2],
      ],
      uname: "ann",
      gname: "staff",
    },
    { name: "d", type: "directory" },
    { name: "l", type: "symlink", linkName: "../x" },
    { name: "h", type: "hardlink", linkName: "a/ü" },
    { name: "img", type: "image", at: [[0, 0, 8]], size: 2n ** 62n },
  ],
  512,
);

const U64 = fc.bigInt(0n, 2n ** 64n - 1n);
const chunk: fc.Arbitrary<ListChunk> = fc
  .array(fc.tuple(U64, U64, fc.integer({ min: 1, max: 0xffff_ffff })), { maxLength: 20 })
  .map((extents) => ({
    index: 0,
    members: CHUNKS[0]?.members ?? [],
    extents: {
      fileOffset: BigUint64Array.from(extents, ([offset]) => offset),
      lba: BigUint64Array.from(extents, ([, lba]) => lba),
      blocks: Uint32Array.from(extents, ([, , blocks]) => blocks),
    },
  }));

const LIST_CODES = ["LIST_INVALID", "MESSAGE_MALFORMED", "MESSAGE_TOO_LARGE"] as const;

const chunkTarget: Target = {
  name: "list-chunk",
  codes: LIST_CODES,
  seeds: () => CHUNKS.map(encodeChunk),
  run: (input) => {
    const { members, extents } = decodeChunk(input, 0);
    const { fileOffset, lba, blocks } = extents;
    must(fileOffset.length === lba.length && lba.length === blocks.length, "three arrays of one length");
    must(!blocks.includes(0), "no extent is empty");
    for (const member of members) {
      must(isMemberName(member.name), "names are relative");
      must(member.size >= 0n && member.size < 2n ** 63n, "sizes have 63 bits");
      must(member.extents === 0 || member.type === "file" || member.type === "image", "only data has extents");
    }
    must(encodeChunk({ index: 0, members, extents }).length <= CHUNK_BYTES_MAX, "what was taken can be sent");
    return { members, extents };
  },
  roundTrip: fc.property(chunk, (value) => {
    const bytes = encodeChunk(value);
    must(Buffer.compare(encodeChunk(decodeChunk(bytes, 0)), bytes) === 0, "a chunk does not come back");
  }) as fc.IProperty<[unknown]>,
};

/** A whole list of one chunk under the header of its own: only what contradicts itself is refused. */
const listTarget: Target = {
  name: "list-check",
  codes: LIST_CODES,
  seeds: () => CHUNKS.map(encodeChunk),
  run: (input) => {
    const { members, extents } = decodeChunk(input, 0);
    const sum = extents.blocks.reduce((total, blocks) => total + BigInt(blocks), 0n);
    const digest = Uint8Array.from(createHash("sha256").update(input).digest());
    const totals = { members: members.length, extents: BigInt(extents.blocks.length), bytes: sum * 512n, chunks: 1 };
    const check = new ListCheck({ listId: "l", volume: VOLUME, blockBytes: 512, ...totals, digest });
    check.add(input, 0);
    check.finish();
    extents.lba.forEach((lba, at) => {
      must(lba + BigInt(extents.blocks[at] ?? 0) <= 2n ** 64n, "no extent goes past 2^64");
      must((extents.fileOffset[at] ?? 0n) % 512n === 0n, "file offsets are whole blocks");
    });
    return totals;
  },
};

const recordTarget: Target = {
  name: "list-record",
  codes: [],
  seeds: () => {
    const tally = new ListTally();
    for (const each of CHUNKS) tally.add(each);
    const header = tally.header("list-1", VOLUME, 512);
    return [record({ header, device: "disk0" }, false), record({ header, device: "disk0" }, true)];
  },
  run: (input) => {
    const entry = readRecord(input, 0);
    if (entry === undefined) return undefined;
    must(entry.header.chunks === newEntry(entry, 0).sizes.length, "a place for each chunk");
    return { header: entry.header, device: entry.device };
  },
};

export const messageTargets: readonly Target[] = [
  commandTarget,
  broadcastTarget,
  mistypedTarget,
  routerTarget,
  chunkTarget,
  mistypedChunkTarget,
  listTarget,
  recordTarget,
];
