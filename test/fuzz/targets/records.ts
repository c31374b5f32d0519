// What the daemon finds in its state directory when it starts. LMDB keeps writes apart, but does not notice bits that
// turned on the disk.
import fc from "fast-check";
import { decodeRecord, decodeWish, encodeRecord, encodeWish, type JobRecord } from "../../../src/copy/job-record.js";
import { Journal } from "../../../src/copy/journal.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { must, type Target } from "../target.js";

const RECORD: JobRecord = {
  spec: {
    jobId: "job-1",
    type: "backup",
    keys: [new Uint8Array(16)],
    priority: 100,
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: ["A1"] },
    listId: "list-1",
    volume: { id: "v", generation: "g", sequence: 5n },
    options: { sha256: true, bytesPerS: 5n },
  },
  state: "running",
  archiveId: "a-1",
  submittedMs: 1,
  volumes: [{ cartridge: "A1", firstObject: 0n, endObject: 9n, from: 0n, to: 512n }],
  current: { index: 0, cartridge: "A1", firstObject: 0n, from: 0n, placed: true },
  checkpoint: { offset: 512n, object: 1n, digest: new Uint8Array(124) },
  tapeBlockBytes: 512,
  resumes: 1,
  lost: [],
};

const RECORDS = [encodeRecord(RECORD), encodeRecord({ ...RECORD, state: "queued" })];
const WISHES = [encodeWish({ cancel: true }), encodeWish({ paused: false, bytesPerS: 2n ** 63n })];

async function pages(): Promise<{ members: Uint8Array; blocks: Uint8Array }> {
  const store = new MemoryStore();
  const journal = new Journal(store);
  await journal.checkpoint(
    RECORD,
    { offset: 1n, object: 1n, digest: new Uint8Array(124) },
    [
      { tag: 1, crc32c: 5 },
      { tag: 2, crc32c: 0xffff_ffff, sha256: new Uint8Array(32).fill(7) },
    ],
    [{ first: 3, crcs: Uint32Array.of(1, 2, 3) }],
  );
  const values = [...store.under(["job-data"])];
  const of = (kind: string): Uint8Array => values.find(({ key }) => key[2] === kind)?.value ?? new Uint8Array();
  return { members: of("members"), blocks: of("blocks") };
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

export const recordTargets: readonly Target[] = [
  {
    name: "journal-record",
    codes: ["STORE_CORRUPT"],
    seeds: () => RECORDS,
    run: (input) => {
      const record = decodeRecord(input);
      must(
        RECORDS.some((bytes) => same(bytes, input)),
        "a record that is not as it was written",
      );
      return record;
    },
    roundTrip: fc.property(fc.string(), fc.bigInt(0n, 2n ** 64n - 1n), (comment, offset) => {
      const record: JobRecord = {
        ...RECORD,
        spec: { ...RECORD.spec, options: { comment } },
        checkpoint: { offset, object: 0n, digest: new Uint8Array(124) },
      };
      const back = decodeRecord(encodeRecord(record));
      must(back.spec.options.comment === comment && back.checkpoint?.offset === offset, "a record does not come back");
    }) as unknown as fc.IProperty<[unknown]>,
  },
  {
    name: "journal-wish",
    codes: ["STORE_CORRUPT"],
    seeds: () => WISHES,
    run: (input) => {
      const wish = decodeWish(input);
      must(
        WISHES.some((bytes) => same(bytes, input)),
        "a wish that is not as it was written",
      );
      return wish;
    },
  },
  {
    name: "journal-members",
    codes: ["STORE_CORRUPT"],
    seeds: async () => [(await pages()).members],
    run: async (input) => {
      const store = new MemoryStore();
      await store.put(["job-data", "job-1", "members", 0], input);
      return [...new Journal(store).members("job-1")];
    },
  },
  {
    name: "journal-blocks",
    codes: ["STORE_CORRUPT"],
    seeds: async () => [(await pages()).blocks],
    run: async (input) => {
      const store = new MemoryStore();
      await store.put(["job-data", "job-1", "blocks", 0, 0], input);
      return [...new Journal(store).blocks("job-1")];
    },
  },
];
