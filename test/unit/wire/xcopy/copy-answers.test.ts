// What a copy manager answers (SPC-4 6.20 to 6.26, 6.31, 7.8.17) and the lists of the token commands (SBC-3), byte by
// byte, by the tables of the standards.
import test from "ava";
import fc from "fast-check";
import {
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
  decodeTokenInformation,
  encodeDataLid1,
  encodeDataLid4,
  encodeFailureDetails,
  encodeStatusLid1,
  encodeStatusLid4,
  encodeTokenInformation,
  type StatusLid4,
} from "../../../../src/wire/xcopy/copy-results.js";
import {
  decodeOperatingParameters,
  encodeOperatingParameters,
  type OperatingParameters,
} from "../../../../src/wire/xcopy/operating-parameters.js";
import { CopyRefusal } from "../../../../src/wire/xcopy/refusal.js";
import {
  decodeAllTokens,
  decodeRodToken,
  encodeAllTokens,
  encodeRodToken,
  type RodToken,
  tokenHeader,
  zeroToken,
} from "../../../../src/wire/xcopy/rod-token.js";
import {
  decodeThirdPartyPage,
  encodeThirdPartyPage,
  type ThirdPartyDescriptor,
} from "../../../../src/wire/xcopy/third-party-page.js";
import {
  decodePopulateToken,
  decodeWriteUsingToken,
  encodePopulateToken,
  encodeWriteUsingToken,
} from "../../../../src/wire/xcopy/token-lists.js";
import {
  dataLid4,
  disk,
  hex,
  operatingParameters,
  rodTokens,
  statusesLid1,
  statusesLid4,
  TOKEN_LIMITS,
  thirdPartyDescriptors,
  tokenInformation,
} from "../../../lib/xcopy.js";

const TRUNCATED = { code: "SCSI_DATA_TRUNCATED" } as const;
const INVALID = { code: "SCSI_DATA_INVALID" } as const;
const SENSE = "70 00 0a 00 00 00 00";
const STATUS: StatusLid4 = {
  ...{ action: 0x11, status: 0x60, operations: 0x0102, delayMs: 0x03040506, completion: 0x40 },
  ...{ units: 0xf1, count: 0x1112131415161718n, segments: 0x0a0b, sense: hex(SENSE) },
};
/** Everything behind AVAILABLE DATA up to the sense data, which is padded to eight bytes. */
const HEAD = "11 60 0102 03040506 40 08 07 f1 1112131415161718 0a0b 000000000000";

test("answers on copies have the bytes of SPC-4 6.20 to 6.26", (t) => {
  const one = { heldDiscarded: true, status: 2, segments: 0x0102, units: 3, count: 0x04050607 };
  const status1 = hex("00000008 82 0102 03 04050607");
  t.deepEqual(encodeStatusLid1(one), status1);
  t.deepEqual(decodeStatusLid1(status1), one);
  t.deepEqual(encodeDataLid1(hex("010203")), hex("00000003 010203"));
  t.deepEqual(decodeDataLid1(hex("00000003 010203 ff")), hex("010203"));

  const details = { status: 2, sense: hex(SENSE) };
  const failure = hex(`0000003f ${"00".repeat(52)} 02 00 0007 ${SENSE}`);
  t.deepEqual(encodeFailureDetails(details), failure);
  t.deepEqual(decodeFailureDetails(failure), details);
  t.deepEqual(encodeFailureDetails(undefined), hex("00000000"));
  t.is(decodeFailureDetails(hex("00000000")), undefined);

  const status4 = hex(`00000024 ${HEAD} ${SENSE} 00`);
  t.deepEqual(encodeStatusLid4(STATUS), status4);
  t.deepEqual(decodeStatusLid4(status4), STATUS);
  const data = { ...STATUS, heldDiscarded: true, held: hex("0102030405") };
  const data4 = hex(`0000002d ${HEAD.replace("60", "e0")} ${SENSE} 00 00000005 0102030405`);
  t.deepEqual(encodeDataLid4(data), data4);
  t.deepEqual(decodeDataLid4(data4), data);
  const token = zeroToken();
  const information = { ...STATUS, tokens: [{ cscdId: 0x0102, token }] };
  const tokens = hex(`0000022a ${HEAD} ${SENSE} 00 00000202 0102 ffff0001 0000 01f8 ${"00".repeat(504)}`);
  t.deepEqual(encodeTokenInformation(information), tokens);
  t.deepEqual(decodeTokenInformation(tokens), information);
});

test("answers that are cut off or contradict themselves are not believed", (t) => {
  const whole = [
    [decodeStatusLid1, hex("00000008 82 0102 03 04050607")],
    [decodeDataLid1, hex("00000003 010203")],
    [decodeFailureDetails, encodeFailureDetails({ status: 2, sense: hex(SENSE) })],
    [decodeStatusLid4, encodeStatusLid4(STATUS)],
    [decodeDataLid4, encodeDataLid4({ ...STATUS, heldDiscarded: false, held: hex("01") })],
    [decodeTokenInformation, encodeTokenInformation({ ...STATUS, tokens: [{ cscdId: 1, token: zeroToken() }] })],
  ] as const;
  for (const [decode, bytes] of whole) t.throws(() => decode(bytes.subarray(0, bytes.length - 1)), TRUNCATED);
  const sense = encodeStatusLid4(STATUS);
  sense[14] = 9;
  t.throws(() => decodeStatusLid4(sense), INVALID);
  t.throws(() => encodeStatusLid4({ ...STATUS, sense: new Uint8Array(253) }), { code: "SCSI_FIELD_RANGE" });
});

const PARAMETERS: OperatingParameters = {
  ...{ withoutListId: true, maxCscds: 64, maxSegments: 1024, maxListBytes: 0x7800, maxSegmentBytes: 0x01020304 },
  ...{ maxInlineBytes: 0x10000, heldBytes: 0x05060708, maxStreamTransferBytes: 0x090a0b0c, totalCopies: 0x0d0e },
  ...{ maxCopies: 15, segmentGranularity: 9, inlineGranularity: 1, heldGranularity: 2, descriptors: [0, 2, 0xe4] },
};

test("operating parameters have the bytes of SPC-4 table 244", (t) => {
  const bytes = hex(`0000002b 01 000000 0040 0400 00007800 01020304 00010000 05060708 090a0b0c 0000 0d0e 0f 09 01 02
    000000 03 00 02 e4`);
  t.deepEqual(encodeOperatingParameters(PARAMETERS), bytes);
  t.deepEqual(decodeOperatingParameters(bytes), PARAMETERS);
  t.throws(() => decodeOperatingParameters(bytes.subarray(0, 46)), TRUNCATED);
});

const TOKEN: RodToken = {
  ...{ type: 0x0080_0001, identifier: 0x0102030405060708n, byteCount: 0x1000n, creator: disk(hex("5001122334455667")) },
  deviceData: hex(`00000200 00 03 8000 ${"00".repeat(24)}`),
  target: { codeSet: 1, association: 2, type: 3, value: hex("5001122334455600") },
  extended: new Uint8Array(256).fill(0xa5),
};
const CREATOR = "e4 00 0000 01 03 00 08 5001122334455667 000000000000000000000000 00 000200";
const BODY = `00800001 0000 01f8 0102030405060708 ${CREATOR} 00000000000000000000000000001000 ${"00".repeat(32)}`;

test("ROD tokens have the bytes of SPC-4 5.17.6.5, and the list of them those of 6.31", (t) => {
  const bytes = hex(
    `${BODY} 00000200 00 03 8000 ${"00".repeat(24)} 01 23 00 08 5001122334455600 ${"00".repeat(116)} ${"a5".repeat(256)}`,
  );
  t.is(bytes.length, 512);
  t.deepEqual(encodeRodToken(TOKEN), bytes);
  t.deepEqual(decodeRodToken(bytes), TOKEN);
  const { deviceData: _, extended: __, target: ___, ...body } = TOKEN;
  t.deepEqual(encodeAllTokens([bytes]), hex(`00000064 00000000 ${BODY}`));
  t.deepEqual(decodeAllTokens(hex(`00000064 00000000 ${BODY}`)), [body]);
  t.deepEqual(decodeAllTokens(hex("00000004 00000000")), []);
  t.throws(() => decodeAllTokens(hex(`00000005 00000000 00`)), INVALID);
  const { byteCount: ____, ...unknown } = TOKEN;
  t.deepEqual(encodeRodToken(unknown).subarray(48, 64), new Uint8Array(16).fill(0xff));
  t.deepEqual(decodeRodToken(encodeRodToken(unknown)), unknown);
  t.deepEqual(tokenHeader(zeroToken()), { type: 0xffff_0001, length: 0x1f8 });
  t.throws(() => decodeRodToken(bytes.subarray(0, 511)), TRUNCATED);
});

test("POPULATE TOKEN lists have the bytes of SBC-3, and wrong ones are refused", (t) => {
  const bytes = hex(`002e 03 00 0000012c 00800001 0000 0020
    1112131415161718 00000008 00000000 0000000000000010 00000004 00000000`);
  const list = {
    ...{ immediate: true, inactivitySeconds: 300, type: 0x0080_0001 },
    ranges: [
      { lba: 0x1112131415161718n, blocks: 8 },
      { lba: 16n, blocks: 4 },
    ],
  };
  t.deepEqual(encodePopulateToken(list), bytes);
  t.deepEqual(decodePopulateToken(bytes, TOKEN_LIMITS), list);
  // A range that is cut off is ignored (SBC-3 5.14.2).
  t.deepEqual(decodePopulateToken(bytes.subarray(0, 47), TOKEN_LIMITS).ranges, list.ranges.slice(0, 1));
  const wrong: readonly (readonly [Readonly<Record<number, number>>, number, number, number?])[] = [
    [{ 1: 0x1d }, 0x26, 0x00, 0],
    [{ 15: 0x0f }, 0x26, 0x00, 14],
    [{ 4: 0x7f }, 0x26, 0x00, 4],
    // Not one that can be made, and one that is no point in time copy.
    [{ 11: 2 }, 0x26, 0x00, 8],
    [{ 9: 0x01, 11: 0 }, 0x26, 0x00, 8],
    [{ 24: 0x7f }, 0x26, 0x00, 16],
    // The second range begins in the first.
    [{ 32: 0x11, 33: 0x12, 34: 0x13, 35: 0x14, 36: 0x15, 37: 0x16, 38: 0x17, 39: 0x1f }, 0x26, 0x00, 32],
  ];
  for (const [changes, asc, ascq, byte] of wrong) {
    const changed = Uint8Array.from(bytes);
    for (const [at, value] of Object.entries(changes)) changed[Number(at)] = value;
    const error = t.throws(() => decodePopulateToken(changed, TOKEN_LIMITS), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc, ascq });
    t.is(error?.fault.pointer?.byte, byte);
  }
  const refusal = (input: Uint8Array, maxRanges = 8) =>
    t.throws(() => decodePopulateToken(input, { ...TOKEN_LIMITS, maxRanges }), { instanceOf: CopyRefusal })?.fault;
  t.like(refusal(bytes, 1), { asc: 0x26, ascq: 0x08 });
  t.like(refusal(bytes.subarray(0, 15)), { asc: 0x1a, ascq: 0x00 });
  t.like(refusal(bytes.subarray(0, 31)), { asc: 0x1a, ascq: 0x00 });
});

test("WRITE USING TOKEN lists have the bytes of SBC-3, and wrong ones are refused", (t) => {
  const token = encodeRodToken(TOKEN);
  const bytes = Uint8Array.from([
    ...hex("0226 02 0000000000 1112131415161718"),
    ...token,
    ...hex("000000000000 0010 0000000000000010 00000004 00000000"),
  ]);
  const list = {
    ...{ deleteToken: true, immediate: false, offset: 0x1112131415161718n },
    token,
    ranges: [{ lba: 16n, blocks: 4 }],
  };
  t.deepEqual(encodeWriteUsingToken(list), bytes);
  t.deepEqual(decodeWriteUsingToken(bytes, TOKEN_LIMITS), list);
  const wrong: readonly (readonly [number, number, number, number, number?])[] = [
    [1, 0x25, 0x26, 0x00, 0],
    [1, 0x27, 0x26, 0x00, 0],
    [16 + 7, 0xf0, 0x23, 0x0a, 16 + 6],
  ];
  for (const [at, value, asc, ascq, byte] of wrong) {
    const changed = Uint8Array.from(bytes);
    changed[at] = value;
    const error = t.throws(() => decodeWriteUsingToken(changed, TOKEN_LIMITS), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc, ascq });
    t.is(error?.fault.pointer?.byte, byte);
  }
  const short = t.throws(() => decodeWriteUsingToken(bytes.subarray(0, 535), TOKEN_LIMITS), {
    instanceOf: CopyRefusal,
  });
  t.like(short?.fault, { asc: 0x1a, ascq: 0x00 });
});

const PAGE: readonly (readonly [string, ThirdPartyDescriptor])[] = [
  [
    "0000 0020 000000000000 0102 03040506 0708090a 1112131415161718 2122232425262728",
    {
      ...{ kind: "block-rod-limits", maxRanges: 0x0102, maxInactivitySeconds: 0x03040506 },
      ...{ defaultInactivitySeconds: 0x0708090a, maxBlocks: 0x1112131415161718n, optimalBlocks: 0x2122232425262728n },
    },
  ],
  [
    "0001 000c 08 83 03 00 01 1c 84 01 03 000000",
    {
      kind: "commands",
      commands: [
        { opcode: 0x83, actions: [0, 1, 0x1c] },
        { opcode: 0x84, actions: [3] },
      ],
    },
  ],
  [
    "0004 001c 00000000 0102 0304 05060708 090a0b0c 000000000000000000000000",
    {
      kind: "parameter-data",
      maxCscds: 0x0102,
      maxSegments: 0x0304,
      maxListBytes: 0x05060708,
      maxInlineBytes: 0x090a0b0c,
    },
  ],
  ["0008 0004 03 00 02 e4", { kind: "descriptors", codes: [0, 2, 0xe4] }],
  ["000c 0008 0004 f800 ffff 0000", { kind: "cscd-ids", ids: [0xf800, 0xffff] }],
  [
    `0106 005c 04 0000000000000000000000 01020304 05060708 090a0b0c ${"00".repeat(18)} 0030
     00 00 002c 0000 0102 1112131415161718 2122232425262728 3132333435363738 4142434445464748 0000000000000000`,
    {
      ...{ kind: "rod-features", remoteTokens: 4, minLifetimeSeconds: 0x01020304, maxLifetimeSeconds: 0x05060708 },
      maxInactivitySeconds: 0x090a0b0c,
      features: [
        {
          ...{ deviceType: 0, granularityBlocks: 0x0102, maxBytes: 0x1112131415161718n },
          ...{ optimalBytes: 0x2122232425262728n, optimalToToken: 0x3132333435363738n },
          optimalFromToken: 0x4142434445464748n,
        },
      ],
    },
  ],
  [
    `0108 0044 0000 0040 00800001 82 00 1234 ${"00".repeat(56)}`,
    {
      kind: "rod-types",
      types: [{ type: 0x0080_0001, internal: true, tokenIn: true, tokenOut: false, preference: 0x1234 }],
    },
  ],
  [
    "8001 0020 01020304 05060708 090a0b0c 0d 0e 000000000000000000000000000000000000",
    {
      ...{
        kind: "general-copy",
        totalCopies: 0x01020304,
        maxIdentifiedCopies: 0x05060708,
        maxSegmentBytes: 0x090a0b0c,
      },
      ...{ segmentGranularity: 13, inlineGranularity: 14 },
    },
  ],
  ["9101 000c 01020304 0000000000000000", { kind: "stream-copy", maxTransferBytes: 0x01020304 }],
  [`c001 001c 01020304 05 ${"00".repeat(23)}`, { kind: "held-data", heldBytes: 0x01020304, heldGranularity: 5 }],
  ["e000 0004 01020304", { kind: "other", type: 0xe000, bytes: hex("01020304") }],
];

test("VPD page 8Fh has the bytes of SPC-4 7.8.17 and SBC-3 6.6.9, descriptor by descriptor", (t) => {
  for (const [text, descriptor] of PAGE) {
    const bytes = hex(text);
    const page = Uint8Array.from([1, 0x8f, 0, bytes.length, ...bytes]);
    t.deepEqual(encodeThirdPartyPage(1, [descriptor]), page, descriptor.kind);
    t.deepEqual(decodeThirdPartyPage(page), [descriptor]);
  }
  const all = PAGE.map(([, descriptor]) => descriptor);
  const whole = encodeThirdPartyPage(0, all);
  t.deepEqual(decodeThirdPartyPage(whole), all);
  t.throws(() => decodeThirdPartyPage(whole.subarray(0, whole.length - 1)), TRUNCATED);
  t.throws(() => decodeThirdPartyPage(hex("00 83 0000")), INVALID);
});

test("every answer comes back from its bytes", (t) => {
  const same = <T>(
    values: fc.Arbitrary<T>,
    encode: (value: T) => Uint8Array,
    decode: (bytes: Uint8Array) => T,
  ): void => {
    fc.assert(
      fc.property(values, (value) => {
        t.deepEqual(decode(encode(value)), value);
      }),
      { numRuns: 200 },
    );
  };
  same(statusesLid1, encodeStatusLid1, decodeStatusLid1);
  same(statusesLid4, encodeStatusLid4, decodeStatusLid4);
  same(dataLid4, encodeDataLid4, decodeDataLid4);
  same(tokenInformation, encodeTokenInformation, decodeTokenInformation);
  same(operatingParameters, encodeOperatingParameters, decodeOperatingParameters);
  same(rodTokens, encodeRodToken, decodeRodToken);
  same(
    fc.array(thirdPartyDescriptors, { maxLength: 8 }),
    (list) => encodeThirdPartyPage(0, list),
    decodeThirdPartyPage,
  );
});
