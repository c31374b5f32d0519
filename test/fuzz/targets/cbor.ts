// CBOR: the strict form of keys, the form of messages, and the bytes of MQTT packets before anybody parses them.
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { decode, encode } from "../../../src/control/codec.js";
import { FrameGuard } from "../../../src/control/frame-guard.js";
import { type CborKey, CborTag, type CborValue, decodeCbor, encodeCbor } from "../../../src/wire/cbor-strict.js";
import { must, type Target } from "../target.js";

const key: fc.Arbitrary<CborKey> = fc.oneof(fc.maxSafeInteger(), fc.bigInt(2n ** 60n, 2n ** 64n - 1n), text());

function text(): fc.Arbitrary<string> {
  return fc.string({ unit: "grapheme", maxLength: 12 });
}

const { strict } = fc.letrec<{ strict: CborValue }>((tie) => ({
  strict: fc.oneof(
    { maxDepth: 5 },
    fc.maxSafeInteger(),
    fc.bigInt(2n ** 60n, 2n ** 64n - 1n),
    text(),
    fc.uint8Array({ maxLength: 40 }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("strict"), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie("strict")), { maxLength: 4 }).map((entries) => new Map(entries)),
    fc.tuple(fc.nat(0xffff_ffff), tie("strict")).map(([tag, value]) => new CborTag(tag, value)),
  ),
}));

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const strictSeeds: CborValue[] = [
  new Map<CborKey, CborValue>([
    [1, "broker"],
    [-70001, ["disk-a", "class:tape"]],
    ["text", Uint8Array.of(1, 2, 3)],
  ]),
  new CborTag(18, [Uint8Array.of(0xa0), new Map(), new Uint8Array(40), new Uint8Array(64)]),
  [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32, 2n ** 64n - 1n, -1, -25, -(2n ** 63n), true, false, null],
  Array.from({ length: 12 }).reduce<CborValue>((inner) => [inner], "deep"),
];

const strictTarget: Target = {
  name: "cbor-strict",
  codes: ["CBOR_INVALID"],
  seeds: () => strictSeeds.map(encodeCbor),
  run: (input) => {
    const value = decodeCbor(input);
    // Everything but the order of map keys is fixed, so what was taken has one deterministic encoding of its length.
    const again = encodeCbor(value);
    must(again.length === input.length, "another length when it is encoded again");
    must(same(encodeCbor(decodeCbor(again)), again), "the deterministic encoding does not come back");
    return value;
  },
  roundTrip: fc.property(strict, (value) => {
    const bytes = encodeCbor(value);
    must(same(encodeCbor(decodeCbor(bytes)), bytes), "what was encoded does not come back");
  }) as fc.IProperty<[unknown]>,
};

const messages: unknown[] = [
  { v: 1, id: "m-1", kind: "status.get", reply: "gantry/1/b1/reply/broker", sentMs: 1_760_000_000_000 },
  { array: [1, -1, 2 ** 40, 2n ** 64n - 1n, -(2n ** 63n), 1.5, Number.NaN], map: { a: { b: { c: [] } } }, no: null },
  { lba: BigUint64Array.of(0n, 2n ** 64n - 1n), blocks: Uint32Array.of(1, 0xffff_ffff), data: new Uint8Array(300) },
  Array.from({ length: 14 }).reduce<unknown>((inner) => ({ in: inner }), "deep"),
];

const messageTarget: Target = {
  name: "cbor-message",
  codes: ["MESSAGE_MALFORMED", "MESSAGE_TOO_LARGE"],
  seeds: () => messages.map((message) => encode(message)),
  run: (input) => {
    const value = decode(input);
    if (!encodable(value)) return value;
    const bytes = encode(value);
    must(same(encode(decode(bytes)), bytes), "the deterministic encoding does not come back");
    return value;
  },
  // An empty array takes one byte on the wire and an object in memory.
  proportion: 96,
};

/** `undefined` in an array is taken but never sent. */
function encodable(value: unknown): boolean {
  if (value === undefined) return false;
  if (Array.isArray(value)) return value.every(encodable);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return true;
  must(Object.getPrototypeOf(value) === Object.prototype, "a map with another prototype");
  return Object.values(value).every((inner) => inner === undefined || encodable(inner));
}

const PACKET_MAX = 4096;

/** PUBLISH packets, with their Remaining Length. */
function packet(body: Uint8Array): Uint8Array {
  const digits: number[] = [];
  for (let rest = body.length; ; rest >>= 7) {
    digits.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.of(0x30, ...digits), body]);
}

const frameTarget: Target = {
  name: "mqtt-frames",
  // It has no errors: false ends the connection.
  codes: [],
  seeds: () => [
    Buffer.concat([packet(new Uint8Array(0)), packet(new Uint8Array(127)), packet(new Uint8Array(128))]),
    Buffer.concat([packet(new Uint8Array(PACKET_MAX)), packet(new Uint8Array(5))]),
  ],
  run: (input) => {
    const whole = new FrameGuard(PACKET_MAX).accept(input);
    const bytewise = new FrameGuard(PACKET_MAX);
    let parts = true;
    for (let at = 0; at < input.length && parts; at++) parts = bytewise.accept(input.subarray(at, at + 1));
    must(whole === parts, "how the bytes arrive changes the verdict");
    must(whole === framesFit(input), "a verdict other than that of a reader of whole packets");
    return whole;
  },
};

/** The same question asked of all bytes at once. */
function framesFit(input: Uint8Array): boolean {
  for (let at = 0; at < input.length; ) {
    let length = 0;
    let digits = 0;
    at += 1;
    for (;;) {
      if (at >= input.length) return true;
      if (digits === 4) return false;
      const byte = input[at++] ?? 0;
      length += (byte & 0x7f) * 128 ** digits++;
      if ((byte & 0x80) === 0) break;
    }
    if (length > PACKET_MAX) return false;
    at += length;
  }
  return true;
}

export const cborTargets: readonly Target[] = [strictTarget, messageTarget, frameTarget];
