import { join } from "node:path";
import test from "ava";
import { errnoOf } from "../../src/native/index.js";
import { native, scratch } from "./support.js";

test.serial("without a service manager there is nobody to tell", (t) => {
  delete process.env.NOTIFY_SOCKET;
  t.false(native.sdNotify("READY=1"));
});

test.serial("a service manager that is gone is an error with its errno", (t) => {
  const place = scratch();
  process.env.NOTIFY_SOCKET = join(place.folder, "socket");
  t.is(errnoOf(t.throws(() => native.sdNotify("READY=1"))), "ENOENT");
  t.is(errnoOf(t.throws(() => native.sdNotify("READY=1\0"))), "EINVAL");
  process.env.NOTIFY_SOCKET = "vsock:2:1234";
  t.is(errnoOf(t.throws(() => native.sdNotify("READY=1"))), "EAFNOSUPPORT");
  delete process.env.NOTIFY_SOCKET;
  place.drop();
});

test("CRC-32C has the check value of its catalogue, by parts too", (t) => {
  const digits = new TextEncoder().encode("123456789");
  t.is(native.crc32c(digits), 0xe306_9283);
  t.is(native.crc32c(digits.subarray(4), native.crc32c(digits.subarray(0, 4))), 0xe306_9283);
  t.is(native.crc32c(new Uint8Array()), 0);
});
