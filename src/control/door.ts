// The control door of the bridge: link, router and list receiver put together. Commands come in and are answered;
// birth, progress, reports and events go out.
import type { JobProgress, JobReport } from "../job.js";
import type { Clock } from "../sys/clock.js";
import { isGantryError } from "../sys/errors.js";
import { encode } from "./codec.js";
import { type InboundMessage, type Life, Link, type LinkState, type Publication, type ServerOptions } from "./link.js";
import { CHUNK_BYTES_MAX } from "./list-chunk.js";
import type { ListReceiver } from "./list-receiver.js";
import { PROTOCOL_VERSION } from "./messages/envelope.js";
import type { BridgeLimits, EventMessage, StateMessage } from "./messages/events.js";
import { OwnState } from "./own-state.js";
import { Router } from "./router.js";
import { type Topics, topicsOf } from "./topics.js";

export interface DoorOptions {
  readonly bridgeId: string;
  readonly version: string;
  /** Changes with every start of the daemon. */
  readonly bootId: string;
  readonly server: ServerOptions;
  /**
   * The number of the next connection: larger than every one before, also over restarts; resolves when it is on
   * stable storage.
   */
  readonly nextBdSeq: () => Promise<bigint>;
  readonly lists: ListReceiver;
  readonly clock: Clock;
  /** Makes message ids (1 to 64 characters of A-Z a-z 0-9 . _ : -). */
  readonly newId: () => string;
  readonly onState?: (state: LinkState) => void;
  /**
   * Called once in every connection that lasts: its number, and the state that the server kept of the time before;
   * undefined when it kept none, or does not let us see it.
   */
  readonly onBorn?: (bdSeq: bigint, before: StateMessage | undefined) => void;
  readonly onProblem?: (error: unknown, topic: string) => void;
  /** Largest message, bytes; default 1 MiB. */
  readonly maxMessageBytes?: number;
  readonly sessionExpiryS?: number;
}

/** A server that shows us our birth does so at once. */
const ECHO_MS = 5000;

export class ControlDoor {
  /** Handlers of commands are set here, before start(); rebirth and list.* are set already. */
  readonly router: Router;
  readonly #options: DoorOptions;
  readonly #topics: Topics;
  readonly #link: Link;
  #bdSeq = 0n;
  #own = new OwnState(0n);
  /** Runs while the echo of the birth is waited for. */
  #echo: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#topics = topicsOf(options.bridgeId);
    this.router = new Router(options);
    this.#link = new Link({
      ...options.server,
      clean: false,
      subscriptions: this.#topics.inbound,
      optionalSubscriptions: [this.#topics.state],
      life: () => this.#life(),
      onMessage: (message) => this.#take(message),
      clock: options.clock,
      onState: (state) => this.#linkState(state),
      ...(options.maxMessageBytes === undefined ? {} : { maxMessageBytes: options.maxMessageBytes }),
      ...(options.sessionExpiryS === undefined ? {} : { sessionExpiryS: options.sessionExpiryS }),
    });
    this.#ownCommands();
  }

  get state(): LinkState {
    return this.#link.state;
  }

  /** Starts connecting; the list receiver must be loaded. */
  start(): void {
    this.#link.start();
  }

  /** Sends what waits (at most drainMs), says farewell, disconnects. */
  stop(drainMs?: number): Promise<void> {
    this.#stopping = true;
    return this.#link.stop(drainMs, () => this.#state(false));
  }

  /** At most once; superseded by the next of the same job while it waits. Never rejects. */
  async progress(progress: JobProgress): Promise<void> {
    try {
      const topic = this.#topics.progress(progress.jobId);
      const payload = this.#encode("job.progress", { progress });
      await this.#link.publish({ topic, payload, qos: 0, retain: false, priority: "progress" });
    } catch (error) {
      // What could not be sent is superseded by the next; what cannot be encoded is a defect.
      if (isGantryError(error) && error.code === "MESSAGE_UNENCODABLE") this.#options.onProblem?.(error, "progress");
    }
  }

  /** Retained; resolves when the server has it. Publishing the same report again does no harm. */
  async report(report: JobReport): Promise<void> {
    const payload = this.#encodeReport(report);
    return this.#link.publish({
      topic: this.#topics.report(report.jobId),
      payload,
      qos: 1,
      retain: true,
      priority: "vital",
    });
  }

  /** Removes the retained report of a job that is forgotten. */
  clearReport(jobId: string): Promise<void> {
    const topic = this.#topics.report(jobId);
    return this.#link.publish({ topic, payload: new Uint8Array(), qos: 1, retain: true, priority: "vital" });
  }

  event(
    event: Pick<EventMessage, "event" | "severity" | "message"> & Partial<Pick<EventMessage, "details">>,
  ): Promise<void> {
    return this.#link.publish({
      topic: this.#topics.event,
      payload: this.#encode("event", event),
      qos: 1,
      retain: false,
      priority: "normal",
    });
  }

  get limits(): BridgeLimits {
    const { lists, listBytes, allBytes } = this.#options.lists.limits;
    const messageBytes = this.#options.maxMessageBytes ?? 1 << 20;
    return { messageBytes, chunkBytes: CHUNK_BYTES_MAX, openLists: lists, listBytes, allListBytes: allBytes };
  }

  #ownCommands(): void {
    const { lists } = this.#options;
    this.router
      .on("rebirth", async () => {
        // Not awaited, as no handler may wait for the link: the acknowledgement of the birth comes behind messages
        // that are not read before this one is done.
        this.#link.rebirth().catch((error: unknown) => this.#options.onProblem?.(error, this.#topics.state));
        return {};
      })
      .on("list.open", ({ device, ...header }) => lists.open(header, device))
      .on("list.chunk", ({ listId, index, data }) => lists.chunk(listId, index, data))
      .on("list.status", ({ listId }) => lists.status(listId))
      .on("list.drop", async ({ listId }) => {
        await lists.drop(listId);
        return { listId };
      });
  }

  async #take(message: InboundMessage): Promise<void> {
    const { topic, payload, responseTopic, correlation } = message;
    if (topic === this.#topics.state) return this.#takeOwn(message);
    const reply = await this.router.answer({
      topic,
      payload,
      ...(responseTopic === undefined ? {} : { responseTopic }),
      ...(correlation === undefined ? {} : { correlation }),
    });
    if (reply === undefined) return;
    // Not awaited: the reply's acknowledgement must not hold up that of the command. A reply that is lost is
    // asked for again with the same message id.
    this.#link
      .publish({ ...reply, qos: 1, retain: false, priority: "normal", expiryS: 3600 })
      .catch((error: unknown) => this.#options.onProblem?.(error, reply.topic));
  }

  #takeOwn(message: InboundMessage): void {
    const seen = this.#own.take(message);
    if (seen === "born" && this.#echo !== undefined) this.#born();
    // The will of a connection that this one replaced, come late: whoever comes now would think that we are away.
    if (seen === "contradicted" && !this.#stopping)
      this.#link.rebirth().catch((error: unknown) => this.#options.onProblem?.(error, message.topic));
  }

  #linkState(state: LinkState): void {
    clearTimeout(this.#echo);
    this.#echo = undefined;
    this.#options.onState?.(state);
    if (!state.connected) return;
    if (this.#own.born) this.#born();
    else this.#echo = setTimeout(() => this.#born(), ECHO_MS);
  }

  /** Without an echo nothing is proven by what may have come of the state before. */
  #born(): void {
    clearTimeout(this.#echo);
    this.#echo = undefined;
    this.#options.onBorn?.(this.#bdSeq, this.#own.born ? this.#own.before : undefined);
  }

  async #life(): Promise<Life> {
    this.#bdSeq = await this.#options.nextBdSeq();
    this.#own = new OwnState(this.#bdSeq);
    return { will: this.#state(false), birth: () => this.#state(true) };
  }

  #state(online: boolean): Publication {
    const { bootId, version } = this.#options;
    const fields = { online, bdSeq: this.#bdSeq, ...(online ? { bootId, version, limits: this.limits } : {}) };
    return {
      topic: this.#topics.state,
      payload: this.#encode("state", fields),
      qos: 1,
      retain: true,
      priority: "vital",
    };
  }

  /** Details that cannot travel must not keep the report from doing so. */
  #encodeReport(report: JobReport): Uint8Array {
    try {
      return this.#encode("job.report", { report });
    } catch (error) {
      if (report.failure === undefined) throw error;
      const { details: _left, ...failure } = report.failure;
      return this.#encode("job.report", { report: { ...report, failure } });
    }
  }

  #encode(kind: string, fields: object): Uint8Array {
    const { newId, clock, maxMessageBytes } = this.#options;
    return encode({ ...fields, v: PROTOCOL_VERSION, kind, id: newId(), sentMs: clock.nowMs() }, maxMessageBytes);
  }
}
