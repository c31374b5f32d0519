// Commands in, replies out: reads and checks a message, finds its handler, and makes whatever happens into an
// accepted or rejected reply. Never throws.
import { createHash } from "node:crypto";
import type { Clock } from "../sys/clock.js";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import { decode, encode, encodeDeterministic } from "./codec.js";
import { ReplyMemory } from "./dedupe.js";
import { isName, read } from "./fields.js";
import {
  COMMANDS,
  type CommandFields,
  type CommandKind,
  type CommandResult,
  isCommandKind,
} from "./messages/commands.js";
import { envelopeSchema, PROTOCOL_VERSION } from "./messages/envelope.js";
import { inboundPart, isReplyTopic } from "./topics.js";

/** A message as it came, from whatever link. */
export interface Received {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

export interface Reply {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly correlation?: Uint8Array;
}

/** Throws GantryError to reject; anything else that is thrown is rejected as INTERNAL. */
export type Handler<K extends CommandKind> = (
  fields: CommandFields<K>,
  context: { readonly messageId: string },
) => Promise<CommandResult<K>>;

export interface RouterOptions {
  readonly bridgeId: string;
  readonly clock: Pick<Clock, "nowMs">;
  /** Makes message ids. */
  readonly newId: () => string;
  readonly memory?: ReplyMemory;
  /** Told about what cannot be answered: bad messages without a reply address, defects of handlers. */
  readonly onProblem?: (error: unknown, topic: string) => void;
}

interface Address {
  readonly topic: string | undefined;
  readonly to: string;
  readonly correlation: Uint8Array | undefined;
}

/** Taking a key back waits for nobody: it only ever takes away, so what it overtakes comes to the same in the end. */
const laneOf = (kind: CommandKind): string => (kind === "key.revoke" ? kind : (kind.split(".")[0] ?? kind));

type AnyHandler = (fields: never, context: { readonly messageId: string }) => Promise<unknown>;

export class Router {
  readonly #options: RouterOptions;
  readonly #memory: ReplyMemory;
  readonly #handlers = new Map<CommandKind, AnyHandler>();
  /** Ends of the queues of commands that change something, by the first word of their kind. */
  readonly #lanes = new Map<string, Promise<unknown>>();

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#memory = options.memory ?? new ReplyMemory();
  }

  /** Sets the handler of a kind. A kind of the protocol without one is refused like an unknown kind. */
  on<K extends CommandKind>(kind: K, handler: Handler<K>): this {
    this.#handlers.set(kind, handler);
    return this;
  }

  /**
   * Carries a message out and returns the reply to send, or undefined when there is nowhere to send it. Commands
   * that change something run one after the other per first word of their kind (key, list, job), in the order in
   * which they came; key.revoke, and what changes nothing, runs at once. Never rejects.
   */
  async answer(received: Received): Promise<Reply | undefined> {
    let address: Address = { topic: undefined, to: "", correlation: received.correlation };
    let payload: Uint8Array;
    try {
      address = this.#address(received, undefined);
      const message = decode(received.payload);
      address = this.#address(received, message);
      payload = await this.#carryOut(received, message, address);
    } catch (error) {
      if (address.topic === undefined || !isGantryError(error)) this.#options.onProblem?.(error, received.topic);
      payload = this.#rejected(address, error);
    }
    if (address.topic === undefined) return undefined;
    return {
      topic: address.topic,
      payload,
      ...(address.correlation === undefined ? {} : { correlation: address.correlation }),
    };
  }

  async #carryOut(received: Received, message: unknown, address: Address): Promise<Uint8Array> {
    const { kind, id } = read("message", envelopeSchema, message);
    const handler = isCommandKind(kind) ? this.#handlers.get(kind) : undefined;
    if (!isCommandKind(kind) || handler === undefined) {
      throw new GantryError("MESSAGE_KIND_UNKNOWN", `This bridge takes no message of kind "${kind}".`, {
        details: { kind },
      });
    }
    const fields = read(kind, COMMANDS[kind].fields, message);
    this.#checkTopic(received.topic, kind, fields);
    const run = async (): Promise<Uint8Array> => {
      try {
        return this.#accepted(address, await handler(fields as never, { messageId: id }));
      } catch (error) {
        if (!isGantryError(error)) this.#options.onProblem?.(error, received.topic);
        return this.#rejected(address, error);
      }
    };
    if (COMMANDS[kind].repeat) return run();
    const fingerprint = createHash("sha256").update(encodeDeterministic({ kind, fields })).digest("base64");
    const key = `${address.topic ?? ""}\n${id}`;
    return this.#memory.once(key, fingerprint, () => this.#inLane(laneOf(kind), run));
  }

  /** The topic says what a sender's rights at the server were judged by; the message must not say otherwise. */
  #checkTopic(topic: string, kind: CommandKind, fields: object): void {
    const part = inboundPart(this.#options.bridgeId, topic);
    const right =
      kind === "list.chunk"
        ? part?.room === "list" && "listId" in fields && part.part === fields.listId
        : part?.room === "cmd" && part.part === kind;
    if (right) return;
    throw new GantryError(
      "MESSAGE_TOPIC_WRONG",
      `A message of kind "${kind}" does not belong on the topic ${topic.slice(0, 256)}.`,
    );
  }

  /** Where the reply goes; also for messages of which nothing else can be read. Throws MESSAGE_TOPIC_WRONG. */
  #address(received: Received, message: unknown): Address {
    const fields = typeof message === "object" && message !== null ? (message as Record<string, unknown>) : {};
    const { reply, id, correlation } = fields;
    const topic = typeof reply === "string" ? reply : received.responseTopic;
    if (topic !== undefined && !isReplyTopic(this.#options.bridgeId, topic)) {
      throw new GantryError(
        "MESSAGE_TOPIC_WRONG",
        `Replies go only to gantry/1/${this.#options.bridgeId}/reply/…, not to ${JSON.stringify(topic.slice(0, 256))}.`,
      );
    }
    const own = correlation instanceof Uint8Array && correlation.length <= 128 ? correlation : undefined;
    return { topic, to: isName(id) ? id : "", correlation: own ?? received.correlation };
  }

  async #inLane<T>(lane: string, run: () => Promise<T>): Promise<T> {
    const before = this.#lanes.get(lane) ?? Promise.resolve();
    const mine = before.then(run);
    const end = mine.catch(() => {});
    this.#lanes.set(lane, end);
    try {
      return await mine;
    } finally {
      if (this.#lanes.get(lane) === end) this.#lanes.delete(lane);
    }
  }

  #accepted(address: Address, result: unknown): Uint8Array {
    return encode({ ...this.#envelope("accepted", address), result });
  }

  #rejected(address: Address, error: unknown): Uint8Array {
    const known = isGantryError(error) ? error : undefined;
    const code = known?.code ?? "INTERNAL";
    const message = clipped(messageOf(error));
    const envelope = this.#envelope("rejected", address);
    try {
      return encode({ ...envelope, error: { code, message, details: known?.details ?? {} } });
    } catch {
      // Details that cannot travel must not keep the rejection from doing so.
      return encode({ ...envelope, error: { code, message } });
    }
  }

  #envelope(kind: "accepted" | "rejected", { to, correlation }: Address): Record<string, unknown> {
    const { newId, clock } = this.#options;
    return { v: PROTOCOL_VERSION, kind, id: newId(), to, correlation, sentMs: clock.nowMs() };
  }
}

/** Short and well-formed, whatever the thrown message was. */
function clipped(message: string): string {
  const short = message.length > 2000 ? `${message.slice(0, 2000)}…` : message;
  return short.replace(/\p{Surrogate}/gu, "\ufffd");
}
