// The security stage of a login (RFC 7143 6.3.2): which method, and whether the name has been proved.
import type { Credentials } from "../../admit/credentials.js";
import { CHAP_KEYS, ChapTarget } from "./chap.js";
import { STATUS } from "./login-pdu.js";
import { loginRefused } from "./login-refused.js";
import type { Pair } from "./text-keys.js";

export const SECURITY_KEYS: readonly string[] = ["AuthMethod", ...CHAP_KEYS];

export interface SecurityFacts {
  readonly initiator: string;
  readonly portal: number;
  readonly credentials: Credentials;
  readonly random: (bytes: number) => Uint8Array;
}

export class LoginSecurity {
  readonly #facts: SecurityFacts;
  #method: "None" | "CHAP" | undefined;
  #chap: ChapTarget | undefined;

  constructor(facts: SecurityFacts) {
    this.#facts = facts;
  }

  /** CHAP name that was proved. */
  get proved(): string | undefined {
    return this.#chap?.proved;
  }

  /** Whether the login may leave the security stage. @throws GantryError ISCSI_LOGIN_REFUSED: it never will */
  passed(): boolean {
    if (this.#method === "CHAP") return this.#chap?.proved !== undefined;
    if (this.#mustProve()) throw this.#unproved();
    return true;
  }

  /** @throws GantryError ISCSI_LOGIN_REFUSED */
  step(pairs: readonly Pair[]): readonly Pair[] {
    const offered = pairs.find(({ key }) => key === "AuthMethod");
    const answer = offered === undefined ? [] : [{ key: "AuthMethod", value: this.#choose(offered.value.split(",")) }];
    const rest = pairs.filter(({ key }) => key !== "AuthMethod");
    if (rest.length === 0) return answer;
    if (this.#chap === undefined)
      throw loginRefused(STATUS.INITIATOR_ERROR, "Keys of CHAP came although it was not agreed on.");
    return [...answer, ...this.#chap.step(rest)];
  }

  #choose(offered: readonly string[]): string {
    const { initiator, credentials, random } = this.#facts;
    if (!this.#mustProve()) {
      // Nobody could check a proof: the name has no secret, or it would have to be proved.
      if (!offered.includes("None")) throw this.#unproved();
      this.#method = "None";
      return "None";
    }
    if (!offered.includes("CHAP")) throw this.#unproved();
    this.#method = "CHAP";
    this.#chap = new ChapTarget({
      secrets: (name) => credentials.secrets(initiator, name),
      own: () => credentials.own(),
      random,
    });
    return "CHAP";
  }

  #mustProve(): boolean {
    return this.#facts.credentials.mustProve(this.#facts.initiator, this.#facts.portal);
  }

  #unproved(): Error {
    return loginRefused(
      STATUS.AUTHENTICATION_FAILURE,
      this.#mustProve()
        ? "The initiator must prove its name by CHAP and does not."
        : "The initiator insists on CHAP, and has no secret here.",
    );
  }
}
