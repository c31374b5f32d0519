// Whoever may publish to the bridge may send anything. Nothing of it hurts a job that runs, the daemon, or the disk
// that its log is on; what is refused is refused with a code and a sentence.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { connectAsync } from "mqtt";
import type { KeyRequest } from "../../src/admit/issuer.js";
import { decode, encode } from "../../src/control/codec.js";
import { encodeChunk, listDigest } from "../../src/control/list-chunk.js";
import type { ListChunk, ListHeader } from "../../src/list.js";
import { ERRORS } from "../../src/sys/errors.js";
import { type CborKey, CborTag, type CborValue, decodeCbor, encodeCbor } from "../../src/wire/cbor-strict.js";
import { mutants } from "../fuzz/mutate.js";
import { commandMaps, mistype } from "../fuzz/targets/messages.js";
import { BRIDGE } from "../lib/bridge.js";
import { deviceTables, failedWith, type Plant, startPlant, succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList, VOLUME } from "../lib/raw-disk.js";
import { slowJob, slowPlant, until } from "../lib/slow-bridge.js";

const SEED = Number(process.env.GANTRY_FUZZ_SEED ?? Date.now() % 2 ** 31);
const MESSAGES = 1000;
const MIB = 1024 * 1024;
const root = `gantry/1/${BRIDGE}`;
const reply = `${root}/reply/hostile`;

const rss = (pid: number): number => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;

test("a thousand hostile messages on all topics: a job that runs is not hurt, every reply has a known code, the log stays small", async (t) => {
  t.log(`GANTRY_FUZZ_SEED=${SEED}`);
  const plant = await slowPlant(t);
  const { bridge, directory, mosquitto } = plant;
  // So slow that it does not end by itself while all of this comes.
  const report = bridge.session.run(await slowJob(bridge, "victim", { options: { bytesPerS: 4096n } }));
  report.catch(() => undefined);
  const state = () => bridge.session.client.send("job.get", { jobId: "victim" }).then(({ progress }) => progress.state);
  await until(async () => (await state().catch(() => "")) === "running");
  const client = await connectAsync(`mqtt://127.0.0.1:${mosquitto.port}`, { clientId: "hostile", protocolVersion: 5 });
  t.teardown(() => client.endAsync(true));
  const codes = new Map<string, number>();
  client.on("message", (_topic, payload) => {
    const { kind, error } = decode(payload) as { kind: string; error?: { code: string; message: string } };
    const code = kind === "accepted" ? kind : (error?.code ?? "a rejection without an error");
    codes.set(code, (codes.get(code) ?? 0) + 1);
  });
  await client.subscribeAsync(reply, { qos: 1 });
  const maps = commandMaps(reply);
  const topics = [
    ...maps.map(({ kind }) => (kind === "list.chunk" ? `${root}/list/list-1` : `${root}/cmd/${String(kind)}`)),
    `${root}/cmd/`,
    `${root}/list/${"x".repeat(5000)}`,
    `${root}/list/none`,
    `${root}/cmd/constructor`,
    `${root}/cmd/job.get/more`,
    `${root}/state/x`,
  ];
  const broken = fc.sample(mutants({ seeds: maps.map((map) => encode(map)), words: [] }), {
    seed: SEED,
    numRuns: MESSAGES / 2,
  });
  const steps = fc.sample(fc.uint8Array({ minLength: 2, maxLength: 4 }), { seed: SEED, numRuns: MESSAGES / 2 });
  // Well-formed, an id of its own, and something in it of another type.
  const wrong = steps.map((step, at) => {
    const message = mistype({ ...maps[at % maps.length], id: `m-${at}` }, step) ?? null;
    return { topic: topics[at % maps.length] ?? root, payload: encode(message) };
  });
  const noise = broken.map((payload, at) => ({ topic: topics[at % topics.length] ?? root, payload }));
  const before = rss(bridge.pid);
  for (const { topic, payload } of [
    ...wrong,
    ...noise,
    { topic: `${root}/cmd/job.get`, payload: new Uint8Array(MIB + 1) },
  ])
    await client.publishAsync(topic, Buffer.from(payload), { qos: 1, properties: { responseTopic: reply } });

  // Commands are taken in the order in which they came: when this one is answered, so are those.
  await bridge.session.client.send("job.rate", { jobId: "victim", bytesPerS: 0n });
  succeeded(t, await report);
  await until(() => (codes.get("MESSAGE_INVALID") ?? 0) > 0 && (codes.get("MESSAGE_MALFORMED") ?? 0) > 0);
  for (const code of codes.keys()) t.true(code === "accepted" || (code in ERRORS && code !== "INTERNAL"), code);
  t.log([...codes].map(([code, count]) => `${count} ${code}`).join(", "));
  t.true(rss(bridge.pid) - before < 128 * MIB, `${(rss(bridge.pid) - before) / MIB} MiB more`);
  const log = readFileSync(join(directory, "gantryd.log"), "utf8");
  t.true(log.split("\n").filter((line) => line.includes("could not be handled")).length <= 63, "twenty lines a minute");
  t.true(log.length < MIB);
});

test("more rebirths at once than messages are handled at once do not stop the bridge from listening", async (t) => {
  const { bridge, mosquitto } = await slowPlant(t);
  const client = await connectAsync(`mqtt://127.0.0.1:${mosquitto.port}`, { clientId: "hostile", protocolVersion: 5 });
  t.teardown(() => client.endAsync(true));
  const rebirth = (id: string) => Buffer.from(encode({ v: 1, id, kind: "rebirth", sentMs: 1 }));
  await Promise.all(
    Array.from({ length: 200 }, (_, at) => client.publishAsync(`${root}/cmd/rebirth`, rebirth(`m-${at}`), { qos: 1 })),
  );
  t.is((await bridge.session.client.send("status.get", {})).bridge, BRIDGE);
});

interface Draft {
  readonly listId: string;
  readonly extents: readonly (readonly [offset: bigint, lba: bigint, blocks: number])[];
  readonly change?: Partial<ListHeader>;
}

/** A list of one file in one chunk, right but for what the test wants. */
function draft({ listId, extents, change = {} }: Draft): { header: ListHeader; bytes: Uint8Array } {
  const chunk: ListChunk = {
    index: 0,
    members: [
      { name: "f", type: "file", size: 2n ** 40n, mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n, extents: extents.length },
    ],
    extents: {
      fileOffset: BigUint64Array.from(extents, ([offset]) => offset),
      lba: BigUint64Array.from(extents, ([, lba]) => lba),
      blocks: Uint32Array.from(extents, ([, , blocks]) => blocks),
    },
  };
  const bytes = encodeChunk(chunk);
  const sum = extents.reduce((total, [, , blocks]) => total + BigInt(blocks), 0n) * 512n;
  const digest = Uint8Array.from(listDigest().update(bytes).digest());
  const totals = { members: 1, extents: BigInt(extents.length), bytes: sum, chunks: 1, digest };
  return { header: { listId, volume: VOLUME, blockBytes: 512, ...totals, ...change }, bytes };
}

const END = 2n ** 64n;

test("lists that lie: each is refused with its own code, and none of them can be used", async (t) => {
  const plant = await slowPlant(t);
  const { client } = plant.bridge.session;
  const sent = async (what: Draft) => {
    const { header, bytes } = draft(what);
    await client.send("list.open", { ...header, device: "disk0" });
    return client.send("list.chunk", { listId: what.listId, index: 0, data: bytes });
  };
  const refused = async (code: string, message: RegExp, what: Draft) => {
    await t.throwsAsync(sent(what), { code, message }, what.listId);
    const submit = await slowJob(plant.bridge, `job-${what.listId}`, { listId: what.listId });
    await t.throwsAsync(client.send("job.submit", submit), { code: "LIST_NOT_WHOLE" }, what.listId);
  };
  const one: Draft["extents"] = [[0n, 8n, 8]];
  await refused("LIST_DIGEST_WRONG", /SHA-256/, {
    listId: "digest",
    extents: one,
    change: { digest: new Uint8Array(32) },
  });
  await refused("LIST_INVALID", /at least 1/, { listId: "empty", extents: [[0n, 8n, 0]] });
  await refused("LIST_INVALID", /past 2\^64/, { listId: "wraps", extents: [[0n, END - 4n, 8]] });
  await refused("LIST_INVALID", /past 2\^63-1/, { listId: "offset-wraps", extents: [[END - 512n, 8n, 8]] });
  await refused("LIST_INVALID", /not a multiple/, { listId: "odd", extents: [[5n, 8n, 8]] });
  await refused("LIST_INVALID", /does not rise/, {
    listId: "falls",
    extents: [
      [4096n, 8n, 8],
      [0n, 90n, 8],
    ],
  });
  await refused("LIST_INVALID", /4096 bytes, the header says 4095/, {
    listId: "sum",
    extents: one,
    change: { bytes: 4095n },
  });
  await refused("LIST_INVALID", /has 1 extents, the header says/, {
    listId: "count",
    extents: one,
    change: { extents: END - 1n },
  });
  await refused("LIST_INVALID", /has 1 members, the header says 2/, {
    listId: "members",
    extents: one,
    change: { members: 2 },
  });
  const beyond = { listId: "beyond", extents: one };
  await client.send("list.open", { ...draft(beyond).header, device: "disk0" });
  const data = draft(beyond).bytes;
  await t.throwsAsync(client.send("list.chunk", { listId: "beyond", index: 1, data }), { code: "LIST_INVALID" });
  await t.throwsAsync(client.send("list.open", { ...draft(beyond).header, blockBytes: 520 as 512, device: "disk0" }), {
    code: "MESSAGE_INVALID",
    message: /`blockBytes` must be 512 or 4096/,
  });
  await t.throwsAsync(client.send("list.open", { ...draft(beyond).header, chunks: 65537, device: "disk0" }), {
    code: "MESSAGE_INVALID",
    message: /65536/,
  });

  // What only the device tells is found when the job starts, before anything moves.
  const ends = async (listId: string, extents: Draft["extents"], words: RegExp, change?: Partial<ListHeader>) => {
    t.is((await sent({ listId, extents, ...(change === undefined ? {} : { change }) })).state, "whole");
    failedWith(
      t,
      await plant.bridge.session.run(await slowJob(plant.bridge, listId, { listId })),
      "LIST_EXTENT_INVALID",
      words,
    );
  };
  await ends("past-end", [[0n, 16_383n, 2]], /lies outside disk0, which has 16384 blocks/);
  await ends("far-past-end", [[0n, END - 1n, 1]], /lies outside disk0/);
  await ends(
    "overlap",
    [
      [0n, 8n, 8],
      [4096n, 15n, 8],
    ],
    /share block 15/,
  );
  await ends("other-blocks", one, /blocks of 4096 bytes, but disk0 has blocks of 512/, {
    blockBytes: 4096,
    bytes: 32768n,
  });
});

test("chunks in any order and doubled are one list; up to 65536 of them, and no more bytes than there is room", async (t) => {
  const plant = await startPlant(t, {
    jobs: "max_list_mib = 8",
    devices: (dir) => {
      rawDisk(join(dir, "disk.img"), 1);
      return deviceTables({ disks: { disk0: { path: join(dir, "disk.img") } } });
    },
  });
  const { client } = plant.bridge.session;
  const empty = encodeChunk({ index: 0, members: [], extents: NOTHING });
  const CHUNKS = 2000;
  const digest = listDigest();
  for (let index = 0; index < CHUNKS; index++) digest.update(empty);
  const totals = { members: 0, extents: 0n, bytes: 0n, digest: Uint8Array.from(digest.digest()) };
  const header = { listId: "many", volume: VOLUME, blockBytes: 512, ...totals, chunks: CHUNKS, device: "disk0" };
  await client.send("list.open", header);
  const order = Array.from({ length: CHUNKS }, (_, index) => (index * 1237) % CHUNKS);
  for (let at = 0; at < CHUNKS; at += 50) {
    const part = order.slice(at, at + 50);
    const send = (index: number) => client.send("list.chunk", { listId: "many", index, data: empty });
    await Promise.all([...part, ...part.slice(0, 5)].map(send));
  }
  t.is((await client.send("list.status", { listId: "many" })).state, "whole");

  // The most chunks that there may be: what is missing is told in ranges.
  const most = { ...header, listId: "most", chunks: 65536 };
  t.deepEqual((await client.send("list.open", most)).missing, [[0, 65535]]);
  const status = await client.send("list.chunk", { listId: "most", index: 65535, data: empty });
  t.deepEqual(status.missing, [[0, 65534]]);

  const large = {
    name: "x".repeat(4000),
    type: "directory",
    size: 0n,
    mode: 0,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    extents: 0,
  } as const;
  const data = encodeChunk({ index: 0, members: Array.from({ length: 128 }, () => large), extents: NOTHING });
  const fill = async (): Promise<void> => {
    for (let index = 0; index < 20; index++) await client.send("list.chunk", { listId: "most", index, data });
  };
  await t.throwsAsync(fill(), { code: "LIST_LIMIT", message: /more than 8388608 bytes/ });
});

const NOTHING = { fileOffset: new BigUint64Array(), lba: new BigUint64Array(), blocks: new Uint32Array() };

test("keys that nobody should take: each is refused with its own code, and no byte of a good one can be another", async (t) => {
  const plant = await slowPlant(t);
  const { bridge } = plant;
  const { client } = bridge.session;
  const issuer = bridge.home.issuer();
  const { epoch } = bridge.home.facts();
  const now = Date.now();
  const request = (more: Partial<KeyRequest> = {}): KeyRequest => ({
    holder: { kind: "job", id: "j" },
    audience: [BRIDGE],
    devices: [{ kind: "device", name: "disk0" }],
    rights: ["read"],
    expiresMs: now + 600_000,
    epoch,
    ...more,
  });
  const install = (key: Uint8Array) => client.send("key.install", { key });
  const refused = async (code: string, key: Uint8Array, message?: RegExp) =>
    void (await t.throwsAsync(install(key), message === undefined ? { code } : { code, message }, code));
  const good = issuer.issue(request(), now);

  for (let at = 0; at < good.token.length; at++) {
    const altered = Uint8Array.from(good.token);
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
    const error = await t.throwsAsync(install(altered), undefined, `byte ${at}`);
    t.regex((error as { code?: string } | undefined)?.code ?? "", /^KEY_/, `byte ${at}`);
  }
  t.is((await client.send("key.list", {})).keys.length, 0);

  const { Issuer, generateIssuerKeyPair } = await import("../../src/admit/issuer.js");
  const { privatePem } = generateIssuerKeyPair();
  const { kid, name } = bridge.home.facts();
  await refused("KEY_SIGNATURE_WRONG", new Issuer(name, privatePem, kid).issue(request(), now).token);
  await refused("KEY_ISSUER_UNKNOWN", new Issuer(name, privatePem).issue(request(), now).token);
  await refused("KEY_AUDIENCE_WRONG", issuer.issue(request({ audience: ["another-bridge"] }), now).token);
  await refused("KEY_EXPIRED", issuer.issue(request({ expiresMs: now - 60_000 }), now - 600_000).token);
  await refused("KEY_NOT_YET_VALID", issuer.issue(request({ notBeforeMs: now + 300_000 }), now).token);
  await refused("KEY_LIFETIME_TOO_LONG", issuer.issue(request({ expiresMs: now + 3.2e10 }), now).token);
  await refused("MESSAGE_INVALID", new Uint8Array(16385), /`key` must be a byte string of 1 to 16384 bytes/);
  await refused("KEY_MALFORMED", new Uint8Array(16384));

  // Taken apart and put together in another way.
  const parts = (decodeCbor(good.token) as CborTag).value as readonly CborValue[];
  const [protectedBytes, , payload, signature] = parts as [Uint8Array, unknown, Uint8Array, Uint8Array];
  const header = decodeCbor(protectedBytes) as ReadonlyMap<CborKey, CborValue>;
  const message = (more: readonly (readonly [CborKey, CborValue])[], unprotected: CborValue = new Map()) =>
    encodeCbor(new CborTag(18, [encodeCbor(new Map([...header, ...more])), unprotected, payload, signature]));
  await refused("KEY_ALGORITHM", message([[1, -7]]), /-7 is not taken/);
  await refused("KEY_ALGORITHM", message([[1, "none"]]));
  await refused(
    "KEY_CRITICAL_UNKNOWN",
    message([
      [2, [99]],
      [99, 1],
    ]),
    /Header 99 is critical/,
  );
  await refused("KEY_MALFORMED", message([], new Map([[1, -7]])), /both headers/);
  await refused("KEY_MALFORMED", encodeCbor(new CborTag(98, parts)), /tag 98/);
  await refused("KEY_MALFORMED", encodeCbor(new CborTag(61, parts)), /CWT tag/);
  await refused("KEY_MALFORMED", encodeCbor(new CborTag(18, parts.slice(0, 3))), /array of four/);

  // Replayed: the same is the same, another with its id is not, and what was taken back does not come back.
  await install(good.token);
  await install(good.token);
  const again = issuer.issue(request({ id: good.content.id, rights: ["read", "write"] }), now);
  await refused("KEY_REPLAYED", again.token);
  const order = issuer.revoke({ audience: [BRIDGE], ids: [good.content.id] }, now);
  await client.send("key.revoke", { order: order.token });
  await refused("KEY_REVOKED", good.token);
  await refused("KEY_MALFORMED", order.token, /revocation order; send it as one/);
  await t.throwsAsync(client.send("key.revoke", { order: good.token }), {
    code: "KEY_MALFORMED",
    message: /no revocation order/,
  });
});

test("a tape whose manifest is larger than allowed is not read into the state directory", async (t) => {
  const plant = await largeManifest(t);
  const { bridge, directory } = plant;
  const tape = { device: "tape0", cartridges: ["A1"] };
  const members = Array.from({ length: 6000 }, (_, index) => ({
    name: `${index}-${"d".repeat(180)}`,
    type: "directory" as const,
  }));
  const list = await rawList(directory, "many", members);
  const options = { tapeBlockBytes: 65536 };
  succeeded(
    t,
    await bridge.run(
      { jobId: "b", type: "backup", disk: { device: "disk0" }, tape, options },
      { file: list, device: "disk0" },
    ),
  );
  const report = await bridge.run({ jobId: "v", type: "verify", tape, options });
  failedWith(t, report, "MANIFEST_TOO_LARGE", /`jobs.max_manifest_mib` allows 1 MiB/);
});

function largeManifest(t: ExecutionContext): Promise<Plant> {
  return startPlant(t, {
    jobs: "max_manifest_mib = 1",
    devices: (dir) => {
      rawDisk(join(dir, "disk.img"), 1);
      return deviceTables({
        disks: { disk0: { path: join(dir, "disk.img") } },
        tapes: { tape0: { path: join(dir, "tapes") } },
      });
    },
  });
}
