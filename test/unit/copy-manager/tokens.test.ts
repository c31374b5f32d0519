// ROD tokens (SPC-4 5.17.6, SBC-3 4.28): from the blocks that one is made of to each of its deaths.
import test from "ava";
import { TOKEN_LIMITS } from "../../../src/copy-manager/limits.js";
import { TokenUse } from "../../../src/copy-manager/token-use.js";
import { TOKENS_MAX, type TokenRequest, Tokens } from "../../../src/copy-manager/tokens.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import { decodeAllTokens, decodeRodToken, ROD_TYPE, zeroToken } from "../../../src/wire/xcopy/rod-token.js";
import { disk, hex } from "../../lib/xcopy.js";

const CODES = { type: 1, unknown: 4, corrupt: 5, revoked: 6, expired: 7, cancelled: 8, deleted: 9 } as const;
const DAY_MS = TOKEN_LIMITS.lifetimeSeconds * 1000;
const REQUEST: TokenRequest = {
  ...{ maker: "a", device: "d0", blockBytes: 512, inactivitySeconds: 0 },
  ranges: [
    { lba: 100n, blocks: 8 },
    { lba: 0n, blocks: 4 },
  ],
  creator: disk().designator,
  target: { codeSet: 3, association: 2, type: 8, value: Buffer.from("iqn.2026-01.test:bridge\0") },
  deviceData: hex("00000200 00000000 00000000"),
};

function plant() {
  const clock = new ManualClock();
  let drawn = 0;
  // All different, and never short of new ones.
  const random = (bytes: number) => {
    const data = new Uint8Array(bytes);
    new DataView(data.buffer).setUint32(bytes - 4, ++drawn);
    return data;
  };
  const tokens = new Tokens({ clock, random });
  const make = (more: Partial<TokenRequest> = {}) => tokens.make({ ...REQUEST, ...more });
  const use = (token: Uint8Array): TokenUse => {
    const used = tokens.use(token);
    if (!(used instanceof TokenUse)) throw new Error("zeros");
    return used;
  };
  /** Why it cannot be used; undefined: it can. */
  const death = (token: Uint8Array): string | undefined => {
    try {
      tokens.use(token).release();
      return undefined;
    } catch (error) {
      if (!(error instanceof CopyRefusal)) throw error;
      const { key, asc, ascq, pointer } = error.fault;
      if (key !== 5 || asc !== 0x23 || pointer?.byte !== 16) throw error;
      return Object.entries(CODES).find(([, code]) => code === ascq)?.[0];
    }
  };
  return { clock, tokens, make, use, death };
}

test("a token names its disk and target, what it stands for, and has 40 bytes that nobody can guess", (t) => {
  const { make } = plant();
  const token = make();
  t.is(token.length, 512);
  t.deepEqual(decodeRodToken(token), {
    type: ROD_TYPE.POINT_IN_TIME_VULNERABLE,
    identifier: 1n,
    creator: disk(),
    byteCount: 12n * 512n,
    target: { ...REQUEST.target, value: new Uint8Array(REQUEST.target.value) },
    deviceData: hex(`00000200 ${"00".repeat(28)}`),
    extended: hex(`${"00".repeat(31)} 02 ${"00".repeat(224)}`),
  });
  t.notDeepEqual(make(), token);
});

test("a token resolves to its blocks from any offset, no further than it reaches, in whole blocks of the destination", (t) => {
  const { make, use } = plant();
  const used = use(make());
  t.like(used.facts, { maker: "a", device: "d0", blockBytes: 512, bytes: 6144n });
  const extent = (lba: bigint, bytes: bigint, skip = 0) => ({ op: "extent", device: "d0", lba, skip, bytes });
  t.deepEqual(used.resolve(0n, 6144n, 512), { parts: [extent(100n, 4096n), extent(0n, 2048n)], bytes: 6144n });
  t.deepEqual(used.resolve(3584n, 1024n, 512), { parts: [extent(107n, 512n), extent(0n, 512n)], bytes: 1024n });
  t.deepEqual(used.resolve(4096n, 8192n, 4096), { parts: [], bytes: 0n });
  t.deepEqual(used.resolve(0n, 8192n, 4096), { parts: [extent(100n, 4096n)], bytes: 4096n });
  t.deepEqual(used.resolve(256n, 512n, 256), { parts: [extent(100n, 512n, 256)], bytes: 512n });
  t.deepEqual(used.resolve(6144n, 0n, 512), { parts: [], bytes: 0n });
  for (const [offset, bytes] of [
    [6144n, 512n],
    [6145n, 0n],
    [1n << 70n, 512n],
  ] as const)
    t.like(
      t.throws(() => used.resolve(offset, bytes, 512)),
      { fault: { asc: 0x26, ascq: 0, pointer: { byte: 8 } } },
    );
});

test("the zero token is zeros without end and of no device", (t) => {
  const { tokens } = plant();
  const used = tokens.use(zeroToken());
  t.is(used.facts, undefined);
  t.deepEqual(used.resolve(1n << 60n, 1n << 40n, 512), {
    parts: [{ op: "zeros", bytes: 1n << 40n }],
    bytes: 1n << 40n,
  });
  t.deepEqual(used.resolve(0n, 0n, 512), { parts: [], bytes: 0n });
  used.release(true);
  t.is(used.refusal, undefined);
  t.notThrows(() => tokens.use(zeroToken()));
});

test("a token of others is unknown, of another type unsupported, and a changed one corrupt in whatever byte", (t) => {
  const { make, death } = plant();
  const token = make();
  t.is(death(plant().make({ blockBytes: 4096 })), "corrupt");
  const changed = (byte: number) => token.map((value, at) => (at === byte ? value ^ 0x80 : value));
  t.is(death(changed(0)), "type");
  t.is(death(changed(8)), "unknown");
  for (const byte of [4, 7, 16, 48, 96, 128, 255, 256, 287, 511]) t.is(death(changed(byte)), "corrupt", `${byte}`);
  t.is(death(new Uint8Array(512)), "type");
  t.is(death(token), undefined);
});

test("what the caller does with the bytes of a token does not change it", (t) => {
  const { make, death } = plant();
  const token = make();
  const kept = token.slice();
  token.fill(0);
  t.is(death(kept), undefined);
});

test("a write to any block of it cancels a token, whoever writes; other blocks and devices do not", (t) => {
  const { tokens, make, death } = plant();
  const [token, other] = [make(), make({ device: "d1" })];
  t.is(
    tokens.wrote("d0", [
      { lba: 4n, blocks: 96n },
      { lba: 108n, blocks: 1n },
    ]),
    0,
  );
  t.is(death(token), undefined);
  t.is(
    tokens.wrote("d0", [
      { lba: 200n, blocks: 1n },
      { lba: 107n, blocks: 1n },
    ]),
    1,
  );
  t.is(death(token), "cancelled");
  t.is(death(other), undefined);
  t.is(tokens.cancelAll("d1"), 1);
  t.is(death(other), "cancelled");
});

test("what cancels or revokes a token while it is used is found out at the end of the use", (t) => {
  const { tokens, make, use, death } = plant();
  const [written, taken, whole] = [make(), make({ maker: "b", device: "d1" }), make({ device: "d2" })];
  const uses = [use(written), use(taken), use(whole)];
  tokens.wrote("d0", [{ lba: 0n, blocks: 1n }]);
  t.is(
    tokens.revoke(({ maker, device }) => maker === "b" && device === "d1"),
    1,
  );
  t.deepEqual(
    uses.map((one) => one.refusal?.fault.ascq),
    [CODES.cancelled, CODES.revoked, undefined],
  );
  // What comes after that does not change the reason.
  tokens.cancelAll("d1");
  for (const one of uses) one.release();
  t.deepEqual([written, taken, whole].map(death), ["cancelled", "revoked", undefined]);
});

test("a token expires when nobody used it for its timeout, 60 s where none was asked for", (t) => {
  const { clock, make, death } = plant();
  const [usual, long] = [make(), make({ inactivitySeconds: 3600 })];
  clock.advance(59_999);
  t.is(death(usual), undefined);
  clock.advance(59_999);
  t.is(death(usual), undefined);
  clock.advance(60_000);
  t.is(death(usual), "expired");
  t.is(death(long), undefined);
  clock.advance(3_600_000);
  t.is(death(long), "expired");
});

test("a token does not expire while it is used, and its timeout begins anew at the end of the last use", (t) => {
  const { clock, tokens, make, use, death } = plant();
  const token = make();
  const [first, second] = [use(token), use(token)];
  clock.advance(100_000);
  t.is(tokens.size, 1);
  first.release();
  clock.advance(100_000);
  t.is(second.refusal, undefined);
  second.release();
  clock.advance(59_999);
  second.release();
  clock.advance(1);
  t.is(death(token), "expired");
});

test("a token lives a day at most, however much it is used", (t) => {
  const { clock, make, death } = plant();
  const token = make({ inactivitySeconds: 3600 });
  for (let ms = 3_000_000; ms < DAY_MS; ms += 3_000_000) {
    clock.advance(3_000_000);
    t.is(death(token), undefined);
  }
  clock.advance(3_000_000);
  t.is(death(token), "expired");
});

test("DEL_TKN deletes a token at the end of the use; others that are under way keep it, new ones do not get it", (t) => {
  const { make, use, death } = plant();
  const token = make();
  const [first, second] = [use(token), use(token)];
  first.release(true);
  t.is(death(token), "deleted");
  t.is(second.refusal, undefined);
  t.is(second.resolve(0n, 512n, 512).bytes, 512n);
  second.release();
  t.is(death(token), "deleted");
});

test("there is room for so many tokens, of one maker for fewer, and a dead one makes room", (t) => {
  const { clock, tokens, make } = plant();
  const refusal = (more: Partial<TokenRequest> = {}) =>
    (t.throws(() => make(more), { instanceOf: CopyRefusal }) as CopyRefusal).fault;
  for (let made = 0; made < TOKENS_MAX.ofMaker; made++) make();
  t.like(refusal(), { key: 5, asc: 0x55, ascq: 0x0d });
  for (let made = TOKENS_MAX.ofMaker; made < TOKENS_MAX.all; made++)
    make({ maker: `m${made % 5}`, device: "d1", inactivitySeconds: 3600 });
  t.like(refusal({ maker: "z" }), { asc: 0x55, ascq: 0x0d });
  t.is(tokens.size, TOKENS_MAX.all);
  clock.advance(60_000);
  t.is(tokens.size, TOKENS_MAX.all - TOKENS_MAX.ofMaker);
  t.notThrows(() => make());
});

test("all tokens together have so many ranges", (t) => {
  const { make } = plant();
  const ranges = Array.from({ length: TOKEN_LIMITS.ranges }, (_, index) => ({ lba: BigInt(2 * index), blocks: 1 }));
  for (let made = 0; made < TOKENS_MAX.ranges / TOKEN_LIMITS.ranges; made++) make({ ranges });
  t.like(
    t.throws(() => make()),
    { fault: { asc: 0x55, ascq: 0x0c } },
  );
  t.notThrows(() => make({ ranges: [{ lba: 0n, blocks: 0 }] }));
});

test("of the dead so many are remembered, then they are unknown", (t) => {
  const { tokens, make, death } = plant();
  const first = make();
  tokens.cancelAll("d0");
  const second = make();
  for (let made = 1; made < TOKENS_MAX.dead; made++) {
    make({ device: "d1" });
    tokens.cancelAll("d1");
  }
  t.is(death(first), "cancelled");
  tokens.cancelAll("d0");
  t.is(death(second), "cancelled");
  t.is(death(first), "unknown");
});

test("an identifier that is taken is drawn again", (t) => {
  const draws = [1, 9, 1, 1, 2, 9, 2, 1, 3, 9].map((value) => (bytes: number) => new Uint8Array(bytes).fill(value));
  const tokens = new Tokens({ clock: new ManualClock(), random: (bytes) => draws.shift()?.(bytes) ?? hex("") });
  const made = [tokens.make(REQUEST), tokens.make(REQUEST)];
  tokens.cancelAll(REQUEST.device);
  made.push(tokens.make(REQUEST));
  t.deepEqual(
    made.map((token) => token[8]),
    [1, 2, 3],
  );
});

test("REPORT ALL ROD TOKENS tells of those that live and may be seen, and nothing that is secret", (t) => {
  const { tokens, make } = plant();
  for (const device of ["d0", "d1", "d2"]) make({ device });
  tokens.cancelAll("d2");
  t.deepEqual(
    decodeAllTokens(tokens.report(() => true)).map(({ identifier }) => identifier),
    [1n, 3n],
  );
  const shown = tokens.report(({ device }) => device === "d1");
  t.deepEqual(decodeAllTokens(shown), [
    { type: ROD_TYPE.POINT_IN_TIME_VULNERABLE, identifier: 3n, creator: disk(), byteCount: 6144n },
  ]);
  t.is(shown.length, 8 + 96);
});
