// Facts that the login tests share: one target, one server with a secret and one without.
import { ConfiguredCredentials, type CredentialOptions } from "../../../src/admit/credentials.js";
import type { LoginDirectory } from "../../../src/fabric/iscsi/directory.js";
import { LoginMachine, type Step } from "../../../src/fabric/iscsi/login-machine.js";
import { DEFAULT_OFFER } from "../../../src/fabric/iscsi/negotiation.js";
import { loginRequest, pairsOf, type RequestFields, response, text } from "../../lib/iscsi-initiator.js";

export const TARGET = "iqn.2024-01.org.example:disks";
export const HIDDEN = "iqn.2024-01.org.example:others";
export const SERVER = "iqn.2024-01.org.example:server";
export const PLAIN = "iqn.2024-01.org.example:plain";
export const SECRET = "a secret of 24 bytes....";
export const OWN_SECRET = "the bridge's own secret";

export const directory: LoginDirectory = {
  target: (portal, name) =>
    name === TARGET || name === HIDDEN ? { name, alias: "disks", portalGroupTag: portal + 1 } : undefined,
  admits: (_initiator, target) => target !== HIDDEN,
  visible: (initiator) =>
    initiator === "iqn.2024-01.org.example:nobody"
      ? []
      : [{ name: TARGET, addresses: [{ address: "10.0.0.5:3260", portalGroupTag: 1 }] }],
};

export function credentials(options: Partial<CredentialOptions> = {}): ConfiguredCredentials {
  return new ConfiguredCredentials({
    authentication: "none-on-loopback",
    isLoopback: (portal) => portal === 0,
    configured: [{ initiator: SERVER, name: "server", secret: Buffer.from(SECRET) }],
    own: { name: "bridge", secret: Buffer.from(OWN_SECRET) },
    ...options,
  });
}

/** Not random at all: 1, 2, 3 … */
export function counting(): (bytes: number) => Uint8Array {
  let next = 0;
  return (bytes) => Uint8Array.from({ length: bytes }, () => ++next & 0xff);
}

export function machine(options: Partial<CredentialOptions> = {}, portal = 0): LoginMachine {
  return new LoginMachine({
    portal,
    directory,
    credentials: credentials(options),
    random: counting(),
    offer: DEFAULT_OFFER,
    queueDepth: 32,
  });
}

export interface Told {
  readonly step: Step;
  readonly kind: Step["kind"];
  /** Status of a refusal; 0 otherwise. */
  readonly status: number;
  readonly reason: string;
  readonly answer: ReturnType<typeof response>;
  readonly pairs: readonly string[];
}

/** One request and what came of it; a login that is through is finished with TSIH 9. */
export function ask(login: LoginMachine, fields: RequestFields, ...pairs: readonly string[]): Told {
  return askBytes(login, fields, text(...pairs));
}

export function askBytes(login: LoginMachine, fields: RequestFields, data: Uint8Array): Told {
  const step = login.step(loginRequest(fields), data);
  const pdu = step.kind === "enter" ? step.entering.finish(9) : step.pdu;
  return {
    step,
    kind: step.kind,
    status: step.kind === "refused" ? step.status : 0,
    reason: step.kind === "refused" ? step.reason : "",
    answer: response(pdu?.header ?? new Uint8Array(48)),
    pairs: pairsOf(pdu?.data ?? new Uint8Array()),
  };
}

export const NORMAL = [`InitiatorName=${PLAIN}`, `TargetName=${TARGET}`, "SessionType=Normal"];
export const PROVED = [`InitiatorName=${SERVER}`, `TargetName=${TARGET}`];
export const TO_OPERATIONAL: RequestFields = { transit: true, stage: 0, nextStage: 1 };
export const TO_FULL: RequestFields = { transit: true, stage: 1, nextStage: 3 };
