// The operational keys of RFC 7143 13: for each its rule, its range and default, and what it comes to when the
// initiator offers it. Pure: what was agreed is asked for with result().
import { formatBoolean, type Pair, parseBoolean, parseList, parseNumber } from "./text-keys.js";

/** What this target would like; an initiator may make it smaller. */
export interface Offer {
  /** What the target declares for itself. */
  readonly maxRecvDataSegmentLength: number;
  readonly maxBurstLength: number;
  readonly firstBurstLength: number;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly maxOutstandingR2T: number;
}

/** Most that the front end takes; MaxRecvDataSegmentLength is a whole MiB so that large writes come in few PDUs. */
export const DEFAULT_OFFER: Offer = {
  maxRecvDataSegmentLength: 1 << 20,
  maxBurstLength: 16_776_192,
  firstBurstLength: 262_144,
  initialR2T: false,
  immediateData: true,
  maxOutstandingR2T: 16,
};

export interface Agreed {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initiatorMaxRecvDataSegmentLength: number;
  readonly maxBurstLength: number;
  readonly firstBurstLength: number;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly maxOutstandingR2T: number;
  readonly dataPduInOrder: boolean;
  readonly dataSequenceInOrder: boolean;
}

export const SEGMENT_MIN = 512;
export const SEGMENT_MAX = 0xffffff;

type Rule =
  | { readonly kind: "list"; readonly known: readonly string[]; readonly initial: string }
  | {
      readonly kind: "boolean";
      readonly op: "or" | "and";
      readonly own: (offer: Offer) => boolean;
      readonly initial: boolean;
    }
  | {
      readonly kind: "number";
      readonly op: "min" | "max";
      readonly own: (offer: Offer) => number;
      readonly from: number;
      readonly to: number;
      readonly initial: number;
    }
  /** A value of the sender's own: taken, not answered. */
  | { readonly kind: "declared"; readonly from: number; readonly to: number; readonly initial: number }
  /** RFC 7143 13.25: keys that are no more, which may not be answered with NotUnderstood. */
  | { readonly kind: "obsolete" };

interface Row {
  readonly rule: Rule;
  /** Means nothing in a discovery session (RFC 7143 13: "Irrelevant when: SessionType=Discovery"). */
  readonly normalOnly?: boolean;
}

const DIGESTS: readonly string[] = ["None", "CRC32C"];
const count = (op: "min" | "max", own: (offer: Offer) => number, from: number, to: number, initial: number): Rule => ({
  kind: "number",
  op,
  own,
  from,
  to,
  initial,
});

/** RFC 7143 13.1 to 13.25; keys of login itself are the login machine's. */
export const OPERATIONAL: Readonly<Record<string, Row>> = {
  HeaderDigest: { rule: { kind: "list", known: DIGESTS, initial: "None" } },
  DataDigest: { rule: { kind: "list", known: DIGESTS, initial: "None" } },
  MaxConnections: { rule: count("min", () => 1, 1, 65535, 1), normalOnly: true },
  InitialR2T: { rule: { kind: "boolean", op: "or", own: (o) => o.initialR2T, initial: true }, normalOnly: true },
  ImmediateData: { rule: { kind: "boolean", op: "and", own: (o) => o.immediateData, initial: true }, normalOnly: true },
  MaxRecvDataSegmentLength: { rule: { kind: "declared", from: SEGMENT_MIN, to: SEGMENT_MAX, initial: 8192 } },
  MaxBurstLength: {
    rule: count("min", (o) => o.maxBurstLength, SEGMENT_MIN, SEGMENT_MAX, 262_144),
    normalOnly: true,
  },
  FirstBurstLength: {
    rule: count("min", (o) => o.firstBurstLength, SEGMENT_MIN, SEGMENT_MAX, 65_536),
    normalOnly: true,
  },
  // With ErrorRecoveryLevel 0 nothing is kept for a connection that may come back, and nobody has to wait for it.
  DefaultTime2Wait: { rule: count("max", () => 0, 0, 3600, 2) },
  DefaultTime2Retain: { rule: count("min", () => 0, 0, 3600, 20) },
  MaxOutstandingR2T: { rule: count("min", (o) => o.maxOutstandingR2T, 1, 65535, 1), normalOnly: true },
  DataPDUInOrder: { rule: { kind: "boolean", op: "or", own: () => true, initial: true }, normalOnly: true },
  DataSequenceInOrder: { rule: { kind: "boolean", op: "or", own: () => true, initial: true }, normalOnly: true },
  ErrorRecoveryLevel: { rule: count("min", () => 0, 0, 2, 0) },
  TaskReporting: { rule: { kind: "list", known: ["RFC3720"], initial: "RFC3720" }, normalOnly: true },
  iSCSIProtocolLevel: { rule: count("min", () => 1, 0, 31, 1), normalOnly: true },
  IFMarker: { rule: { kind: "obsolete" } },
  OFMarker: { rule: { kind: "obsolete" } },
  IFMarkInt: { rule: { kind: "obsolete" } },
  OFMarkInt: { rule: { kind: "obsolete" } },
};

/** Values that answer an offer without taking it (RFC 7143 6.2). */
export const ANSWER = { REJECT: "Reject", IRRELEVANT: "Irrelevant", NOT_UNDERSTOOD: "NotUnderstood" } as const;

type Value = string | boolean | number;

export class Negotiation {
  readonly #offer: Offer;
  readonly #values = new Map<string, Value>();

  constructor(offer: Offer) {
    this.#offer = offer;
  }

  /**
   * What to answer to what the initiator offers at once; a declaration is not answered. Keys of which one decides about
   * another are taken first, in whatever order they come. @param discovery the session is one for discovery.
   */
  answer(pairs: readonly Pair[], discovery: boolean): readonly Pair[] {
    const decided = new Map<string, string | undefined>();
    for (const key of ["InitialR2T", "ImmediateData", "MaxBurstLength"]) {
      const pair = pairs.find((one) => one.key === key);
      if (pair !== undefined) decided.set(key, this.#one(pair, discovery));
    }
    return pairs.flatMap((pair) => {
      const value = decided.has(pair.key) ? decided.get(pair.key) : this.#one(pair, discovery);
      return value === undefined ? [] : [{ key: pair.key, value }];
    });
  }

  result(): Agreed {
    const maxBurstLength = this.#number("MaxBurstLength");
    return {
      headerDigest: this.#value("HeaderDigest") === "CRC32C",
      dataDigest: this.#value("DataDigest") === "CRC32C",
      initiatorMaxRecvDataSegmentLength: this.#number("MaxRecvDataSegmentLength"),
      maxBurstLength,
      // RFC 7143 13.14: never more than MaxBurstLength, also where only one of the two was negotiated.
      firstBurstLength: Math.min(this.#number("FirstBurstLength"), maxBurstLength),
      initialR2T: this.#value("InitialR2T") === true,
      immediateData: this.#value("ImmediateData") === true,
      maxOutstandingR2T: this.#number("MaxOutstandingR2T"),
      dataPduInOrder: this.#value("DataPDUInOrder") === true,
      dataSequenceInOrder: this.#value("DataSequenceInOrder") === true,
    };
  }

  #one(pair: Pair, discovery: boolean): string | undefined {
    const row = Object.hasOwn(OPERATIONAL, pair.key) ? OPERATIONAL[pair.key] : undefined;
    if (row === undefined) return ANSWER.NOT_UNDERSTOOD;
    if (row.rule.kind === "obsolete") return ANSWER.REJECT;
    if ((row.normalOnly === true && discovery) || this.#pointless(pair.key)) return ANSWER.IRRELEVANT;
    const agreed = this.#agree(row.rule, pair);
    if (agreed === undefined) return ANSWER.REJECT;
    this.#values.set(pair.key, agreed);
    if (row.rule.kind === "declared") return undefined;
    return typeof agreed === "boolean" ? formatBoolean(agreed) : String(agreed);
  }

  /** RFC 7143 13.14: without unsolicited and immediate data there is no first burst. */
  #pointless(key: string): boolean {
    if (key !== "FirstBurstLength") return false;
    return this.#value("InitialR2T") === true && this.#value("ImmediateData") === false;
  }

  /** What both sides can live with; undefined: the offer is none, or none of it can be taken. */
  #agree(rule: Exclude<Rule, { kind: "obsolete" }>, { key, value }: Pair): Value | undefined {
    if (rule.kind === "list") {
      // The responder takes the first of the initiator's values that it supports (RFC 7143 6.2.1).
      return parseList(value)?.find((one) => rule.known.includes(one));
    }
    if (rule.kind === "boolean") {
      const offered = parseBoolean(value);
      if (offered === undefined) return undefined;
      return rule.op === "or" ? offered || rule.own(this.#offer) : offered && rule.own(this.#offer);
    }
    const number = parseNumber(value);
    if (number === undefined || number < rule.from || number > rule.to) return undefined;
    if (rule.kind === "declared") return number;
    if (rule.op === "max") return Math.max(number, rule.own(this.#offer));
    const own = Math.min(number, rule.own(this.#offer));
    return key === "FirstBurstLength" ? Math.min(own, this.#number("MaxBurstLength")) : own;
  }

  #number(key: string): number {
    return Number(this.#value(key));
  }

  /** Agreed, or the default. */
  #value(key: string): Value | undefined {
    const rule = OPERATIONAL[key]?.rule;
    return this.#values.get(key) ?? (rule !== undefined && rule.kind !== "obsolete" ? rule.initial : undefined);
  }
}
