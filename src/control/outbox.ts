// What waits to be sent, in three classes. Bounded: vital messages (births, reports) are always taken, as there
// are few; others are refused when too much waits; of progress only the newest per topic is kept.

export interface Publication {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly priority: "vital" | "normal" | "progress";
  /** MQTT 5.0 properties; not sent with 3.1.1. */
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
  /** Seconds after which the server need not deliver it any more. */
  readonly expiryS?: number;
}

/** A publication with what to call when it is acknowledged (settled without error), superseded, or given up. */
export interface Waiting {
  readonly publication: Publication;
  settle(error?: unknown): void;
}

export interface OutboxLimits {
  readonly messages: number;
  readonly bytes: number;
}

export class Outbox {
  readonly #limits: OutboxLimits;
  #vital: Waiting[] = [];
  #normal: Waiting[] = [];
  readonly #progress = new Map<string, Waiting>();
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#vital.length + this.#normal.length + this.#progress.size;
  }

  /** False: too much waits, and the item was not taken. Progress is always taken and settled at once if dropped. */
  push(item: Waiting): boolean {
    const { priority, payload, topic } = item.publication;
    const full = this.length >= this.#limits.messages || this.#bytes + payload.length > this.#limits.bytes;
    if (priority === "progress") {
      this.#supersede(topic);
      if (full) item.settle();
      else this.#progress.set(topic, item);
      if (full) return true;
    } else if (priority === "vital") this.#vital.push(item);
    else if (full) return false;
    else this.#normal.push(item);
    this.#bytes += payload.length;
    return true;
  }

  /** Takes the next to be sent. */
  take(): Waiting | undefined {
    const item = this.#vital.shift() ?? this.#normal.shift() ?? this.#firstProgress();
    if (item !== undefined) this.#bytes -= item.publication.payload.length;
    return item;
  }

  /** Puts back what was sent but not acknowledged when the connection broke, before everything else, in its order. */
  putBack(items: readonly Waiting[]): void {
    this.#vital = [...items.filter((item) => item.publication.priority === "vital"), ...this.#vital];
    this.#normal = [...items.filter((item) => item.publication.priority !== "vital"), ...this.#normal];
    for (const item of items) this.#bytes += item.publication.payload.length;
  }

  /** Empties it; everything in it is settled with the error. */
  giveUp(error: unknown): void {
    for (let item = this.take(); item !== undefined; item = this.take()) item.settle(error);
  }

  #supersede(topic: string): void {
    const old = this.#progress.get(topic);
    if (old === undefined) return;
    this.#progress.delete(topic);
    this.#bytes -= old.publication.payload.length;
    old.settle();
  }

  #firstProgress(): Waiting | undefined {
    const [first] = this.#progress;
    if (first === undefined) return undefined;
    this.#progress.delete(first[0]);
    return first[1];
  }
}
