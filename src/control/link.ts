// The link to the MQTT server: keeps a connection up, sends what is queued, hands over what comes in.
// MQTT 5.0 first, 3.1.1 when the server refuses 5.0; nothing in the protocol needs more than 3.1.1.
import { type Clock, systemClock } from "../sys/clock.js";
import { GantryError } from "../sys/errors.js";
import { Backoff, type BackoffLimits } from "./backoff.js";
import { Outbox, type OutboxLimits, type Publication, type Waiting } from "./outbox.js";
import {
  type CloseInfo,
  type ConnectInfo,
  type InboundMessage,
  PACKET_OVERHEAD,
  Session,
  type SessionOptions,
  type TlsOptions,
} from "./session.js";

export type { Publication } from "./outbox.js";
export type { InboundMessage, TlsOptions } from "./session.js";

/** Where the MQTT server is and how to speak with it. */
export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsOptions;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** "auto" (default): 5.0, and 3.1.1 when 5.0 is refused. */
  readonly protocol?: "auto" | "5.0" | "3.1.1";
  /** Seconds between pings; default 30. */
  readonly keepaliveS?: number;
  /** Milliseconds until CONNACK; default 10000. */
  readonly connectTimeoutMs?: number;
  /** Waits between attempts; default 500 ms to 30 s. */
  readonly backoff?: BackoffLimits;
}

/** Will and birth of one connection. */
export interface Life {
  readonly will: Publication;
  readonly birth: () => Publication;
}

export interface LinkOptions extends ServerOptions {
  /**
   * false: the server keeps subscriptions and QoS 1 messages for sessionExpiryS (3.1.1: as long as it likes) while
   * we are away. true: nothing is kept.
   */
  readonly clean: boolean;
  readonly sessionExpiryS?: number;
  readonly subscriptions: readonly string[];
  /** Subscriptions that the server may refuse. */
  readonly optionalSubscriptions?: readonly string[];
  /** Asked before every connection. A failure counts as one of the connection. */
  readonly life?: () => Promise<Life>;
  /** Must not reject; the message is acknowledged to the server when it resolves. */
  readonly onMessage: (message: InboundMessage) => Promise<void>;
  readonly onState?: (state: LinkState) => void;
  /** Largest payload in either direction, bytes; default 1 MiB. */
  readonly maxMessageBytes?: number;
  /** Messages that may be handled at once; default 32. */
  readonly maxInbound?: number;
  /** What may wait to be sent; default 4096 messages and 64 MiB. */
  readonly queue?: OutboxLimits;
  readonly random?: () => number;
  readonly clock?: Clock;
}

export interface LinkState {
  readonly connected: boolean;
  readonly protocol?: "5.0" | "3.1.1";
  /** Why it is not connected. */
  readonly error?: Error;
}

/** Unacknowledged QoS 1 messages under way at once, when the server allows as many. */
const WINDOW = 20;

/** A connection that held this long was a good one: the next wait starts small again. */
const GOOD_CONNECTION_MS = 5000;

export class Link {
  readonly #options: LinkOptions;
  readonly #outbox: Outbox;
  readonly #backoff: Backoff;
  readonly #clock: Clock;
  readonly #maxMessageBytes: number;
  #version: 5 | 4;
  #session: Session | undefined;
  #server: ConnectInfo | undefined;
  /** Sent, not acknowledged. */
  readonly #underWay = new Set<Waiting>();
  #state: LinkState = { connected: false };
  #running: Promise<void> | undefined;
  #stopping = false;
  /** Ends the wait between attempts. */
  #wake: (() => void) | undefined;
  #life: Life | undefined;
  /** From CONNACK until subscriptions and birth are acknowledged; never rejects. */
  #greeting: Promise<void> | undefined;
  /** End waits for the acknowledgement of a birth when the connection ends before it. */
  readonly #onEnd = new Set<() => void>();
  /** Called when nothing waits and nothing is under way. */
  #whenEmpty: (() => void) | undefined;
  /** A packet was too long: the session that would bring it again is to be forgotten. */
  #forgetSession = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.queue ?? { messages: 4096, bytes: 64 << 20 });
    this.#backoff = new Backoff(options.backoff ?? { minMs: 500, maxMs: 30_000 }, options.random ?? Math.random);
    this.#clock = options.clock ?? systemClock;
    this.#maxMessageBytes = options.maxMessageBytes ?? 1 << 20;
    this.#version = options.protocol === "3.1.1" ? 4 : 5;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Starts connecting and keeps at it until stop(). */
  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Queues a message, connected or not. Resolves when the server acknowledged it (QoS 1), or when it was written,
   * dropped or superseded (progress, QoS 0). Rejects with LINK_BUSY (queue full), LINK_CLOSED, LINK_REFUSED,
   * MESSAGE_TOO_LARGE.
   */
  publish(publication: Publication): Promise<void> {
    if (this.#stopping) return Promise.reject(closed());
    if (publication.payload.length > this.#maxMessageBytes)
      return Promise.reject(tooLarge(publication, this.#maxMessageBytes));
    return new Promise((resolve, reject) => {
      const settle = (error?: unknown): void => (error === undefined ? resolve() : reject(error));
      if (!this.#outbox.push({ publication, settle })) {
        reject(
          new GantryError("LINK_BUSY", `Too much waits to be sent (${this.#outbox.length} messages); try again later.`),
        );
      }
      this.#pump();
    });
  }

  /**
   * Publishes the birth of this connection again. It does not wait in the queue: a birth belongs to its connection,
   * and the next one has its own. Resolves when it is acknowledged or the connection ends.
   */
  async rebirth(): Promise<void> {
    // A command can come before the first birth is acknowledged.
    if (this.#session !== undefined) await this.#giveBirth(this.#session);
  }

  /**
   * Sends what waits, for at most drainMs, then the farewell (retained state "not online"), then disconnects so that
   * no will is published. What was not acknowledged by then rejects with LINK_CLOSED. Idempotent.
   */
  async stop(drainMs = 5000, farewell?: () => Publication): Promise<void> {
    if (this.#stopping) return this.#running;
    this.#stopping = true;
    if (this.#greeting !== undefined) await within(this.#greeting, drainMs);
    if (this.#state.connected) {
      await this.#drained(drainMs);
      if (farewell !== undefined) {
        this.#outbox.push({ publication: farewell(), settle: () => {} });
        this.#pump();
        await this.#drained(drainMs);
      }
    }
    this.#session?.end(this.#state.connected ? "disconnect" : "drop");
    const session = this.#session;
    const force = setTimeout(() => session?.end("drop"), 1000);
    this.#wake?.();
    await this.#running;
    clearTimeout(force);
    this.#outbox.giveUp(closed());
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const startedMs = this.#clock.monotonicMs();
      const info = await this.#connection().catch(
        (error: unknown): CloseInfo => ({
          error: error instanceof Error ? error : new Error(String(error)),
          refused: false,
          overlong: false,
        }),
      );
      this.#ended(info);
      if (this.#stopping) return;
      if (this.#clock.monotonicMs() - startedMs >= GOOD_CONNECTION_MS && !info.refused) this.#backoff.reset();
      await this.#pause(this.#backoff.next());
    }
  }

  /** One connection; resolves when it is closed. */
  async #connection(): Promise<CloseInfo> {
    const life = await this.#options.life?.();
    if (this.#stopping) return { refused: false, overlong: false };
    return new Promise((resolve) => {
      const session = new Session(this.#sessionOptions(life?.will), {
        connected: (info) => {
          this.#life = life;
          this.#greeting = this.#greet(session, info).catch((error: Error) => session.end("drop", error));
        },
        message: this.#options.onMessage,
        closed: resolve,
      });
      this.#session = session;
      session.open();
    });
  }

  /** Subscriptions first, then the birth: who sees the birth can send commands. */
  async #greet(session: Session, info: ConnectInfo): Promise<void> {
    const { subscriptions, optionalSubscriptions = [] } = this.#options;
    if (subscriptions.length > 0) await session.subscribe(subscriptions);
    if (optionalSubscriptions.length > 0) await session.subscribe(optionalSubscriptions).catch(() => {});
    if (this.#session !== session) return;
    await this.#giveBirth(session);
    // It may have ended meanwhile, which also ends the wait for the birth.
    if (this.#session !== session) return;
    this.#server = info;
    this.#setState({ connected: true, protocol: this.#version === 5 ? "5.0" : "3.1.1" });
    this.#pump();
  }

  async #giveBirth(session: Session): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    await new Promise<void>((resolve, reject) => {
      this.#onEnd.add(resolve);
      session.publish(life.birth(), (error) => {
        this.#onEnd.delete(resolve);
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  #ended(info: CloseInfo): void {
    this.#session = undefined;
    this.#server = undefined;
    this.#life = undefined;
    for (const end of this.#onEnd) end();
    this.#onEnd.clear();
    this.#greeting = undefined;
    this.#forgetSession = info.overlong;
    // QoS 0 is sent at most once; QoS 1 is sent again.
    const again: Waiting[] = [];
    for (const item of this.#underWay) {
      if (item.publication.qos === 1) again.push(item);
      else item.settle();
    }
    this.#underWay.clear();
    this.#outbox.putBack(again);
    if (info.refused && (this.#options.protocol ?? "auto") === "auto") this.#version = this.#version === 5 ? 4 : 5;
    this.#setState(info.error === undefined ? { connected: false } : { connected: false, error: info.error });
    this.#whenEmpty?.();
  }

  /** Sends as much as the server's window lets. */
  #pump(): void {
    const session = this.#session;
    const server = this.#server;
    if (session === undefined || server === undefined) return;
    while (this.#underWay.size < Math.min(WINDOW, server.receiveMaximum)) {
      const item = this.#outbox.take();
      if (item === undefined) break;
      const { publication } = item;
      if (publication.payload.length > server.maximumPacketSize - PACKET_OVERHEAD) {
        item.settle(tooLarge(publication, server.maximumPacketSize - PACKET_OVERHEAD));
        continue;
      }
      this.#underWay.add(item);
      session.publish(publication, (error) => {
        // After a close the item is in the queue again, or settled.
        if (this.#session !== session || !this.#underWay.delete(item)) return;
        item.settle(error);
        this.#pump();
      });
    }
    if (this.#underWay.size === 0 && this.#outbox.length === 0) this.#whenEmpty?.();
  }

  #drained(ms: number): Promise<void> {
    if (this.#underWay.size === 0 && this.#outbox.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        this.#whenEmpty = undefined;
        resolve();
      };
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #setState(state: LinkState): void {
    this.#state = state;
    this.#options.onState?.(state);
  }

  #sessionOptions(will: Publication | undefined): SessionOptions {
    const { host, port, tls, clientId, username, password, clean, sessionExpiryS } = this.#options;
    return {
      host,
      port,
      clientId,
      ...(tls === undefined ? {} : { tls }),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(will === undefined ? {} : { will }),
      version: this.#version,
      clean: clean || this.#forgetSession,
      sessionExpiryS: clean ? 0 : (sessionExpiryS ?? 3600),
      keepaliveS: this.#options.keepaliveS ?? 30,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? 10_000,
      maxPacketBytes: this.#maxMessageBytes + PACKET_OVERHEAD,
      maxInbound: this.#options.maxInbound ?? 32,
    };
  }
}

async function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}

function closed(): GantryError {
  return new GantryError("LINK_CLOSED", "The link to the MQTT server was stopped.");
}

function tooLarge(publication: Publication, limit: number): GantryError {
  const { topic, payload } = publication;
  return new GantryError(
    "MESSAGE_TOO_LARGE",
    `The message to ${topic} has ${payload.length} bytes; at most ${limit} can be sent.`,
    {
      details: { bytes: payload.length, limit },
    },
  );
}
