// Which sessions there are, by what RFC 7143 6.3.5 calls their identity: initiator port (name and ISID) and target port
// (name and portal group). One login at a time waits for an old session of the same identity to be gone.
import { STATUS } from "./login-pdu.js";

export interface SessionIdentity {
  readonly initiator: string;
  readonly isid: string;
  readonly target: string;
  readonly portalGroupTag: number;
}

/** A login that is through, and waits for its place. */
export interface Waiting {
  readonly connection: number;
  /** As asked for; 0: a new session. */
  readonly tsih: number;
  readonly cid: number;
  readonly enter: (tsih: number) => number | undefined;
  readonly refuse: (status: number, reason: string) => void;
}

interface Place {
  readonly key: string;
  nexus: number | undefined;
  closing: boolean;
  tsih: number;
  cid: number;
  waiting: Waiting | undefined;
}

const TSIH_MAX = 0xffff;

export class SessionTable {
  readonly #places = new Map<string, Place>();
  readonly #byNexus = new Map<number, Place>();
  readonly #used = new Set<number>();
  readonly #closeNexus: (nexus: number) => void;
  #last = 0;

  /** @param closeNexus ends a session; closed() has to follow. */
  constructor(closeNexus: (nexus: number) => void) {
    this.#closeNexus = closeNexus;
  }

  get size(): number {
    return this.#byNexus.size;
  }

  /**
   * Enters, now or when the old session of this identity is gone. RFC 7143 6.3.5: a login with TSIH 0 reinstates the
   * session. 6.3.4: one with its TSIH and CID reinstates the connection; at ErrorRecoveryLevel 0 its tasks end with it.
   */
  login(identity: SessionIdentity, waiting: Waiting): void {
    const key = `${identity.initiator} ${identity.isid} ${identity.target} ${identity.portalGroupTag}`;
    const place = this.#places.get(key);
    const refusal = this.#refusal(place, waiting);
    if (refusal !== undefined) {
      waiting.refuse(refusal, "The TSIH names no session of this initiator that could take the connection.");
      return;
    }
    const mine = place ?? { key, nexus: undefined, closing: false, tsih: 0, cid: 0, waiting: undefined };
    this.#places.set(key, mine);
    mine.waiting?.refuse(STATUS.INITIATOR_ERROR, "Another login of the same initiator port overtook this one.");
    mine.waiting = waiting;
    if (mine.nexus === undefined) this.#enter(mine);
    else if (!mine.closing) {
      mine.closing = true;
      this.#closeNexus(mine.nexus);
    }
  }

  /** The connection is gone, or its time is over: it waits no more. */
  forget(connection: number): void {
    for (const place of this.#places.values()) {
      if (place.waiting?.connection !== connection) continue;
      place.waiting = undefined;
      this.#tidy(place);
    }
  }

  /** The nexus is no more: whoever waits for its place has it. */
  closed(nexus: number): void {
    const place = this.#byNexus.get(nexus);
    if (place === undefined) return;
    this.#byNexus.delete(nexus);
    place.nexus = undefined;
    place.closing = false;
    // A connection that is reinstated keeps the TSIH, so it is free only when nobody wants that.
    if (place.waiting === undefined || place.waiting.tsih === 0) this.#used.delete(place.tsih);
    if (place.waiting !== undefined) this.#enter(place);
    this.#tidy(place);
  }

  /** RFC 7143 6.3.1: what ISID, TSIH and CID ask for, against what there is. */
  #refusal(place: Place | undefined, { tsih, cid }: Waiting): number | undefined {
    if (tsih === 0) return undefined;
    if (place?.nexus === undefined || place.tsih !== tsih) return STATUS.SESSION_DOES_NOT_EXIST;
    return place.cid === cid ? undefined : STATUS.TOO_MANY_CONNECTIONS;
  }

  #enter(place: Place): void {
    const { waiting } = place;
    place.waiting = undefined;
    if (waiting === undefined) return;
    const tsih = waiting.tsih === 0 ? this.allocate() : waiting.tsih;
    if (tsih === undefined) {
      waiting.refuse(STATUS.OUT_OF_RESOURCES, "Every TSIH is in use.");
      this.#tidy(place);
      return;
    }
    this.#used.add(tsih);
    const nexus = waiting.enter(tsih);
    if (nexus === undefined) {
      this.#used.delete(tsih);
      this.#tidy(place);
      return;
    }
    Object.assign(place, { nexus, tsih, cid: waiting.cid });
    this.#byNexus.set(nexus, place);
  }

  /** A TSIH that nobody has, other than the last ones; not kept. Undefined: there is none. */
  allocate(): number | undefined {
    if (this.#used.size >= TSIH_MAX) return undefined;
    do this.#last = (this.#last % TSIH_MAX) + 1;
    while (this.#used.has(this.#last));
    return this.#last;
  }

  #tidy(place: Place): void {
    if (place.nexus === undefined && place.waiting === undefined) this.#places.delete(place.key);
  }
}
