// The broker's side of the protocol: sends commands to one bridge and waits for the replies, sends block lists,
// follows state, progress and reports.
import { randomUUID } from "node:crypto";
import type { JobProgress, JobReport } from "../job.js";
import type { ListHeader } from "../list.js";
import { ERRORS, type ErrorCode, GantryError } from "../sys/errors.js";
import { decode, encode } from "./codec.js";
import { read } from "./fields.js";
import { type InboundMessage, Link, type LinkState, type Publication, type ServerOptions } from "./link.js";
import {
  COMMANDS,
  type CommandKind,
  type CommandResult,
  type CommandToSend,
  type ListStatus,
} from "./messages/commands.js";
import { PROTOCOL_VERSION, type Reply, replySchema } from "./messages/envelope.js";
import {
  type EventMessage,
  eventSchema,
  progressMessageSchema,
  reportMessageSchema,
  type StateMessage,
  stateSchema,
} from "./messages/events.js";
import { type Topics, topicsOf } from "./topics.js";

export interface ClientOptions {
  readonly bridgeId: string;
  readonly server: ServerOptions;
  /** Birth, farewell and will. A will of an older connection than the last birth is not passed on. */
  readonly onBridge?: (state: StateMessage) => void;
  readonly onProgress?: (progress: JobProgress) => void;
  readonly onReport?: (report: JobReport) => void;
  readonly onEvent?: (event: EventMessage) => void;
  readonly onLink?: (state: LinkState) => void;
  /** Messages of the bridge that cannot be read. */
  readonly onProblem?: (error: unknown, topic: string) => void;
}

export interface SendOptions {
  /** Milliseconds until COMMAND_TIMED_OUT; default 30000. */
  readonly timeoutMs?: number;
  /** To send a command again whose reply did not come: the id of the first time. */
  readonly id?: string;
}

interface Pending {
  readonly publication: Publication;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

/** Chunks that are sent before the first is answered. */
const CHUNK_WINDOW = 8;

export class BridgeClient {
  readonly #options: ClientOptions;
  readonly #topics: Topics;
  readonly #replyTopic: string;
  readonly #link: Link;
  readonly #pending = new Map<string, Pending>();
  readonly #onlineWaiters = new Set<() => void>();
  #bridge: StateMessage | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#topics = topicsOf(options.bridgeId);
    this.#replyTopic = this.#topics.reply(options.server.clientId);
    this.#link = new Link({
      ...options.server,
      clean: true,
      subscriptions: [
        this.#replyTopic,
        this.#topics.state,
        ...(options.onEvent ? [this.#topics.event] : []),
        ...(options.onProgress ? [this.#topics.allProgress] : []),
        ...(options.onReport ? [this.#topics.allReports] : []),
      ],
      onMessage: async (message) => this.#take(message),
      onState: (state) => {
        if (state.connected) this.#sendAgain();
        options.onLink?.(state);
      },
    });
  }

  /** The newest state of the bridge that was seen. */
  get bridge(): StateMessage | undefined {
    return this.#bridge;
  }

  get link(): LinkState {
    return this.#link.state;
  }

  start(): void {
    this.#link.start();
  }

  async stop(): Promise<void> {
    await this.#link.stop(1000);
    for (const { reject } of this.#pending.values()) reject(new GantryError("LINK_CLOSED", "The client was stopped."));
    this.#pending.clear();
  }

  /** Resolves when the bridge is online. Throws COMMAND_TIMED_OUT. */
  async online(timeoutMs = 30_000): Promise<void> {
    if (this.#bridge?.online) return;
    await new Promise<void>((resolve, reject) => {
      const waiter = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#onlineWaiters.delete(waiter);
        const { error } = this.#link.state;
        const why =
          error === undefined
            ? "it has not said that it is online"
            : `no connection to the MQTT server: ${error.message}`;
        reject(new GantryError("COMMAND_TIMED_OUT", `Bridge ${this.#options.bridgeId} cannot be reached: ${why}.`));
      }, timeoutMs);
      this.#onlineWaiters.add(waiter);
    });
  }

  /**
   * Sends a command and returns the result of the accepted reply. Throws the bridge's rejection with its code
   * (COMMAND_REJECTED when the code is not known here), COMMAND_TIMED_OUT, LINK_* and MESSAGE_*.
   */
  async send<K extends CommandKind>(
    kind: K,
    fields: CommandToSend<K>,
    options: SendOptions = {},
  ): Promise<CommandResult<K>> {
    const id = options.id ?? randomUUID();
    const timeoutMs = options.timeoutMs ?? 30_000;
    const topic =
      kind === "list.chunk" ? this.#topics.list((fields as { listId: string }).listId) : this.#topics.command(kind);
    const envelope = { v: PROTOCOL_VERSION, kind, id, reply: this.#replyTopic, sentMs: Date.now() };
    const payload = encode({ ...fields, ...envelope });
    const reply = await this.#exchange(id, kind, timeoutMs, topic, payload);
    if (reply.kind === "rejected") throw rejection(kind, reply);
    return read(`reply to ${kind}`, COMMANDS[kind].result, reply.result ?? {}) as CommandResult<K>;
  }

  /**
   * Sends a block list: opens it (or resumes it), sends the chunks that are missing, several at a time, and returns
   * when the bridge has received it whole. `chunks` gives the encoded chunks in index order.
   */
  async sendList(
    header: ListHeader,
    device: string,
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: { readonly timeoutMs?: number; readonly onChunk?: (index: number) => void } = {},
  ): Promise<ListStatus> {
    const send = { timeoutMs: options.timeoutMs ?? 60_000 };
    const { listId } = header;
    const { missing } = await this.send("list.open", { ...header, device }, send);
    const wanted = (at: number): boolean => missing.some(([first, last]) => at >= first && at <= last);
    const underWay = new Set<Promise<unknown>>();
    let failed: { readonly error: unknown } | undefined;
    let index = 0;
    for await (const data of chunks) {
      const at = index++;
      if (!wanted(at)) continue;
      const sent = this.send("list.chunk", { listId, index: at, data }, send)
        .then(() => options.onChunk?.(at))
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => underWay.delete(sent));
      underWay.add(sent);
      if (underWay.size >= CHUNK_WINDOW) await Promise.race(underWay);
      if (failed !== undefined) break;
    }
    await Promise.all(underWay);
    if (failed !== undefined) throw failed.error;
    const status = await this.send("list.status", { listId }, send);
    if (status.state === "whole") return status;
    // More gaps than one answer names, or chunks that the sender does not have.
    throw new GantryError(
      "LIST_INCOMPLETE",
      `The bridge has ${status.stored} of ${status.chunks} chunks of list ${listId}; send it again.`,
    );
  }

  async #exchange(id: string, kind: string, timeoutMs: number, topic: string, payload: Uint8Array): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      const timer = setTimeout(() => {
        end();
        reject(
          new GantryError("COMMAND_TIMED_OUT", `No reply to ${kind} within ${timeoutMs} ms.`, {
            details: { id, kind },
          }),
        );
      }, timeoutMs);
      const end = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const fail = (error: unknown): void => {
        end();
        reject(error);
      };
      const done = (reply: Reply): void => {
        end();
        resolve(reply);
      };
      // A command that is delivered long after its sender gave up would only surprise.
      const expiryS = Math.max(1, Math.ceil(timeoutMs / 1000));
      const publication: Publication = { topic, payload, qos: 1, retain: false, priority: "normal", expiryS };
      this.#pending.set(id, { publication, resolve: done, reject: fail });
      this.#link.publish(publication).catch(fail);
    });
  }

  /**
   * After our own reconnection, and after a new birth of the bridge: commands that the server had acknowledged, or
   * their replies, may be lost with a session or with a restarted server. The bridge knows by the message id what it
   * has done already. A command that still waits in the queue may go out twice; the time-out decides in the end.
   */
  #sendAgain(): void {
    for (const { publication } of this.#pending.values()) this.#link.publish(publication).catch(() => {});
  }

  #take(message: InboundMessage): void {
    const { topic, payload } = message;
    // An empty retained message only says that a report was cleared.
    if (payload.length === 0) return;
    try {
      const value = decode(payload);
      if (topic === this.#replyTopic) this.#takeReply(read("reply", replySchema, value));
      else if (topic === this.#topics.state) this.#takeState(read("state", stateSchema, value));
      else if (topic === this.#topics.event) this.#options.onEvent?.(read("event", eventSchema, value));
      else if (topic.endsWith("/progress"))
        this.#options.onProgress?.(read("progress", progressMessageSchema, value).progress);
      else this.#options.onReport?.(read("report", reportMessageSchema, value).report);
    } catch (error) {
      this.#options.onProblem?.(error, topic);
    }
  }

  #takeReply(reply: Reply): void {
    this.#pending.get(reply.to)?.resolve(reply);
  }

  /** The will of a connection that a newer one has replaced says nothing about the bridge. */
  #takeState(state: StateMessage): void {
    const before = this.#bridge;
    if (before !== undefined && !state.online && state.bdSeq < before.bdSeq) return;
    this.#bridge = state;
    if (state.online && state.bdSeq !== before?.bdSeq) this.#sendAgain();
    this.#options.onBridge?.(state);
    if (!state.online) return;
    for (const waiter of this.#onlineWaiters) waiter();
    this.#onlineWaiters.clear();
  }
}

function rejection(kind: string, { error }: Reply): GantryError {
  const code = error?.code ?? "";
  const message = error?.message ?? `The bridge rejected ${kind}.`;
  const details = error?.details ?? {};
  if (Object.hasOwn(ERRORS, code)) return new GantryError(code as ErrorCode, message, { details });
  return new GantryError("COMMAND_REJECTED", message, { details: { ...details, code } });
}
