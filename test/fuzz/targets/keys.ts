// Keys and revocation orders: nothing that was not signed is ever taken.
import fc from "fast-check";
import { Issuer } from "../../../src/admit/issuer.js";
import { decodeKey, encodeKey } from "../../../src/admit/key.js";
import { authenticate, checkIssuer } from "../../../src/admit/key-checks.js";
import { loadOrders, packKey, packOrder, unpackKey } from "../../../src/admit/key-records.js";
import { decodeRevocation, encodeRevocation } from "../../../src/admit/revocation.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { encodeCbor } from "../../../src/wire/cbor-strict.js";
import { HOUR_MS, request, START_MS, TEST1_PEM, TEST2_PEM } from "../../unit/admit/helpers.js";
import { must, type Target } from "../target.js";

let ids = 0;
/** Ids that are the same in every run. */
const counted = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(++ids & 0xff);
const broker = new Issuer("broker-1", TEST1_PEM, "k1", counted);
const stranger = new Issuer("broker-2", TEST2_PEM, "k2", counted);

const plain = broker.issue(request(), START_MS);
const rich = broker.issue(
  request({
    holder: { kind: "initiator", name: "iqn.2024-01.org.example:host" },
    audience: ["bridge-7", "bridge-8"],
    rights: ["read", "write", "exclusive", "media-control"],
    media: { cartridges: ["A*", "B1"], maxBytes: 2n ** 63n },
    maxBytes: 2n ** 64n - 1n,
    priority: 255,
    notBeforeMs: START_MS + 5000,
  }),
  START_MS,
);
const renewal = broker.renew(plain.content, START_MS + 2 * HOUR_MS, START_MS);
const order = broker.revoke({ audience: ["bridge-7"], ids: [plain.content.id, rich.content.id], epoch: 5 }, START_MS);
const foreign = stranger.issue(request(), START_MS);

const issued = [plain, rich, renewal, order].map(({ token }) => token);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
/** Payloads that our issuer signed; nothing else may come out of authenticate(). */
const signed = new Set(issued.map((token) => hex(authenticate(token, [broker.issuerKey]).payload)));

const KEY_CODES = ["KEY_MALFORMED", "KEY_CRITICAL_UNKNOWN"] as const;

const tokenTarget: Target = {
  name: "key-token",
  codes: [...KEY_CODES, "KEY_ISSUER_UNKNOWN", "KEY_ALGORITHM", "KEY_SIGNATURE_WRONG"],
  seeds: () => [...issued, foreign.token],
  run: (input) => {
    const { payload, signer } = authenticate(input, [broker.issuerKey]);
    must(signed.has(hex(payload)), "an altered or forged key was taken");
    const isOrder = hex(payload) === hex(authenticate(order.token, [broker.issuerKey]).payload);
    const content = isOrder ? decodeRevocation(payload) : decodeKey(payload);
    checkIssuer(signer, content.issuer);
    return content;
  },
};

const claimsTarget: Target = {
  name: "key-claims",
  codes: KEY_CODES,
  seeds: () => [plain, rich, renewal].map(({ content }) => encodeKey(content)),
  run: (input) => {
    const key = decodeKey(input);
    must(key.expiresMs > key.notBeforeMs && key.expiresMs > key.issuedMs, "a key ends after it begins");
    must(key.devices.length > 0 && key.rights.length > 0 && key.audience.length > 0, "a key names what it is for");
    must(key.id.length >= 8 && key.id.length <= 32, "ids have 8 to 32 bytes");
    must(Number.isInteger(key.priority) && key.priority >= 0 && key.priority <= 255, "priorities have a byte");
    must(hex(encodeKey(decodeKey(encodeKey(key)))) === hex(encodeKey(key)), "a key does not come back");
    return key;
  },
};

const ordersTarget: Target = {
  name: "key-revocation",
  codes: KEY_CODES,
  seeds: () => [encodeRevocation(order.content), encodeRevocation({ ...order.content, ids: [] })],
  run: (input) => {
    const value = decodeRevocation(input);
    must(value.ids.length > 0 || value.epoch !== undefined, "an order takes something back");
    must(
      hex(encodeRevocation(value)) === hex(encodeRevocation(decodeRevocation(encodeRevocation(value)))),
      "comes back",
    );
    return value;
  },
  roundTrip: fc.property(
    fc.array(fc.uint8Array({ minLength: 8, maxLength: 32 }), { maxLength: 30 }),
    fc.option(fc.maxSafeInteger().map(Math.abs), { nil: undefined }),
    (revoked, epoch) => {
      if (revoked.length === 0 && epoch === undefined) return;
      const value = { ...order.content, ids: revoked, ...(epoch === undefined ? {} : { epoch }) };
      const back = decodeRevocation(encodeRevocation(value));
      must(back.epoch === value.epoch && back.ids.map(hex).join() === value.ids.map(hex).join(), "comes back");
    },
  ) as unknown as fc.IProperty<[unknown]>,
};

/** What the key ring finds in the state directory. */
const storedTarget: Target = {
  name: "key-records",
  codes: ["CBOR_INVALID", "KEY_RING_CORRUPT"],
  seeds: () => [
    packKey({ token: plain.token, aliases: [] }),
    packKey({ token: renewal.token, aliases: [plain.content.id] }),
    packOrder(order.token, START_MS),
    encodeCbor([order.token]),
  ],
  run: async (input) => {
    const store = new MemoryStore();
    await store.put(["keys", "revoked", "x"], input);
    let orders: unknown;
    try {
      orders = [...loadOrders(store)];
    } catch (error) {
      // An order that cannot be read must not look like one that is not there.
      must((error as { code?: unknown }).code === "KEY_RING_CORRUPT", `an order that cannot be read: ${String(error)}`);
    }
    return orders ?? unpackKey(input);
  },
};

export const keyTargets: readonly Target[] = [tokenTarget, claimsTarget, ordersTarget, storedTarget];
