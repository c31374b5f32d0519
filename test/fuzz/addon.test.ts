// Hostile arguments to the addon: one field of good ones is something else. What comes back is an error with an errno,
// never a crash of the process, which is this one.
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { errnoOf } from "../../src/native/index.js";
import { Cdb, native, openTestDisk, RING, scratch, TAPE_BLOCK, type TestDisk } from "../native/support.js";

const place = scratch();
const arena = native.createArena(16n << 20n);
let disk: TestDisk;
test.before(async () => {
  disk = await openTestDisk(native, join(place.folder, "disk"), 4096n);
});
test.after.always(async () => {
  await disk.lu.close();
  arena.close();
  place.drop();
});

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({
    withBigInt: true,
    withTypedArray: true,
    withSparseArray: true,
    withNullPrototype: true,
    withDate: true,
  }),
  fc.constantFrom<unknown>(
    undefined,
    null,
    -1,
    0,
    1.5,
    2 ** 32,
    2 ** 53,
    Number.NaN,
    -1n,
    2n ** 63n,
    2n ** 64n,
    Symbol("s"),
  ),
  fc.constant(() => 5),
);
const as = <T>(value: unknown): T => value as T;

/** Good arguments, and what is done with them. */
const CALLS: Record<string, { good: () => Record<string, unknown>; call: (bad: never) => unknown }> = {
  openDisk: {
    good: () => ({ path: join(place.folder, "other"), blockBytes: 512, blocks: 8n, thin: true, serial: "s" }),
    call: (bad) => native.openDisk(bad),
  },
  openTape: {
    good: () => ({ maxBlockBytes: 65536, capacityBytes: 0n, earlyWarningBytes: 0n }),
    call: (bad) => native.openTape(bad),
  },
  openLu: {
    good: () => ({ transport: "iscsi", portal: "127.0.0.1:1", target: "iqn.t", lun: 0, initiator: "iqn.i" }),
    call: (bad) => native.openLu(bad),
  },
  execute: {
    good: () => ({ dataIn: 512, timeoutMs: 1000 }),
    call: (bad) => disk.lu.execute(Cdb.read10(0, 1), bad),
  },
  inject: { good: () => ({ opcode: 0xff, key: 3, asc: 1, ascq: 2, count: 1 }), call: (bad) => disk.device.inject(bad) },
  startCopy: {
    good: () => ({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit], depth: 4 }),
    call: (bad) => {
      const copy = native.startCopy(bad, () => undefined);
      copy.cancel();
      return copy.close();
    },
  },
  append: {
    good: () => ({ gather: new Uint8Array(24), scatter: new Uint8Array(24), inline: new Uint8Array(8) }),
    call: (bad) => {
      const copy = native.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit] }, () => {});
      const { gather, scatter, inline } = as<Record<string, Uint8Array>>(bad);
      try {
        return copy.append(as(gather), as(scatter), as(inline));
      } finally {
        copy.cancel();
        void copy.close();
      }
    },
  },
  crc32c: {
    good: () => ({ data: new Uint8Array(9), seed: 1 }),
    call: (bad) => native.crc32c(as<{ data: Uint8Array }>(bad).data, as<{ seed: number }>(bad).seed),
  },
  createArena: {
    good: () => ({ bytes: 1n << 20n }),
    call: (bad) => native.createArena(as<{ bytes: bigint }>(bad).bytes).close(),
  },
};

for (const [name, { good, call }] of Object.entries(CALLS)) {
  test.serial(`wrong arguments of ${name} are an error with an errno, and nothing else`, async (t) => {
    let refused = 0;
    const property = fc.asyncProperty(fc.nat(), odd, async (at, value) => {
      const fields = good();
      const keys = Object.keys(fields);
      const key = keys[at % keys.length] ?? "";
      try {
        await call(as({ ...fields, [key]: value }));
      } catch (error) {
        refused += 1;
        if (errnoOf(error) === undefined) throw error;
      }
    });
    await fc.assert(property, { numRuns: 150 });
    t.true(refused > 0);
  });
}
