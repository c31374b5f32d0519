// Keys presented in-band: the same ring, and one question more.
import test from "ava";
import { InbandKeys } from "../../../src/admit/inband.js";
import type { Punt } from "../../../src/plane.js";
import {
  decodePresentedKey,
  decodePresentedStatus,
  encodePresentedKey,
  encodeProtocols,
  PRESENT_KEY,
  PROTOCOL,
  securityProtocolIn,
  securityProtocolOut,
} from "../../../src/wire/security-protocol.js";
import { HOUR_MS, request, type Scene, START_MS, scene } from "./helpers.js";

const NAME = "iqn.2024-01.org.example:host";
const holder = { kind: "initiator", name: NAME } as const;

interface Answer {
  readonly status: number;
  readonly sense?: Uint8Array | undefined;
  readonly data?: Uint8Array | undefined;
}

function desk(from: Scene) {
  const answers = new Map<bigint, Answer>();
  const refused: string[] = [];
  const order: string[] = [];
  let id = 0n;
  const keys = new InbandKeys({
    plane: {
      answer: (punt, status, sense, data) => {
        order.push("answered");
        answers.set(punt, { status, sense, data });
      },
    },
    ring: from.ring,
    onRefused: (_nexus, _lun, code) => refused.push(code),
    onSettled: () => order.push("settled"),
  });
  const send = async (cdb: Uint8Array, data: Uint8Array = new Uint8Array(), initiator = NAME, nexus = 1) => {
    id += 1n;
    const punt: Punt = { id, nexus, lun: 0, unit: 0, cdb, data, room: 4096 };
    const mine = id;
    await keys.onPunt(punt, initiator);
    return answers.get(mine);
  };
  const present = (token: Uint8Array, initiator = NAME, nexus = 1) => {
    const list = encodePresentedKey(token);
    return send(securityProtocolOut(PROTOCOL.GANTRY, PRESENT_KEY, list.length), list, initiator, nexus);
  };
  const status = async (nexus = 1) => {
    const answer = await send(securityProtocolIn(PROTOCOL.GANTRY, PRESENT_KEY, 4096), undefined, NAME, nexus);
    return decodePresentedStatus(answer?.data ?? new Uint8Array());
  };
  return { keys, send, present, status, refused, order };
}

const senseOf = (answer: Answer | undefined) => [answer?.sense?.[2], answer?.sense?.[12], answer?.sense?.[13]];

test("an initiator's own key is installed, the path may change after the answer, and the status says so", async (t) => {
  const from = scene();
  const { present, status, order } = desk(from);
  t.is((await status()).code, "NONE");
  order.length = 0;
  const { token } = from.broker.issue(request({ holder }), START_MS);
  t.is((await present(token))?.status, 0);
  t.deepEqual(order, ["answered", "settled"]);
  t.is(from.ring.keys().length, 1);
  t.is((await status()).code, "INSTALLED");
  t.is((await status(2)).code, "NONE", "of another session");
  t.is((await present(token))?.status, 0, "the same again");
  t.is(from.ring.keys().length, 1);
});

test("a key for somebody else, for a job or for the mover is refused and not installed", async (t) => {
  const from = scene();
  const { present, refused, status } = desk(from);
  for (const other of [{ kind: "initiator", name: `${NAME}2` }, { kind: "job", id: "j" }, { kind: "mover" }] as const) {
    const answer = await present(from.broker.issue(request({ holder: other }), START_MS).token);
    t.is(answer?.status, 2);
    t.deepEqual(senseOf(answer), [5, 0x74, 0x40]);
  }
  t.deepEqual(refused, ["KEY_HOLDER_WRONG", "KEY_HOLDER_WRONG", "KEY_HOLDER_WRONG"]);
  t.is((await status()).code, "KEY_HOLDER_WRONG");
  t.is(from.ring.keys().length, 0);
});

test("each reason has its sense", async (t) => {
  const from = scene();
  const { present, send } = desk(from);
  const { broker, clock } = from;
  const good = broker.issue(request({ holder }), START_MS);
  const flipped = Uint8Array.from(good.token, (byte, index) => (index === good.token.length - 1 ? byte ^ 1 : byte));
  t.deepEqual(senseOf(await present(flipped)), [5, 0x74, 0x08], "the signature");
  t.deepEqual(senseOf(await present(Uint8Array.of(1, 2, 3))), [5, 0x26, 0x00], "no key");
  const away = broker.issue(request({ holder, audience: ["bridge-8"] }), START_MS);
  t.deepEqual(senseOf(await present(away.token)), [5, 0x74, 0x40], "for another bridge");
  await from.ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [good.content.id] }, START_MS).token);
  t.deepEqual(senseOf(await present(good.token)), [5, 0x74, 0x40], "revoked");
  const old = broker.issue(request({ holder, expiresMs: START_MS + HOUR_MS }), START_MS);
  clock.advance(2 * HOUR_MS);
  t.deepEqual(senseOf(await present(old.token)), [5, 0x74, 0x40], "expired");
  const cut = securityProtocolOut(PROTOCOL.GANTRY, PRESENT_KEY, 3);
  t.deepEqual(senseOf(await send(cut, new Uint8Array(3))), [5, 0x26, 0x00], "a list cut short");
  const other = securityProtocolOut(PROTOCOL.GANTRY, 2, 0);
  t.deepEqual(senseOf(await send(other)), [5, 0x24, 0x00], "another SECURITY PROTOCOL SPECIFIC");
  t.is((await send(securityProtocolOut(PROTOCOL.GANTRY, PRESENT_KEY, 0)))?.status, 0, "no data is no error");
});

test("one at a time for each session; others are BUSY and not looked at", async (t) => {
  const from = scene();
  const { present, keys } = desk(from);
  const [first, second] = [1, 2].map(() => from.broker.issue(request({ holder }), START_MS).token);
  const running = present(first ?? new Uint8Array());
  t.true(keys.isBusy(1));
  t.is((await present(second ?? new Uint8Array()))?.status, 8);
  t.is((await running)?.status, 0);
  t.false(keys.isBusy(1));
  t.is(from.ring.keys().length, 1);
});

test("security protocol information lists ours (SPC-4 7.7.1), and no other protocol is taken", async (t) => {
  const { send, keys } = desk(scene());
  t.deepEqual((await send(securityProtocolIn(0, 0, 512)))?.data, encodeProtocols([0x00, 0xf0]));
  t.deepEqual([...encodeProtocols([0x00, 0xf0])], [0, 0, 0, 0, 0, 0, 0, 2, 0x00, 0xf0]);
  t.false(keys.takes(securityProtocolIn(0x20, 0, 512)));
  t.false(keys.takes(securityProtocolOut(0x00, 0, 0)));
  t.false(keys.takes(new Uint8Array(6)));
});

test("a list whose length lies, or that has something behind the key, is refused", (t) => {
  const list = encodePresentedKey(Uint8Array.of(9, 9));
  t.deepEqual([...decodePresentedKey(Uint8Array.from([...list, 0, 0]))], [9, 9]);
  for (const wrong of [
    Uint8Array.from([...list, 1]),
    list.subarray(0, 5),
    Uint8Array.of(0, 0, 0, 0),
    Uint8Array.of(255, 255, 255, 255, 1),
  ])
    t.throws(() => decodePresentedKey(wrong), { code: "KEY_MALFORMED" });
});
