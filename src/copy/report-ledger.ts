// Which reports the MQTT server still has to be told, or told to drop, and how far its word can be relied on. Kept
// beside the jobs, in the same batches: a job cannot end, or be forgotten, without its retained report following.
import type { Store, StoreChange, StoreKey } from "../sys/store.js";

const untoldKey = (jobId: string): StoreKey => ["job-untold", jobId];
const PROOF: StoreKey = ["control", "reports-proof"];
/** No connection has this number: whatever the server shows, it is to be told everything. */
const NO_PROOF = 2n ** 64n - 1n;

export class ReportLedger {
  readonly #store: Store;
  /** Jobs whose retained report is not known to be right; the number changes when what is to be told does. */
  readonly #untold = new Map<string, number>();
  /** Jobs of which a change is on its way to stable storage. */
  readonly #writing = new Set<string>();
  #stamps = 0;
  #proof: bigint | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  load(): void {
    for (const { key } of this.#store.under(["job-untold"])) this.#untold.set(String(key[1]), ++this.#stamps);
    const proof = this.#store.get(PROOF);
    if (proof !== undefined) this.#proof = Buffer.from(proof).readBigUInt64LE();
  }

  /** Carries out a write that changes what there is to tell of these jobs; its changes go into the same batch. */
  async changing(jobIds: readonly string[], write: (changes: readonly StoreChange[]) => Promise<void>): Promise<void> {
    for (const jobId of jobIds) this.#writing.add(jobId);
    try {
      await write(jobIds.map((jobId) => ({ put: untoldKey(jobId), value: new Uint8Array() })));
      for (const jobId of jobIds) this.#untold.set(jobId, ++this.#stamps);
    } finally {
      for (const jobId of jobIds) this.#writing.delete(jobId);
    }
  }

  get untold(): readonly string[] {
    return [...this.#untold.keys()];
  }

  isUntold(jobId: string): boolean {
    return this.#untold.has(jobId);
  }

  /** To be taken before the report is read, and given to told(). */
  stamp(jobId: string): number | undefined {
    return this.#untold.get(jobId);
  }

  /**
   * The server acknowledged what was to be told, on the connection of this number. False when there is something
   * newer to tell of the job meanwhile.
   */
  async told(jobId: string, stamp: number, connection: bigint): Promise<boolean> {
    if (this.#untold.get(jobId) !== stamp || this.#writing.has(jobId)) return false;
    const changes: StoreChange[] = [{ delete: untoldKey(jobId) }];
    if (this.#proof === undefined || this.#proof < connection) changes.push({ put: PROOF, value: number(connection) });
    await this.#store.batch(changes);
    if (this.#proof === undefined || this.#proof < connection) this.#proof = connection;
    if (this.#untold.get(jobId) !== stamp) return false;
    this.#untold.delete(jobId);
    return true;
  }

  /**
   * Whether a server that shows our farewell or will of this connection has every report that it ever acknowledged.
   * It saw that connection end after all it acknowledged there; one that came back from an older copy of its store,
   * or from none, shows an older one, a birth, or nothing.
   */
  provenBy(ended: bigint | undefined): boolean {
    return this.#proof === undefined || (ended !== undefined && this.#proof <= ended);
  }

  /** The server lost something: until all is told again, nothing that it shows proves otherwise. */
  async distrust(): Promise<void> {
    this.#proof = NO_PROOF;
    await this.#store.put(PROOF, number(NO_PROOF));
  }

  /** Everything was told again, on the connection of this number. */
  async trust(connection: bigint): Promise<void> {
    await this.#store.put(PROOF, number(connection));
    this.#proof = connection;
  }
}

function number(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
