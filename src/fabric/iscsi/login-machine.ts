// One login (RFC 7143 6.3), from the first Login Request to the full-feature phase or a refusal: a state machine that
// is given PDUs and says what to send. It knows nothing of connections, time or other sessions; that is the door's.
import type { Credentials } from "../../admit/credentials.js";
import { GantryError } from "../../sys/errors.js";
import type { LoginDirectory, TargetFacts } from "./directory.js";
import { type Claimed, claimed, NAMING_KEYS, TARGET_KEYS } from "./login-keys.js";
import { decodeLogin, encodeLoginResponse, type LoginHeader, STAGE, STATUS } from "./login-pdu.js";
import { loginRefused, statusOf } from "./login-refused.js";
import { LoginSecurity, SECURITY_KEYS } from "./login-security.js";
import { type Agreed, ANSWER, Negotiation, type Offer } from "./negotiation.js";
import { formatText, type Pair, parseText, pieces, TextGatherer } from "./text-keys.js";

/** What either side takes in a PDU before anything is agreed (RFC 7143 13.12). */
export const LOGIN_DATA_MAX = 8192;
/** A login takes three or four exchanges; RFC 7143 6.2 wants six at least. */
const REQUESTS_MAX = 64;

export interface LoginFacts {
  readonly portal: number;
  readonly directory: LoginDirectory;
  readonly credentials: Credentials;
  readonly random: (bytes: number) => Uint8Array;
  readonly offer: Offer;
  /** Commands of a session that the front end takes at a time: its CmdSN window. */
  readonly queueDepth: number;
}

export interface Pdu {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** The login is through but for what other sessions say: the door finishes or refuses it. */
export interface Entering {
  readonly initiator: string;
  /** Absent in a discovery session. */
  readonly target?: TargetFacts;
  readonly discovery: boolean;
  readonly isid: string;
  /** As asked for; 0: a new session. */
  readonly tsih: number;
  readonly cid: number;
  /** The name under which the initiator proved itself; absent: it did not have to. */
  readonly chapName?: string;
  readonly agreed: Agreed;
  /** What the target declared. */
  readonly maxRecvDataSegmentLength: number;
  readonly expCmdSn: number;
  /** StatSN of the response after the last one of the login. */
  readonly statSn: number;
  readonly finish: (tsih: number) => Pdu;
  readonly refuse: (status: number) => Pdu;
}

/** judged: a proof was looked at in this step, for the guard against guessing. */
export type Step = { readonly judged: boolean } & (
  | { readonly kind: "answer"; readonly pdu: Pdu }
  | { readonly kind: "refused"; readonly pdu?: Pdu; readonly status: number; readonly reason: string }
  | { readonly kind: "enter"; readonly entering: Entering }
);

const NOTHING = new Uint8Array();

export class LoginMachine {
  readonly #facts: LoginFacts;
  readonly #gathered = new TextGatherer();
  readonly #negotiation: Negotiation;
  readonly #seen = new Set<string>();
  #first: LoginHeader | undefined;
  #claimed: Claimed | undefined;
  #target: TargetFacts | undefined;
  #security: LoginSecurity | undefined;
  #stage: number = STAGE.SECURITY;
  #statSn = 0;
  #requests = 0;
  #declared = false;
  #judged = false;
  /** Pieces of an answer that did not fit into one PDU, and where it leads. */
  #outgoing: readonly Uint8Array[] = [];
  #next: number | undefined;

  constructor(facts: LoginFacts) {
    this.#facts = facts;
    this.#negotiation = new Negotiation(facts.offer);
  }

  /** The name that the initiator claims, as soon as it is known; not proved. */
  get initiator(): string | undefined {
    return this.#claimed?.initiator;
  }

  step(header: Uint8Array, data: Uint8Array): Step {
    this.#judged = false;
    const request = decodeLogin(header);
    try {
      if (request === undefined)
        throw loginRefused(STATUS.INVALID_DURING_LOGIN, "Something other than a Login Request came during login.");
      return this.#request(request, data);
    } catch (error) {
      if (!(error instanceof GantryError)) throw error;
      const status = statusOf(error);
      const about = request ?? this.#first;
      return {
        kind: "refused",
        judged: this.#judged,
        status,
        reason: error.message,
        ...(about !== undefined && { pdu: this.#refusal(about, status) }),
      };
    }
  }

  /** A last answer to what step() was given, whatever it made of that. */
  refusal(header: Uint8Array, status: number): Pdu | undefined {
    const request = decodeLogin(header) ?? this.#first;
    return request === undefined ? undefined : this.#refusal(request, status);
  }

  #request(request: LoginHeader, data: Uint8Array): Step {
    this.#check(request, data);
    if (this.#outgoing.length > 0) return this.#more(request, data);
    this.#gathered.add(data);
    if (request.continued) return this.#answer(request, undefined, NOTHING, false);
    const pairs = parseText(this.#gathered.take());
    const replies = this.#text(pairs);
    this.#next = this.#transit(request);
    const [piece = NOTHING, ...rest] = pieces(formatText([...replies, ...this.#own()]), LOGIN_DATA_MAX);
    this.#outgoing = rest;
    return this.#send(request, piece);
  }

  /** The initiator asks for the rest of an answer with empty requests. */
  #more(request: LoginHeader, data: Uint8Array): Step {
    if (data.length > 0 || request.continued)
      throw loginRefused(STATUS.INITIATOR_ERROR, "Text came before the answer to the last one was sent whole.");
    const [piece = NOTHING, ...rest] = this.#outgoing;
    this.#outgoing = rest;
    return this.#send(request, piece);
  }

  #send(request: LoginHeader, piece: Uint8Array): Step {
    if (this.#outgoing.length > 0) return this.#answer(request, undefined, piece, true);
    const next = this.#next;
    if (next !== STAGE.FULL_FEATURE) return this.#answer(request, next, piece, false);
    return { kind: "enter", judged: this.#judged, entering: this.#entering(request, piece) };
  }

  #check(request: LoginHeader, data: Uint8Array): void {
    const wrong = (what: string): Error => loginRefused(STATUS.INITIATOR_ERROR, `The Login Request ${what}.`);
    this.#requests += 1;
    if (this.#requests > REQUESTS_MAX) throw wrong(`is one more than the ${REQUESTS_MAX} that a login may take`);
    if (data.length > LOGIN_DATA_MAX) throw wrong(`has ${data.length} bytes of text; ${LOGIN_DATA_MAX} are allowed`);
    if (!request.immediate || request.additionalHeader) throw wrong("is not immediate, or has additional headers");
    if (request.versionMin > 0) {
      throw loginRefused(STATUS.UNSUPPORTED_VERSION, `Version ${request.versionMin} of iSCSI is not known; 0 is.`);
    }
    if (request.transit && request.continued) throw wrong("wants to go on while its text goes on");
    const first = this.#first;
    if (first === undefined) this.#stage = request.stage;
    if (request.stage !== this.#stage || (request.stage !== STAGE.SECURITY && request.stage !== STAGE.OPERATIONAL))
      throw wrong(`is of stage ${request.stage} in stage ${this.#stage}`);
    const { nextStage } = request;
    const known = nextStage === STAGE.OPERATIONAL || nextStage === STAGE.FULL_FEATURE;
    if (request.transit && (!known || nextStage <= request.stage)) throw wrong(`wants to go to stage ${nextStage}`);
    this.#first ??= request;
    for (const field of ["isid", "tsih", "taskTag", "cid", "cmdSn"] as const) {
      // RFC 7143 11.12: they stay as they are throughout the login.
      if (first !== undefined && first[field] !== request[field]) throw wrong(`changes ${field} in mid-login`);
    }
  }

  /** What the text comes to. */
  #text(pairs: readonly Pair[]): readonly Pair[] {
    for (const { key } of pairs) {
      // RFC 7143 6.3: negotiating anything twice during login is an initiator error.
      if (this.#seen.has(key)) throw loginRefused(STATUS.INITIATOR_ERROR, `The key ${key} comes twice.`);
      this.#seen.add(key);
    }
    const of = (keys: readonly string[]): readonly Pair[] => pairs.filter(({ key }) => keys.includes(key));
    if (this.#claimed !== undefined && of(NAMING_KEYS).length > 0)
      throw loginRefused(STATUS.INITIATOR_ERROR, "Names come with the first request, and only there.");
    const greeting = this.#claimed === undefined ? this.#greet(pairs) : [];
    if (of(TARGET_KEYS).some(({ value }) => value !== ANSWER.NOT_UNDERSTOOD))
      throw loginRefused(STATUS.INITIATOR_ERROR, "The initiator declares what only targets declare.");
    const secured = this.#secure(of(SECURITY_KEYS));
    const taken = new Set([...NAMING_KEYS, ...TARGET_KEYS, ...SECURITY_KEYS]);
    const offered = pairs.filter(({ key }) => !taken.has(key));
    return [...greeting, ...secured, ...this.#negotiation.answer(offered, this.#claimed?.discovery === true)];
  }

  /** The first text: who and where to. The target tells its portal group in its first answer (RFC 7143 13.9). */
  #greet(pairs: readonly Pair[]): readonly Pair[] {
    const { directory, portal, credentials, random } = this.#facts;
    const who = claimed(pairs);
    this.#claimed = who;
    this.#security = new LoginSecurity({ initiator: who.initiator, portal, credentials, random });
    if (who.target === undefined) return [];
    this.#target = directory.target(portal, who.target);
    if (this.#target === undefined)
      throw loginRefused(STATUS.NOT_FOUND, `There is no target ${who.target} at this portal.`);
    const { portalGroupTag, alias } = this.#target;
    return [
      { key: "TargetPortalGroupTag", value: String(portalGroupTag) },
      ...(alias === undefined ? [] : [{ key: "TargetAlias", value: alias }]),
    ];
  }

  #secure(pairs: readonly Pair[]): readonly Pair[] {
    if (pairs.length === 0) return [];
    if (this.#stage !== STAGE.SECURITY)
      throw loginRefused(STATUS.INITIATOR_ERROR, "Keys of the security stage came after it.");
    this.#judged = pairs.some(({ key }) => key === "CHAP_R");
    return this.#security?.step(pairs) ?? [];
  }

  /** The stage that is entered with this answer; undefined: none yet. */
  #transit(request: LoginHeader): number | undefined {
    // Whoever begins in the operational stage, or wants to leave the security stage, has to have proved its name.
    const asks = request.transit || this.#stage !== STAGE.SECURITY;
    if (!asks || this.#security?.passed() !== true) return undefined;
    return request.transit ? request.nextStage : undefined;
  }

  /** What the target declares of itself in the operational stage. */
  #own(): readonly Pair[] {
    if (this.#declared || this.#stage !== STAGE.OPERATIONAL) return [];
    this.#declared = true;
    return [{ key: "MaxRecvDataSegmentLength", value: String(this.#facts.offer.maxRecvDataSegmentLength) }];
  }

  #answer(request: LoginHeader, next: number | undefined, data: Uint8Array, continued: boolean): Step {
    const header = encodeLoginResponse({
      ...this.#common(request),
      transit: next !== undefined,
      continued,
      nextStage: next ?? 0,
      tsih: request.tsih,
      status: STATUS.SUCCESS,
    });
    this.#statSn += 1;
    if (next !== undefined) this.#stage = next;
    return { kind: "answer", judged: this.#judged, pdu: { header, data } };
  }

  #entering(request: LoginHeader, data: Uint8Array): Entering {
    const who = this.#claimed;
    if (who === undefined) throw loginRefused(STATUS.MISSING_PARAMETER, "There is no InitiatorName.");
    if (this.#target !== undefined && !this.#facts.directory.admits(who.initiator, this.#target.name)) {
      throw loginRefused(
        STATUS.AUTHORIZATION_FAILURE,
        `${who.initiator} may not log in to ${this.#target.name}: its zones and keys do not lead there.`,
      );
    }
    const chapName = this.#security?.proved;
    const common = this.#common(request);
    return {
      initiator: who.initiator,
      ...(this.#target !== undefined && { target: this.#target }),
      discovery: who.discovery,
      isid: request.isid,
      tsih: request.tsih,
      cid: request.cid,
      ...(chapName !== undefined && { chapName }),
      agreed: this.#negotiation.result(),
      maxRecvDataSegmentLength: this.#declared ? this.#facts.offer.maxRecvDataSegmentLength : LOGIN_DATA_MAX,
      expCmdSn: request.cmdSn,
      statSn: (this.#statSn + 1) >>> 0,
      finish: (tsih) => ({
        header: encodeLoginResponse({
          ...common,
          maxCmdSn: (request.cmdSn + this.#facts.queueDepth - 1) >>> 0,
          transit: true,
          continued: false,
          nextStage: STAGE.FULL_FEATURE,
          tsih,
          status: STATUS.SUCCESS,
        }),
        data,
      }),
      refuse: (status) => this.#refusal(request, status),
    };
  }

  #refusal(request: LoginHeader, status: number): Pdu {
    const header = encodeLoginResponse({
      ...this.#common(request),
      transit: false,
      continued: false,
      nextStage: 0,
      tsih: request.tsih,
      status,
    });
    return { header, data: NOTHING };
  }

  #common(request: LoginHeader) {
    return {
      stage: request.stage,
      isid: request.isid,
      taskTag: request.taskTag,
      statSn: this.#statSn,
      expCmdSn: request.cmdSn,
      maxCmdSn: request.cmdSn,
    };
  }
}
