// Keys presented in-band: SECURITY PROTOCOL OUT brings the same signed bytes as key.install, and is judged by the same
// ring; SECURITY PROTOCOL IN says what became of them. One thing is asked beside: the key must be for the initiator
// that presents it, for whoever has seen a key on the way could present it too.
import type { Plane, Punt } from "../plane.js";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import {
  decodePresentedKey,
  decodeSecurityCdb,
  encodeNoCertificate,
  encodePresentedStatus,
  encodeProtocols,
  PRESENT_KEY,
  PROTOCOL,
  type PresentedStatus,
  type SecurityCdb,
} from "../wire/security-protocol.js";
import { fixedSense } from "../wire/sense-encode.js";
import { decodeSign1 } from "./cose.js";
import { decodeKey, holderText } from "./key.js";
import type { KeyRing } from "./key-ring.js";

export interface InbandOptions {
  readonly plane: Pick<Plane, "answer">;
  readonly ring: Pick<KeyRing, "install">;
  /** Counted and told like every other refusal. */
  readonly onRefused: (nexus: number, lun: number, code: string) => void;
  /** A key was taken and its command answered: paths may change now. */
  readonly onSettled: (nexus: number) => void;
}

type Sense = readonly [key: number, asc: number, ascq: number];

const { ILLEGAL_REQUEST } = SENSE_KEY;
const INVALID_FIELD_IN_CDB: Sense = [ILLEGAL_REQUEST, 0x24, 0x00];
const INVALID_PARAMETER: Sense = [ILLEGAL_REQUEST, 0x26, 0x00];
/** SPC-4 table F.2: AUTHENTICATION FAILED. Not ABORTED COMMAND: initiators would repeat that by themselves. */
const AUTHENTICATION_FAILED: Sense = [ILLEGAL_REQUEST, 0x74, 0x40];

/** What is not here was understood and refused. */
const SENSES: Readonly<Record<string, Sense>> = {
  KEY_MALFORMED: INVALID_PARAMETER,
  CBOR_INVALID: INVALID_PARAMETER,
  KEY_CRITICAL_UNKNOWN: INVALID_PARAMETER,
  KEY_CHAP_WRONG: INVALID_PARAMETER,
  KEY_RENEWAL_WRONG: INVALID_PARAMETER,
  KEY_LIFETIME_TOO_LONG: INVALID_PARAMETER,
  // UNKNOWN SIGNATURE VERIFICATION KEY, DIGITAL SIGNATURE VALIDATION FAILURE.
  KEY_ISSUER_UNKNOWN: [ILLEGAL_REQUEST, 0x74, 0x06],
  KEY_ALGORITHM: [ILLEGAL_REQUEST, 0x74, 0x08],
  KEY_SIGNATURE_WRONG: [ILLEGAL_REQUEST, 0x74, 0x08],
  // INSUFFICIENT RESOURCES.
  KEY_RING_FULL: [ILLEGAL_REQUEST, 0x55, 0x03],
  // LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE: the key may be tried again.
  CLOCK_UNTRUSTED: [SENSE_KEY.NOT_READY, 0x04, 0x00],
  // INTERNAL TARGET FAILURE.
  KEY_NOT_STORED: [SENSE_KEY.HARDWARE_ERROR, 0x44, 0x00],
  INTERNAL: [SENSE_KEY.HARDWARE_ERROR, 0x44, 0x00],
};

const NONE: PresentedStatus = { code: "NONE", message: "This session has presented no key." };

export class InbandKeys {
  readonly #options: InbandOptions;
  readonly #status = new Map<number, PresentedStatus>();
  readonly #busy = new Set<number>();

  constructor(options: InbandOptions) {
    this.#options = options;
  }

  /** Whether the command is ours to answer; what is not may be a real device's. */
  takes(cdb: Uint8Array): boolean {
    const security = decodeSecurityCdb(cdb);
    return security !== undefined && (security.protocol === PROTOCOL.GANTRY || isInformation(security));
  }

  /** A key is being looked at: until it is settled the path that it came on has to stay. */
  isBusy(nexus: number): boolean {
    return this.#busy.has(nexus);
  }

  closed(nexus: number): void {
    this.#status.delete(nexus);
  }

  /** Answered in any case; never rejects. @param initiator name of who sent it */
  async onPunt(punt: Punt, initiator: string): Promise<void> {
    const security = decodeSecurityCdb(punt.cdb);
    if (security === undefined) this.#check(punt, INVALID_FIELD_IN_CDB);
    else if (isInformation(security)) this.#information(punt, security);
    else if (security.specific !== PRESENT_KEY) this.#check(punt, INVALID_FIELD_IN_CDB);
    else if (!security.out) this.#good(punt, encodePresentedStatus(this.#status.get(punt.nexus) ?? NONE));
    // No data is no error (SPC-4 6.41), and presents nothing.
    else if (security.length === 0) this.#good(punt);
    // One after the other: a signature costs more to check than to send.
    else if (this.#busy.has(punt.nexus)) this.#options.plane.answer(punt.id, STATUS.BUSY);
    else await this.#present(punt, initiator);
  }

  async #present(punt: Punt, initiator: string): Promise<void> {
    const { nexus, lun } = punt;
    this.#busy.add(nexus);
    try {
      await this.#install(punt.data, initiator);
      this.#status.set(nexus, { code: "INSTALLED", message: "The key is installed." });
      this.#good(punt);
    } catch (error) {
      const code = isGantryError(error) ? error.code : "INTERNAL";
      this.#status.set(nexus, { code, message: messageOf(error) });
      this.#check(punt, SENSES[code] ?? AUTHENTICATION_FAILED);
      this.#options.onRefused(nexus, lun, code);
    } finally {
      this.#busy.delete(nexus);
      this.#options.onSettled(nexus);
    }
  }

  /** The holder is read before the signature is checked: that can only refuse. */
  async #install(list: Uint8Array, initiator: string): Promise<void> {
    const token = decodePresentedKey(list);
    const { holder } = decodeKey(decodeSign1(token).payload);
    if (holder.kind !== "initiator" || holder.name !== initiator)
      throw new GantryError("KEY_HOLDER_WRONG", `The key is for ${holderText(holder)}, and ${initiator} presented it.`);
    await this.#options.ring.install(token);
  }

  #information(punt: Punt, { specific }: SecurityCdb): void {
    if (specific === 0) this.#good(punt, encodeProtocols([PROTOCOL.INFORMATION, PROTOCOL.GANTRY]));
    else if (specific === 1) this.#good(punt, encodeNoCertificate());
    else this.#check(punt, INVALID_FIELD_IN_CDB);
  }

  #good(punt: Punt, data?: Uint8Array): void {
    this.#options.plane.answer(punt.id, STATUS.GOOD, undefined, data);
  }

  #check(punt: Punt, sense: Sense): void {
    this.#options.plane.answer(punt.id, STATUS.CHECK_CONDITION, fixedSense(...sense));
  }
}

/** SPC-4 7.7.1: which security protocols there are; there is no such thing to send. */
const isInformation = ({ protocol, out }: SecurityCdb): boolean => protocol === PROTOCOL.INFORMATION && !out;
