// Who has to prove an iSCSI name by CHAP, and with which secrets: those of the configuration, and those that came with a
// key. Login (src/fabric/iscsi) asks; nothing here is ever shown or logged.
import { GantryError } from "../sys/errors.js";

/** RFC 7143 9.2.1: at least 96 bits. */
export const CHAP_SECRET_BYTES = { min: 12, max: 255 } as const;
export const CHAP_NAME_BYTES_MAX = 255;

/** A CHAP name and its secret. */
export interface ChapSecret {
  readonly name: string;
  readonly secret: Uint8Array;
}

export interface Credentials {
  /** Whether this initiator must prove its name when it comes to this portal. */
  mustProve(initiator: string, portal: number): boolean;
  /** Whether the initiator has a secret of its own at all. */
  known(initiator: string): boolean;
  /** Secrets with which this initiator may prove itself under this CHAP name: several while a key is being renewed. */
  secrets(initiator: string, chapName: string): readonly Uint8Array[];
  /** What the bridge proves itself with when it is asked to; undefined: it cannot. */
  own(): ChapSecret | undefined;
}

/** Secrets that come and go with keys (admit/key-credentials.ts). */
export interface SecretSource {
  /** In force now. */
  chapOf(initiator: string): readonly ChapSecret[];
}

export interface CredentialOptions {
  /** [iscsi] authentication: who may log in without CHAP. */
  readonly authentication: "chap" | "none-on-loopback" | "none-anywhere";
  /** Whether only this machine can reach the portal. */
  readonly isLoopback: (portal: number) => boolean;
  /** From the configuration: by initiator. */
  readonly configured: readonly (ChapSecret & { readonly initiator: string })[];
  readonly own?: ChapSecret;
  readonly keys?: SecretSource;
}

/** Deny by default: a name that has a secret anywhere must prove it everywhere, or its keys would be anybody's who knows the name. */
export class ConfiguredCredentials implements Credentials {
  readonly #options: CredentialOptions;

  constructor(options: CredentialOptions) {
    this.#options = options;
  }

  mustProve(initiator: string, portal: number): boolean {
    const { authentication, isLoopback } = this.#options;
    if (this.known(initiator)) return true;
    if (authentication === "none-anywhere") return false;
    return authentication === "chap" || !isLoopback(portal);
  }

  known(initiator: string): boolean {
    return this.#of(initiator).length > 0;
  }

  secrets(initiator: string, chapName: string): readonly Uint8Array[] {
    return this.#of(initiator)
      .filter(({ name }) => name === chapName)
      .map(({ secret }) => secret);
  }

  own(): ChapSecret | undefined {
    return this.#options.own;
  }

  #of(initiator: string): readonly ChapSecret[] {
    const { configured, keys } = this.#options;
    return [...configured.filter((entry) => entry.initiator === initiator), ...(keys?.chapOf(initiator) ?? [])];
  }
}

/** The first line of a secret file. @throws GantryError CONFIG_INVALID */
export function readSecret(text: string, path: string): Uint8Array {
  const secret = Buffer.from(text.split(/\r?\n/, 1)[0] ?? "");
  const { min, max } = CHAP_SECRET_BYTES;
  if (secret.length >= min && secret.length <= max) return Uint8Array.from(secret);
  throw new GantryError(
    "CONFIG_INVALID",
    `The first line of ${path} has ${secret.length} bytes; a CHAP secret has ${min} to ${max} (RFC 7143 9.2.1).`,
  );
}
