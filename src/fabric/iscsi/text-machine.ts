// Text Requests of the full-feature phase (RFC 7143 11.10, Appendix C): SendTargets, and the few keys that may be
// declared at any time. Pure; one for each connection.
import { GantryError } from "../../sys/errors.js";
import type { LoginDirectory } from "./directory.js";
import { normalName } from "./iscsi-name.js";
import { decodeText, encodeTextResponse, NO_TAG, type TextHeader } from "./login-pdu.js";
import { SECURITY_KEYS } from "./login-security.js";
import { ANSWER, OPERATIONAL, SEGMENT_MAX, SEGMENT_MIN } from "./negotiation.js";
import {
  formatText,
  type Pair,
  parseNumber,
  parseText,
  pieces,
  shown,
  TextGatherer,
  textInvalid,
} from "./text-keys.js";

export interface TextFacts {
  readonly initiator: string;
  readonly portal: number;
  /** The session's target; absent in a discovery session. */
  readonly target?: string;
  readonly directory: LoginDirectory;
  /** MaxRecvDataSegmentLength of the initiator. */
  readonly segment: number;
  /** Largest text that the front end sends in one PDU. */
  readonly segmentMax: number;
}

export interface TextAnswer {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  /** The initiator declared another MaxRecvDataSegmentLength. */
  readonly segment?: number;
}

interface Running {
  readonly taskTag: number;
  readonly transferTag: number;
  readonly gathered: TextGatherer;
  /** Pieces of the answer that are still to be sent. */
  outgoing: readonly Uint8Array[];
  final: boolean;
}

const NOTHING = new Uint8Array();
/** A negotiation of more requests than this leads nowhere; 64 KiB of text come in 128 PDUs of 512 bytes. */
const REQUESTS_MAX = 256;
/** Keys that only a login negotiates. */
const LOGIN_ONLY = new Set([
  ...Object.keys(OPERATIONAL),
  ...SECURITY_KEYS,
  "InitiatorName",
  "TargetName",
  "SessionType",
]);

export class TextMachine {
  readonly #facts: TextFacts;
  #segment: number;
  #running: Running | undefined;
  #requests = 0;
  #tags = 0;

  constructor(facts: TextFacts) {
    this.#facts = facts;
    this.#segment = facts.segment;
  }

  /** @throws GantryError ISCSI_TEXT_INVALID: the connection has to be closed */
  step(header: Uint8Array, data: Uint8Array): TextAnswer {
    const request = decodeText(header);
    if (request === undefined) throw textInvalid("This is no Text Request.");
    if (request.final && request.continued) throw textInvalid("A Text Request is the last one and goes on.");
    const running = this.#find(request);
    this.#requests += 1;
    if (this.#requests > REQUESTS_MAX)
      throw textInvalid(`A text negotiation takes more than ${REQUESTS_MAX} requests.`);
    if (running.outgoing.length > 0) {
      if (data.length > 0 || request.continued)
        throw textInvalid("Text came before the answer to the last one was sent whole.");
      return this.#send(request, running);
    }
    running.gathered.add(data);
    if (request.continued) return this.#answer(request, running, NOTHING, false);
    const before = this.#segment;
    const replies = this.#text(parseText(running.gathered.take()));
    running.final = request.final;
    running.outgoing = pieces(formatText(replies), Math.min(before, this.#facts.segmentMax));
    const answer = this.#send(request, running);
    return this.#segment === before ? answer : { ...answer, segment: this.#segment };
  }

  /** A request without a tag begins anew and ends what ran before (RFC 7143 11.10.4). */
  #find(request: TextHeader): Running {
    if (request.transferTag === NO_TAG) {
      this.#tags = (this.#tags + 1) % NO_TAG;
      this.#requests = 0;
      const fresh = { taskTag: request.taskTag, transferTag: this.#tags, gathered: new TextGatherer() };
      this.#running = { ...fresh, outgoing: [], final: false };
      return this.#running;
    }
    const running = this.#running;
    if (running === undefined || running.transferTag !== request.transferTag || running.taskTag !== request.taskTag)
      throw textInvalid("A Text Request goes on with a negotiation that there is none of.");
    return running;
  }

  #send(request: TextHeader, running: Running): TextAnswer {
    const [piece = NOTHING, ...rest] = running.outgoing;
    running.outgoing = rest;
    return this.#answer(request, running, piece, rest.length > 0);
  }

  #answer(request: TextHeader, running: Running, data: Uint8Array, continued: boolean): TextAnswer {
    const final = running.final && !continued && !request.continued;
    if (final) this.#running = undefined;
    const transferTag = final ? NO_TAG : running.transferTag;
    const { lun, taskTag } = request;
    return { header: encodeTextResponse({ final, continued, lun, taskTag, transferTag }), data };
  }

  #text(pairs: readonly Pair[]): readonly Pair[] {
    if (new Set(pairs.map(({ key }) => key)).size < pairs.length) throw textInvalid("A key comes twice.");
    return pairs.flatMap((pair) => this.#one(pair));
  }

  #one({ key, value }: Pair): readonly Pair[] {
    if (key === "SendTargets") return this.#sendTargets(value);
    if (key === "MaxRecvDataSegmentLength") return this.#declare(value);
    if (key === "InitiatorAlias") return [];
    return [{ key, value: LOGIN_ONLY.has(key) ? ANSWER.REJECT : ANSWER.NOT_UNDERSTOOD }];
  }

  #declare(value: string): readonly Pair[] {
    const segment = parseNumber(value);
    if (segment === undefined || segment < SEGMENT_MIN || segment > SEGMENT_MAX)
      throw textInvalid(`MaxRecvDataSegmentLength cannot be ${shown(value)}.`);
    this.#segment = segment;
    return [];
  }

  /** All is for discovery sessions only, the empty value for normal ones: their own target. */
  #sendTargets(value: string): readonly Pair[] {
    const { initiator, portal, target, directory } = this.#facts;
    if (target !== undefined ? value === "All" : value === "") return [{ key: "SendTargets", value: ANSWER.REJECT }];
    const wanted = value === "" ? target : normalName(value);
    return directory
      .visible(initiator, portal)
      .filter(({ name }) => value === "All" || name === wanted)
      .flatMap(({ name, addresses }) => [
        { key: "TargetName", value: name },
        ...addresses
          .filter(({ address }) => address !== "")
          .map(({ address, portalGroupTag }) => ({ key: "TargetAddress", value: `${address},${portalGroupTag}` })),
      ]);
  }
}

/** Whether an error is the peer's doing. */
export const isPeerError = (error: unknown): boolean =>
  error instanceof GantryError && error.code === "ISCSI_TEXT_INVALID";
