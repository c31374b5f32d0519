// Cartridges of an emulated drive: loading scans and unloading flushes off the event loop, in the order of the calls.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { errnoOf } from "../../src/native/index.js";
import { isGantryError } from "../../src/sys/errors.js";
import { native, ready, scratch } from "./support.js";

const place = scratch();
test.after.always(() => place.drop());
let images = 0;
const image = (): string => join(place.folder, `tape-${images++}.tap`);

/** An image of so many filemarks and no index. */
function marks(count: number): string {
  const path = image();
  writeFileSync(path, Buffer.alloc(4 * count));
  return path;
}

const position = Uint8Array.of(0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0);
const toTheEnd = Uint8Array.of(0x11, 3, 0, 0, 0, 0);
const prevent = (on: boolean) => Uint8Array.of(0x1e, 0, 0, 0, on ? 1 : 0, 0);

test("the event loop turns while an image is scanned", async (t) => {
  const tape = native.openTape({});
  let turns = 0;
  const turning = setInterval(() => turns++, 0);
  // 10^7 objects: a load on the event loop would end before the first turn, however fast the machine is.
  await tape.load({ path: marks(10_000_000) });
  clearInterval(turning);
  t.true(turns > 0);
  const lu = await native.openLu({ transport: "virtual", device: tape });
  await ready(lu);
  t.is((await lu.execute(toTheEnd)).status, 0);
  const { data } = await lu.execute(position, { dataIn: 32 });
  t.is(Buffer.from(data).readBigUInt64BE(16), 10_000_000n);
  await lu.close();
  tape.close();
});

test("loads and unloads take their turns in the order of the calls, failures among them", async (t) => {
  const tape = native.openTape({});
  const [first, second] = [marks(100_000), image()];
  const ended = await Promise.allSettled([
    tape.unload(),
    tape.load({ path: first }),
    tape.load({ path: second }),
    tape.unload(),
    tape.load({ path: second }),
  ]);
  t.deepEqual(
    ended.map((end) => (end.status === "fulfilled" ? "done" : errnoOf(end.reason))),
    ["ENOMEDIUM", "done", "EBUSY", "done", "done"],
  );
  t.true(existsSync(second));
  tape.close();
});

test("a load that cannot be says why", async (t) => {
  const tape = native.openTape({});
  const missing = join(place.folder, "missing.tap");
  const error = await t.throwsAsync(tape.load({ path: missing, writeProtected: true }), { message: /missing\.tap/ });
  t.is(errnoOf(error), "ENOENT");
  tape.close();
});

test("an initiator that prevents removal keeps the cartridge in the drive", async (t) => {
  const tape = native.openTape({});
  await tape.load({ path: image() });
  const lu = await native.openLu({ transport: "virtual", device: tape });
  await ready(lu);
  t.is((await lu.execute(prevent(true))).status, 0);
  t.is(errnoOf(await t.throwsAsync(tape.unload())), "EBUSY");
  t.is((await lu.execute(prevent(false))).status, 0);
  await tape.unload();
  await lu.close();
  tape.close();
});

test("a drive that is closed while it loads lets go of the image when the load has ended", async (t) => {
  const path = marks(1_000_000);
  const tape = native.openTape({});
  const load = tape.load({ path });
  await new Promise(setImmediate); // the thread has begun
  const waiting = tape.unload();
  tape.close();
  await load;
  const error = await t.throwsAsync(waiting);
  t.is(isGantryError(error) && error.code, "NATIVE_CLOSED");
  // Nobody else could load it while the first drive had it.
  const other = native.openTape({});
  await other.load({ path });
  await other.unload();
  t.true(readFileSync(`${path}.idx`).length > 0);
  other.close();
});
