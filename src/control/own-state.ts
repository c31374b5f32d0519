// What the server keeps of the bridge's own state, as a subscriber sees it. Two things follow from it: whether the
// server still has what it acknowledged before this connection, and whether a will that came late stands where our
// birth should.
import { decode } from "./codec.js";
import { read } from "./fields.js";
import type { InboundMessage } from "./link.js";
import { type StateMessage, stateSchema } from "./messages/events.js";

export type Seen =
  /** Our birth came back, and with it all that was retained before has come. */
  | "born"
  /** The server says that we are away, after our birth. */
  | "contradicted"
  | "nothing";

/** One connection's view; another connection, another object. */
export class OwnState {
  readonly #bdSeq: bigint;
  #before: StateMessage | undefined;
  #born = false;

  constructor(bdSeq: bigint) {
    this.#bdSeq = bdSeq;
  }

  /** Our birth was seen. */
  get born(): boolean {
    return this.#born;
  }

  /** The state that the server kept before our birth. */
  get before(): StateMessage | undefined {
    return this.#before;
  }

  /** Takes a message of the topic of our own state. Never throws: what cannot be read is no state of ours. */
  take({ payload, retain }: InboundMessage): Seen {
    const state = parsed(payload);
    if (state === undefined) return "nothing";
    if (state.online && state.bdSeq === this.#bdSeq) {
      const first = !this.#born;
      this.#born = true;
      return first ? "born" : "nothing";
    }
    if (this.#born) return state.online ? "nothing" : "contradicted";
    // Without the flag it is a message that waited in our session, which need not be what is kept.
    if (retain) this.#before = state;
    return "nothing";
  }
}

function parsed(payload: Uint8Array): StateMessage | undefined {
  try {
    return read("state", stateSchema, decode(payload));
  } catch {
    return undefined;
  }
}
