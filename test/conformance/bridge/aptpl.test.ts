// APTPL (SPC-4 5.13.5) over kill -9 of the daemon: what was acknowledged holds from the first command on, for tape and
// disk, by the same initiator port; what was not to survive does not.
import test from "ava";
import { type JobRig, startJobRig } from "./job-rig.js";
import { RawHost } from "./raw-host.js";
import type { Device, Host } from "./rig.js";
import {
  EXCLUSIVE_ACCESS,
  prIn,
  prOut,
  READ_KEYS,
  REGISTER,
  RESERVE,
  RESERVE_6,
  read10,
  TEST_UNIT_READY,
  writeVariable,
} from "./words.js";

const BLOCK = new Uint8Array(512);

async function firstIn(rig: JobRig, device: Device): Promise<Host> {
  for (;;) {
    const host = await rig.host("b", device).catch(() => undefined);
    if (host !== undefined) return host;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a reservation with APTPL holds before anybody can send a command; one without is gone, and so is RESERVE", async (t) => {
  const rig = await startJobRig(t, "off");
  for (const device of ["disk0", "tape0"] as const) await (await rig.host("a", device)).lu.close();
  const login = async (): Promise<RawHost> => {
    const host = await RawHost.login(rig.port, "a");
    t.teardown(() => host.close());
    // Power on; what else the drive says is that it is empty.
    for (const device of ["disk0", "tape0"] as const) await host.send(device, TEST_UNIT_READY).status;
    return host;
  };
  const first = await login();
  const put = (device: Device, { cdb, out }: { cdb: Uint8Array; out: Uint8Array }) =>
    first.send(device, cdb, { out }).status;
  t.is(await put("tape0", prOut(REGISTER, { actionKey: 7, aptpl: true })), 0);
  t.is(await put("tape0", prOut(RESERVE, { key: 7, type: EXCLUSIVE_ACCESS })), 0);
  t.is(await put("disk0", prOut(REGISTER, { actionKey: 8 })), 0);
  t.is(await put("disk0", prOut(RESERVE, { key: 8, type: EXCLUSIVE_ACCESS })), 0);
  const other = await rig.host("b", "disk0");
  t.is(await other.says(read10(0, 1), { in: 512 }), "conflict");
  await other.lu.close();
  await rig.bridge.kill();
  rig.bridge.launch();
  // From the first moment at which somebody gets in.
  const tape = await firstIn(rig, "tape0");
  t.is(await tape.says(writeVariable(512), { out: BLOCK }), "conflict");
  t.is(await tape.says(RESERVE_6), "conflict");
  const keys = await tape.send(prIn(READ_KEYS), { in: 64 });
  t.is(keys.data.readUInt32BE(0), 0, "PRGENERATION begins anew");
  t.is(keys.data.readBigUInt64BE(8), 7n);
  const disk = await rig.host("b", "disk0");
  t.is(await disk.says(read10(0, 1), { in: 512 }), "good", "without APTPL nothing is left");
  t.is((await disk.send(prIn(READ_KEYS), { in: 64 })).data.readUInt32BE(4), 0);
  t.is(await disk.says(RESERVE_6), "good");

  const again = await login();
  const { cdb, out } = prOut(RESERVE, { key: 7, type: EXCLUSIVE_ACCESS });
  t.is(await again.send("tape0", cdb, { out }).status, 0, "the same initiator port is still the holder");

  await rig.bridge.kill();
  rig.bridge.launch();
  const second = await firstIn(rig, "disk0");
  t.is(await second.says(TEST_UNIT_READY), "good", "RESERVE ends with the power");
});
