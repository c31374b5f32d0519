// REGISTER with SPEC_I_PT and ALL_TG_PT, REGISTER AND MOVE, READ FULL STATUS (SPC-4 5.13.7, 5.13.8, 6.15.5), by three
// initiators through two target ports.
import test from "ava";
import { type Device, type Host, nameOf, startRig } from "./rig.js";
import {
  EXCLUSIVE_ACCESS,
  EXCLUSIVE_ACCESS_ALL,
  EXCLUSIVE_ACCESS_REGISTRANTS,
  PREEMPT,
  prIn,
  prOut,
  READ_FULL_STATUS,
  READ_KEYS,
  READ_RESERVATION,
  REGISTER,
  REGISTER_AND_IGNORE,
  REGISTER_AND_MOVE,
  RELEASE,
  RESERVE,
  transportId,
  WRITE_EXCLUSIVE,
  write10,
  writeVariable,
} from "./words.js";

const WRITE: Readonly<Record<Device, Uint8Array>> = { disk0: write10(0, 1), tape0: writeVariable(512) };
const BLOCK = new Uint8Array(512);

interface Registered {
  readonly key: number;
  readonly holds: number | undefined;
  readonly port: number;
  readonly id: string;
}

/** SPC-4 6.15.5, read by hand. */
async function fullStatus(host: Host): Promise<readonly Registered[]> {
  const { words, data } = await host.send(prIn(READ_FULL_STATUS), { in: 8192 });
  if (words !== "good") throw new Error(words);
  const end = 8 + data.readUInt32BE(4);
  const found: Registered[] = [];
  for (let at = 8; at < end; ) {
    const length = data.readUInt32BE(at + 20);
    const flags = data.readUInt8(at + 12);
    const id = data.subarray(at + 24, at + 24 + length);
    found.push({
      key: Number(data.readBigUInt64BE(at)),
      holds: (flags & 1) === 0 ? undefined : data.readUInt8(at + 13) & 15,
      port: data.readUInt16BE(at + 18),
      id: id.subarray(4).toString("latin1").replace(/\0+$/, ""),
    });
    at += 24 + length;
  }
  return found.sort((x, y) => x.key - y.key || x.port - y.port || (x.id < y.id ? -1 : 1));
}

async function keys(host: Host): Promise<readonly number[]> {
  const { data } = await host.send(prIn(READ_KEYS), { in: 512 });
  return Array.from({ length: data.readUInt32BE(4) / 8 }, (_, at) => Number(data.readBigUInt64BE(8 + 8 * at))).sort();
}

for (const device of ["disk0", "tape0"] as const) {
  test(`${device}: READ FULL STATUS names three registrants by TransportID, and who holds`, async (t) => {
    const rig = await startRig(t);
    const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device, 1)];
    const id = (name: string, target: 0 | 1 = 0): string => `${nameOf(name)},i,0x${rig.isidOf(name, target)}`;
    for (const [host, key] of [
      [a, 1],
      [b, 2],
      [c, 3],
    ] as const)
      t.is(await host.put(prOut(REGISTER, { actionKey: key })), "good");
    t.is(await b.put(prOut(RESERVE, { key: 2, type: EXCLUSIVE_ACCESS_REGISTRANTS })), "good");
    const expected = [
      { key: 1, holds: undefined, port: 1, id: id("a") },
      { key: 2, holds: EXCLUSIVE_ACCESS_REGISTRANTS, port: 1, id: id("b") },
      { key: 3, holds: undefined, port: 2, id: id("c", 1) },
    ];
    for (const host of [a, b, c]) t.deepEqual(await fullStatus(host), expected);
    t.is(await b.put(prOut(RELEASE, { key: 2, type: EXCLUSIVE_ACCESS_REGISTRANTS })), "good");
    t.is(await b.put(prOut(RESERVE, { key: 2, type: EXCLUSIVE_ACCESS_ALL })), "good");
    await a.attentions();
    await c.attentions();
    t.deepEqual(
      (await fullStatus(c)).map(({ holds }) => holds),
      [EXCLUSIVE_ACCESS_ALL, EXCLUSIVE_ACCESS_ALL, EXCLUSIVE_ACCESS_ALL],
      "of All Registrants everybody holds",
    );
    t.is((await a.send(prIn(READ_FULL_STATUS, 8), { in: 8 })).data.readUInt32BE(4) > 8, true, "the length is not cut");
  });

  test(`${device}: SPEC_I_PT registers others along: a port that is known, a name with all its ports, one that is not`, async (t) => {
    const rig = await startRig(t);
    const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device)];
    const bPort = transportId(nameOf("b"), rig.isidOf("b"));
    t.is(await a.put(prOut(REGISTER, { actionKey: 7, ids: [bPort, transportId(nameOf("c"))] })), "good");
    t.deepEqual(await keys(c), [7, 7, 7]);
    t.is(await b.put(prOut(RESERVE, { key: 7, type: WRITE_EXCLUSIVE })), "good", "b is registered");
    t.is(await c.says(WRITE[device], { out: BLOCK }), "conflict");
    t.is(await b.says(WRITE[device], { out: BLOCK }), "good");
    t.is(
      await a.put(prOut(REGISTER, { key: 7, actionKey: 8, ids: [bPort] })),
      "5/26/00",
      "only an unregistered nexus may",
    );
    t.is(await a.put(prOut(REGISTER_AND_IGNORE, { key: 7, actionKey: 8, ids: [bPort] })), "5/26/00");
    const d = await rig.host("d", device);
    t.is(await d.put(prOut(REGISTER, { actionKey: 9, ids: [transportId(nameOf("nobody"))] })), "5/26/00");
    const later = transportId(nameOf("later"), "00023d000009");
    t.is(await d.put(prOut(REGISTER, { actionKey: 9, ids: [later] })), "good", "a port may come later");
    t.deepEqual(await keys(c), [7, 7, 7, 9, 9]);
    t.is(await d.put(prOut(REGISTER, { key: 9, actionKey: 0 })), "good");
    t.deepEqual(await keys(c), [7, 7, 7, 9], "only its own");
  });

  test(`${device}: ALL_TG_PT registers the initiator through both target ports`, async (t) => {
    const rig = await startRig(t);
    const [one, two] = [await rig.host("a", device, 0), await rig.host("a", device, 1)];
    const b = await rig.host("b", device);
    t.is(await one.put(prOut(REGISTER, { actionKey: 5, allPorts: true })), "good");
    t.deepEqual(
      (await fullStatus(b)).map(({ key, port }) => [key, port]),
      [
        [5, 1],
        [5, 2],
      ],
    );
    t.is(await one.put(prOut(RESERVE, { key: 5, type: EXCLUSIVE_ACCESS_REGISTRANTS })), "good");
    t.is(await b.says(WRITE[device], { out: BLOCK }), "conflict");
    // The other session has an ISID of its own: it is another initiator port.
    t.is(await two.says(WRITE[device], { out: BLOCK }), "conflict");
    t.is(await one.says(WRITE[device], { out: BLOCK }), "good");
    t.is(await one.put(prOut(REGISTER, { key: 5, actionKey: 0, allPorts: true })), "good");
    t.deepEqual(await fullStatus(b), []);
  });

  test(`${device}: REGISTER AND MOVE gives registration and reservation to another port, at once`, async (t) => {
    const rig = await startRig(t);
    const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device)];
    const to = transportId(nameOf("b"), rig.isidOf("b"));
    const move = { key: 1, actionKey: 2, ids: [to], port: 1 };
    t.is(await a.put(prOut(REGISTER_AND_MOVE, move)), "conflict", "not registered");
    t.is(await a.put(prOut(REGISTER, { actionKey: 1 })), "good");
    t.is(await a.put(prOut(REGISTER_AND_MOVE, move)), "5/24/00", "no reservation (SPC-4 5.13.8)");
    t.is(await c.put(prOut(REGISTER, { actionKey: 3 })), "good");
    t.is(await a.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS })), "good");
    t.is(await c.put(prOut(REGISTER_AND_MOVE, { ...move, key: 3 })), "conflict", "not the holder");
    t.is(await a.put(prOut(REGISTER_AND_MOVE, { ...move, actionKey: 0 })), "5/26/00");
    t.is(
      await a.put(prOut(REGISTER_AND_MOVE, { ...move, ids: [transportId(nameOf("a"), rig.isidOf("a"))] })),
      "5/26/00",
    );
    t.is(await a.put(prOut(REGISTER_AND_MOVE, { ...move, key: 9 })), "conflict", "not its key");
    t.is(await a.put(prOut(REGISTER_AND_MOVE, { ...move, unregister: true })), "good");
    t.is(await a.says(WRITE[device], { out: BLOCK }), "conflict");
    t.is(await b.says(WRITE[device], { out: BLOCK }), "good");
    t.deepEqual(
      (await fullStatus(c)).map(({ key, holds }) => [key, holds]),
      [
        [2, EXCLUSIVE_ACCESS],
        [3, undefined],
      ],
    );
    t.is(await b.put(prOut(RESERVE, { key: 2, type: EXCLUSIVE_ACCESS_ALL })), "conflict", "another type than it is");
    t.is(await c.put(prOut(PREEMPT, { key: 3, actionKey: 2, type: EXCLUSIVE_ACCESS_ALL })), "good");
    t.deepEqual(await b.attentions(), ["2a/05"]);
    t.is(
      await c.put(prOut(REGISTER_AND_MOVE, { key: 3, actionKey: 4, ids: [to], port: 1 })),
      "conflict",
      "All Registrants",
    );
  });
}

test("READ RESERVATION after a move shows the new key and the old type", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "disk0"), await rig.host("b", "disk0")];
  await a.put(prOut(REGISTER, { actionKey: 1 }));
  await a.put(prOut(RESERVE, { key: 1, type: WRITE_EXCLUSIVE }));
  const to = transportId(nameOf("b"), rig.isidOf("b"));
  t.is(await a.put(prOut(REGISTER_AND_MOVE, { key: 1, actionKey: 2, ids: [to], port: 1 })), "good");
  t.deepEqual(await keys(b), [1, 2], "without UNREG the sender stays registered");
  const { data } = await b.send(prIn(READ_RESERVATION), { in: 24 });
  t.is(data.readBigUInt64BE(8), 2n);
  t.is(data[21], WRITE_EXCLUSIVE);
});
