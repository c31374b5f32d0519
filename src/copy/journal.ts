// The journal of jobs: what makes an acknowledged job survive kill -9 and power loss. One record for each job
// and, beside it, pages of digests that grow with every checkpoint. Every promise here resolves when the
// change is on stable storage.
import type { JobReport } from "../job.js";
import { JOB_ENDS } from "../job.js";
import { GantryError } from "../sys/errors.js";
import type { Store, StoreChange, StoreKey } from "../sys/store.js";
import { CopyRecords } from "./copy-records.js";
import {
  type Checkpoint,
  decodeRecord,
  decodeWish,
  encodeRecord,
  encodeWish,
  type JobRecord,
  type JobWish,
} from "./job-record.js";
import { ReportLedger } from "./report-ledger.js";
import { seal, unseal } from "./sealed.js";

/** Digest of one member, as it goes into the manifest. */
export interface MemberDigest {
  readonly tag: number;
  readonly crc32c: number;
  readonly sha256?: Uint8Array;
}

/** CRC32C of consecutive tape blocks of the archive, from this block number (over all volumes). */
export interface BlockCrcs {
  readonly first: number;
  readonly crcs: Uint32Array;
}

/** Where pages of a manifest go: "open" is that of an archive whose beginning a scrub has yet to come to. */
export type ManifestSlot = "manifest" | "open";

/** How many manifests that were read from tape are kept. */
const MANIFESTS_KEPT = 8;

const recordKey = (jobId: string): StoreKey => ["job", jobId];
const wishKey = (jobId: string): StoreKey => ["job-wish", jobId];
const dataKey = (jobId: string): StoreKey => ["job-data", jobId];

export class Journal {
  readonly #store: Store;
  readonly #records = new Map<string, JobRecord>();
  /** Next page number of each job's pages. */
  readonly #pages = new Map<string, number>();
  /** The same of pages of manifests, by job and slot. */
  readonly #manifestPages = new Map<string, number>();
  readonly #wishes = new Map<string, JobWish>();
  /** Ends of the queues of wishes; never rejects. */
  readonly #asking = new Map<string, Promise<unknown>>();
  /** Jobs that ended, in that order; the wall clock may be set in between. */
  #ends = 0;
  readonly reports: ReportLedger;
  readonly copies: CopyRecords;

  constructor(store: Store) {
    this.#store = store;
    this.reports = new ReportLedger(store);
    this.copies = new CopyRecords(store, this.reports);
  }

  /** Reads every record; to be called once, before anything else. */
  load(): readonly JobRecord[] {
    for (const { value } of this.#store.under(["job"])) {
      const record = decodeRecord(value);
      this.#records.set(record.spec.jobId, record);
      this.#ends = Math.max(this.#ends, record.endOrder ?? 0);
    }
    this.reports.load();
    for (const { key, value } of this.#store.under(["job-wish"])) this.#wishes.set(String(key[1]), decodeWish(value));
    return [...this.#records.values()];
  }

  get(jobId: string): JobRecord | undefined {
    return this.#records.get(jobId);
  }

  all(): readonly JobRecord[] {
    return [...this.#records.values()];
  }

  /** Of a job or a third-party copy that has ended. */
  reportOf(jobId: string): JobReport | undefined {
    return this.#records.get(jobId)?.report ?? this.copies.get(jobId)?.report;
  }

  /** Everything that has ended. */
  ended(): readonly JobReport[] {
    const both = [...this.#records.values(), ...this.copies.all()];
    return both.flatMap(({ report }) => report ?? []);
  }

  /** Writes a record, new or changed. */
  async put(record: JobRecord): Promise<void> {
    await this.#store.put(recordKey(record.spec.jobId), encodeRecord(record));
    this.#records.set(record.spec.jobId, record);
  }

  /** What is asked of a job that runs; in a key of its own, for the record is written by whoever runs the job. */
  async ask(jobId: string, wish: JobWish): Promise<void> {
    // One after the other: each adds to what was stored before it, and one that is refused leaves no trace.
    const before = this.#asking.get(jobId) ?? Promise.resolve();
    const mine = before.then(async () => {
      const all = { ...this.#wishes.get(jobId), ...wish };
      await this.#store.put(wishKey(jobId), encodeWish(all));
      this.#wishes.set(jobId, all);
    });
    const end = mine.catch(() => undefined);
    this.#asking.set(jobId, end);
    try {
      await mine;
    } finally {
      if (this.#asking.get(jobId) === end) this.#asking.delete(jobId);
    }
  }

  wishFor(jobId: string): JobWish {
    return this.#wishes.get(jobId) ?? {};
  }

  /** A checkpoint: position, digests and block CRCs become durable together, or not at all. */
  async checkpoint(
    record: JobRecord,
    checkpoint: Checkpoint,
    members: readonly MemberDigest[],
    blocks: readonly BlockCrcs[],
  ): Promise<JobRecord> {
    const { jobId } = record.spec;
    const next: JobRecord = { ...record, checkpoint };
    const page = this.#nextPage(jobId);
    const changes: StoreChange[] = [{ put: recordKey(jobId), value: encodeRecord(next) }];
    if (members.length > 0)
      changes.push({ put: [...dataKey(jobId), "members", page], value: seal(packMembers(members)) });
    blocks.forEach((run, index) => {
      changes.push({ put: [...dataKey(jobId), "blocks", page, index], value: seal(packBlocks(run)) });
    });
    await this.#store.batch(changes);
    this.#pages.set(jobId, page + 1);
    this.#records.set(jobId, next);
    return next;
  }

  /** Digests of everything up to the last checkpoint, in the order in which they were written. */
  *members(jobId: string): Iterable<MemberDigest> {
    for (const { value } of this.#store.under([...dataKey(jobId), "members"]))
      yield* unpackMembers(unseal(value, DIGESTS));
  }

  *blocks(jobId: string): Iterable<BlockCrcs> {
    for (const { value } of this.#store.under([...dataKey(jobId), "blocks"]))
      yield unpackBlocks(unseal(value, DIGESTS));
  }

  /** Pages of a manifest that was read from tape: bulk that a restore goes through more than once. */
  async addPage(jobId: string, page: Uint8Array, slot: ManifestSlot = "manifest"): Promise<void> {
    const number = this.#manifestPages.get(`${jobId} ${slot}`) ?? 0;
    await this.#store.put([...dataKey(jobId), slot, number], page);
    this.#manifestPages.set(`${jobId} ${slot}`, number + 1);
  }

  *pages(jobId: string, slot: ManifestSlot = "manifest"): Iterable<Uint8Array> {
    for (const { value } of this.#store.under([...dataKey(jobId), slot])) yield Uint8Array.from(value);
  }

  async dropPages(jobId: string, slot: ManifestSlot = "manifest"): Promise<void> {
    await this.#store.batch([{ deleteUnder: [...dataKey(jobId), slot] }]);
    this.#manifestPages.delete(`${jobId} ${slot}`);
  }

  /** The end of a job: its report stays, the pages that only a resume needs go. */
  async finish(record: JobRecord, report: JobReport): Promise<JobRecord> {
    const { jobId } = record.spec;
    const endOrder = ++this.#ends;
    const ended: JobRecord = { ...record, state: report.state, endedMs: report.endedMs, endOrder, report };
    await this.reports.changing([jobId], async (untold) => {
      await this.#store.batch([
        { put: recordKey(jobId), value: encodeRecord(ended) },
        { deleteUnder: [...dataKey(jobId), "members"] },
        { deleteUnder: [...dataKey(jobId), "blocks"] },
        { deleteUnder: [...dataKey(jobId), "open"] },
        { delete: wishKey(jobId) },
        ...this.#surplusManifests(jobId),
        ...untold,
      ]);
      this.#records.set(jobId, ended);
      this.#drop(jobId);
    });
    return ended;
  }

  /** A part of the manifest that a restore or verification read from tape; undefined when none is kept of the job. */
  manifestPart(
    jobId: string,
    offset: bigint,
    limit: number,
  ): { readonly total: bigint; readonly data: Uint8Array } | undefined {
    let total = 0n;
    const parts: Uint8Array[] = [];
    for (const { value } of this.#store.under([...dataKey(jobId), "manifest"])) {
      const from = offset > total ? offset - total : 0n;
      const left = limit - parts.reduce((bytes, part) => bytes + part.length, 0);
      if (from < BigInt(value.length) && left > 0)
        parts.push(Uint8Array.from(value.subarray(Number(from), Number(from) + left)));
      total += BigInt(value.length);
    }
    return total === 0n ? undefined : { total, data: Buffer.concat(parts) };
  }

  /** Manifests can be large: those of the newest MANIFESTS_KEPT jobs stay, besides the one that ends now. */
  #surplusManifests(endingId: string): StoreChange[] {
    const owners = [...this.#records.values()]
      .filter(({ spec, endOrder }) => endOrder !== undefined && spec.jobId !== endingId && spec.type !== "backup")
      .sort((a, b) => (b.endOrder ?? 0) - (a.endOrder ?? 0));
    return owners.slice(MANIFESTS_KEPT - 1).map(({ spec }) => ({ deleteUnder: [...dataKey(spec.jobId), "manifest"] }));
  }

  /** Forgets ended jobs; a job that has not ended is left alone. */
  async forget(jobIds: readonly string[]): Promise<readonly string[]> {
    const ended = jobIds.filter((jobId) => {
      const state = this.#records.get(jobId)?.state;
      return state !== undefined && JOB_ENDS.includes(state);
    });
    await this.reports.changing(ended, async (untold) => {
      const gone = ended.flatMap((jobId): StoreChange[] => [
        { delete: recordKey(jobId) },
        // A cancel can be asked for while the job's end is written, and is then stored behind it.
        { delete: wishKey(jobId) },
        { deleteUnder: dataKey(jobId) },
      ]);
      await this.#store.batch([...gone, ...untold]);
      for (const jobId of ended) {
        this.#records.delete(jobId);
        this.#drop(jobId);
      }
    });
    return ended;
  }

  /** What is only of use while a job runs. The id may be used again when the job is forgotten. */
  #drop(jobId: string): void {
    this.#pages.delete(jobId);
    for (const slot of ["manifest", "open"]) this.#manifestPages.delete(`${jobId} ${slot}`);
    this.#wishes.delete(jobId);
  }

  #nextPage(jobId: string): number {
    const known = this.#pages.get(jobId);
    if (known !== undefined) return known;
    let next = 0;
    for (const kind of ["members", "blocks"]) {
      for (const { key } of this.#store.under([...dataKey(jobId), kind])) {
        const page = key[3];
        if (typeof page === "number" && page >= next) next = page + 1;
      }
    }
    return next;
  }
}

const SHA256_BYTES = 32;
const DIGESTS = "A page of digests";

const corruptPage = (): GantryError =>
  new GantryError("STORE_CORRUPT", `${DIGESTS} in the state directory does not end where it should.`);

/** Rows of u32 tag, u32 CRC32C, u8 length and that many bytes of SHA-256; little-endian. */
function packMembers(members: readonly MemberDigest[]): Uint8Array {
  const rows = new Uint8Array(members.reduce((bytes, member) => bytes + 9 + (member.sha256?.length ?? 0), 0));
  const view = new DataView(rows.buffer);
  let at = 0;
  for (const { tag, crc32c, sha256 } of members) {
    view.setUint32(at, tag, true);
    view.setUint32(at + 4, crc32c, true);
    view.setUint8(at + 8, sha256?.length ?? 0);
    if (sha256 !== undefined) rows.set(sha256, at + 9);
    at += 9 + (sha256?.length ?? 0);
  }
  return rows;
}

function* unpackMembers(rows: Uint8Array): Iterable<MemberDigest> {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
  for (let at = 0; at < rows.length; ) {
    const length = rows.length - at >= 9 ? view.getUint8(at + 8) : 0;
    if (9 + length > rows.length - at) throw corruptPage();
    yield {
      tag: view.getUint32(at, true),
      crc32c: view.getUint32(at + 4, true),
      ...(length === SHA256_BYTES ? { sha256: rows.slice(at + 9, at + 9 + length) } : {}),
    };
    at += 9 + length;
  }
}

/** u32 number of the first block, then a u32 CRC32C for each; little-endian. */
function packBlocks(run: BlockCrcs): Uint8Array {
  const page = new Uint8Array(4 + run.crcs.length * 4);
  const view = new DataView(page.buffer);
  view.setUint32(0, run.first, true);
  run.crcs.forEach((crc, index) => {
    view.setUint32(4 + index * 4, crc, true);
  });
  return page;
}

function unpackBlocks(page: Uint8Array): BlockCrcs {
  if (page.length < 4 || page.length % 4 !== 0) throw corruptPage();
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const crcs = new Uint32Array((page.length - 4) / 4);
  for (let index = 0; index < crcs.length; index++) crcs[index] = view.getUint32(4 + index * 4, true);
  return { first: view.getUint32(0, true), crcs };
}
