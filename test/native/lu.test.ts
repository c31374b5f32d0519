import { join } from "node:path";
import test from "ava";
import { errnoOf, PARAMETER_MAX } from "../../src/native/index.js";
import { isGantryError } from "../../src/sys/errors.js";
import { BLOCK, Cdb, native, openTestDisk, scratch } from "./support.js";

const place = scratch();
test.after.always(() => place.drop());
let disks = 0;
const disk = (blocks = 4096n) => openTestDisk(native, join(place.folder, `disk-${disks++}`), blocks);

test("a unit says what carries it and how much it moves", async (t) => {
  const { lu, device } = await disk();
  t.is(lu.transport, "virtual");
  t.true(lu.maxTransferBytes >= 1 << 20);
  t.true(lu.maxQueue >= 1);
  await lu.close();
  device.close();
});

test("data out and data in cross whole, up to the parameter limit", async (t) => {
  const { lu } = await disk();
  const blocks = PARAMETER_MAX / BLOCK;
  const sent = new Uint8Array(PARAMETER_MAX).map((_, i) => (i * 31) >> 3);
  const written = await lu.execute(Cdb.write10(0, blocks), { dataOut: sent });
  t.is(written.status, 0);
  t.is(written.residual, 0);
  t.is(written.data.byteLength, 0);
  const read = await lu.execute(Cdb.read10(0, blocks), { dataIn: PARAMETER_MAX });
  t.is(read.status, 0);
  t.deepEqual(Buffer.compare(read.data, sent), 0);
  await lu.close();
});

test("the command and its data are copied before execute returns", async (t) => {
  const { lu } = await disk();
  const cdb = Cdb.write10(5, 1);
  const data = new Uint8Array(BLOCK).fill(7);
  const pending = lu.execute(cdb, { dataOut: data });
  cdb.fill(0xff);
  data.fill(0xff);
  t.is((await pending).status, 0);
  const { data: back } = await lu.execute(Cdb.read10(5, 1), { dataIn: BLOCK });
  t.deepEqual(back, new Uint8Array(BLOCK).fill(7));
  await lu.close();
});

test("only the bytes that came are given back, with the residual", async (t) => {
  const { lu } = await disk();
  const answer = await lu.execute(Cdb.inquiry(36), { dataIn: 4096 });
  t.is(answer.data.byteLength, 36);
  t.is(answer.residual, 4096 - 36);
  await lu.close();
});

test("sense data comes as the device gave it", async (t) => {
  const { lu, device } = await disk();
  device.inject({ opcode: 0x28, status: 0x02, key: 3, asc: 0x11, ascq: 0x00 });
  const answer = await lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK });
  t.is(answer.outcome, "delivered");
  t.is(answer.status, 2);
  t.is((answer.sense[2] ?? 0) & 0x0f, 3);
  t.is(answer.sense[12], 0x11);
  t.is(answer.data.byteLength, 0);
  await lu.close();
});

for (const outcome of ["transport", "timed-out"] as const)
  test(`an outcome of ${outcome} never looks good`, async (t) => {
    const { lu, device } = await disk();
    device.inject({ opcode: 0x28, outcome });
    const answer = await lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK });
    t.is(answer.outcome, outcome);
    t.is(answer.data.byteLength, 0);
    t.is((await lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK })).outcome, "delivered");
    await lu.close();
  });

test("commands on one unit run in the order of their calls", async (t) => {
  const { lu, device } = await disk();
  device.inject({ opcode: 0x2a, count: 20, delayMs: 1 });
  const writes = Array.from({ length: 20 }, (_, i) =>
    lu.execute(Cdb.write10(0, 1), { dataOut: new Uint8Array(BLOCK).fill(i + 1) }),
  );
  const read = lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK });
  await Promise.all(writes);
  t.is((await read).data[0], 20);
  await lu.close();
});

test("a time-out that passes is an answer, not an error", async (t) => {
  const { lu, device } = await disk();
  device.inject({ opcode: 0x28, delayMs: 60_000 });
  const answer = await lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK, timeoutMs: 20 });
  t.is(answer.outcome, "timed-out");
  await lu.close();
});

test("close aborts what is outstanding and what waits, and then refuses", async (t) => {
  const { lu, device } = await disk();
  device.inject({ opcode: 0x28, delayMs: 600_000 });
  const pending = [1, 2, 3].map(() => lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK, timeoutMs: 900_000 }));
  await Promise.all([lu.close(), lu.close()]);
  for (const answer of await Promise.all(pending)) {
    t.is(answer.outcome, "aborted");
    t.is(answer.data.byteLength, 0);
  }
  const error = await t.throwsAsync(lu.execute(Cdb.testUnitReady()));
  t.true(isGantryError(error) && error.code === "NATIVE_CLOSED");
  await lu.close();
});

test("a device lives on while a unit has it open, and closing it twice is fine", async (t) => {
  const { lu, device } = await disk();
  device.close();
  device.close();
  t.is((await lu.execute(Cdb.read10(0, 1), { dataIn: BLOCK })).status, 0);
  const error = t.throws(() => device.clearFaults());
  t.true(isGantryError(error) && error.code === "NATIVE_CLOSED");
  const opening = await t.throwsAsync(native.openLu({ transport: "virtual", device }));
  t.true(isGantryError(opening) && opening.code === "NATIVE_CLOSED");
  await lu.close();
});

test("two units on one device are two nexuses", async (t) => {
  const first = await disk();
  const second = await native.openLu({ transport: "virtual", device: first.device });
  // SPC-4 5.14: a new nexus begins with a unit attention of its own.
  t.is((await first.lu.execute(Cdb.testUnitReady())).status, 0);
  t.is((await second.execute(Cdb.testUnitReady())).status, 2);
  t.is((await second.execute(Cdb.testUnitReady())).status, 0);
  await Promise.all([first.lu.close(), second.close()]);
});

test("a portal where nobody listens is a sentence with the portal in it", async (t) => {
  const error = await t.throwsAsync(
    native.openLu({
      transport: "iscsi",
      portal: "127.0.0.1:1",
      target: "iqn.2024-01.test:none",
      lun: 0,
      initiator: "iqn.2024-01.test:us",
      connectTimeoutMs: 2000,
    }),
  );
  t.is(errnoOf(error), "ECONNREFUSED");
  t.regex(error?.message ?? "", /127\.0\.0\.1:1/);
});

test("an SG node that is not there is a sentence with its path", async (t) => {
  const path = join(place.folder, "sg-none");
  const error = await t.throwsAsync(native.openLu({ transport: "sg", path }));
  t.is(errnoOf(error), "ENOENT");
  t.true(error?.message.includes(path));
});
