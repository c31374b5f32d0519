// Wrong arguments are told in words, by the field's name, and change nothing.
import { join } from "node:path";
import test from "ava";
import type { CopyOptions, DiskOptions, Fault, LuTarget } from "../../src/native/index.js";
import { errnoOf, PARAMETER_MAX, QUEUE_SEGMENTS, SEGMENT_BYTES } from "../../src/native/index.js";
import { BLOCK, Cdb, native, openTestDisk, RING, run, scratch, TAPE_BLOCK, type TestDisk } from "./support.js";

const place = scratch();
let disk: TestDisk;
const arena = native.createArena(16n << 20n);
test.before(async () => {
  disk = await openTestDisk(native, join(place.folder, "disk"), 4096n);
});
test.after.always(async () => {
  await disk.lu.close();
  arena.close();
  place.drop();
});

/** Values of any type where the signature wants another: what comes out of files is not checked by a compiler. */
const as = <T>(value: unknown): T => value as T;

const says = test.macro(async (t, words: RegExp, attempt: () => unknown) => {
  const error = await t.throwsAsync(async () => await attempt());
  t.is(errnoOf(error), "EINVAL");
  t.regex(error?.message ?? "", words);
});

const openDisk = (options: Partial<DiskOptions>) => () =>
  native.openDisk({ path: join(place.folder, "other"), blockBytes: 512, blocks: 8n, ...options });
test("disk path that is empty", says, /^path is "", not a text/, openDisk({ path: "" }));
test("disk path that is a number", says, /^path is 5, not a text/, openDisk({ path: as(5) }));
test("disk path with a NUL", says, /^path has a NUL/, openDisk({ path: "/tmp/a\0b" }));
test("disk block size", says, /^blockBytes is 520, not 512 or 4096/, openDisk({ blockBytes: as(520) }));
test("disk blocks as a number", says, /^blocks is 8, not a bigint/, openDisk({ blocks: as(8) }));
test("disk blocks that are negative", says, /^blocks is -1n, not a bigint/, openDisk({ blocks: -1n }));
test("disk flag that is text", says, /^thin is "yes", not true or false/, openDisk({ thin: as("yes") }));
test(
  "disk vendor longer than INQUIRY has room",
  says,
  /^vendor is longer than 8 bytes/,
  openDisk({ vendor: "123456789" }),
);
test("tape block limit", says, /^maxBlockBytes is 8388609, not an integer from 0 to 8388608/, () =>
  native.openTape({ maxBlockBytes: (8 << 20) + 1 }),
);

const inject = (fault: Fault) => () => disk.device.inject(fault);
test("fault opcode", says, /^opcode is 65536/, inject({ opcode: 65_536 }));
test("fault key", says, /^key is 16/, inject({ key: 16 }));
test("fault count that is no integer", says, /^count is 1\.5/, inject({ count: 1.5 }));
test("fault count that is not a number", says, /^count is NaN/, inject({ count: Number.NaN }));
test("fault outcome", says, /^outcome is "lost", not transport or timed-out/, inject({ outcome: as("lost") }));
test("pace as a number", says, /^bytesPerS is 5, not a bigint/, () => disk.device.pace(as(5)));

test("command of a length that no CDB has", says, /^cdb has 7 bytes, not 6 or 10 or 12 or 16 or 32/, () =>
  disk.lu.execute(new Uint8Array(7)),
);
test("command that is an array", says, /^cdb is 0,0,0,0,0,0, not a Uint8Array/, () =>
  disk.lu.execute(as([0, 0, 0, 0, 0, 0])),
);
test("command in shared memory", says, /^cdb lies in memory shared between threads/, () =>
  disk.lu.execute(new Uint8Array(new SharedArrayBuffer(6))),
);
test("data-in past the parameter limit", says, /^dataIn is 1048577, not an integer from 0 to 1048576/, () =>
  disk.lu.execute(Cdb.inquiry(96), { dataIn: PARAMETER_MAX + 1 }),
);
test("data-out past the parameter limit", says, /^dataOut has 1048577 bytes/, () =>
  disk.lu.execute(Cdb.write10(0, 1), { dataOut: new Uint8Array(PARAMETER_MAX + 1) }),
);
test("data both ways", says, /^dataIn and dataOut are both given/, () =>
  disk.lu.execute(Cdb.write10(0, 1), { dataIn: 8, dataOut: new Uint8Array(BLOCK) }),
);
test("time-out of zero", says, /^timeoutMs is 0, not an integer from 1/, () =>
  disk.lu.execute(Cdb.testUnitReady(), { timeoutMs: 0 }),
);

const openLu = (target: unknown) => () => native.openLu(as<LuTarget>(target));
test(
  "transport that there is not",
  says,
  /^transport is none of virtual, sg, paths and iscsi/,
  openLu({ transport: "fc" }),
);
test(
  "virtual unit on something else",
  says,
  /^device is not an emulated device/,
  openLu({ transport: "virtual", device: {} }),
);
const iscsi = { transport: "iscsi", portal: "127.0.0.1:1", target: "iqn.t", lun: 0, initiator: "iqn.i" };
test("iSCSI LUN", says, /^lun is -1/, openLu({ ...iscsi, lun: -1 }));
test(
  "iSCSI name that is too long",
  says,
  /^target is longer than 223 bytes/,
  openLu({ ...iscsi, target: "i".repeat(224) }),
);
test(
  "two-way CHAP without one-way",
  says,
  /^targetChap needs chap/,
  openLu({ ...iscsi, targetChap: { user: "u", secret: "s" } }),
);
test("CHAP secret that is missing", says, /^chap\.secret is undefined/, openLu({ ...iscsi, chap: { user: "u" } }));

test("arena of no bytes", says, /^bytes is 0n/, () => native.createArena(0n));
test("checksum of text", says, /^data is "abc", not a Uint8Array/, () => native.crc32c(as("abc")));
test("checksum seed", says, /^seed is -1/, () => native.crc32c(new Uint8Array(), -1));

const start = (options: Partial<CopyOptions>) => () =>
  native.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit], ...options }, () => {});
test("copy without units", says, /^lus is not a list of 1 to 255/, start({ lus: [] }));
test("copy on something else", says, /^lus\[0\]\.lu is not a logical unit/, () =>
  start({ lus: [{ ...disk.unit, lu: as({}) }] })(),
);
test("copy from another arena", says, /^arena is not an arena/, start({ arena: as({}) }));
test("copy of a device type that is neither", says, /^lus\[0\]\.type is 5, not 0 or 1/, () =>
  start({ lus: [{ ...disk.unit, type: as(5) }] })(),
);
test("tape block past 8 MiB", says, /^tapeBlockBytes is 8388609/, start({ tapeBlockBytes: (8 << 20) + 1 }));
test(
  "source tape's block past 8 MiB",
  says,
  /^sourceBlockBytes is 8388609/,
  start({ sourceBlockBytes: (8 << 20) + 1 }),
);
test("digest of the wrong length", says, /^digest has 3 bytes, not 124 to 124/, start({ digest: new Uint8Array(3) }));
test(
  "digest of a version that is not known",
  says,
  /digest in progress is not one that this version knows/,
  start({ digest: new Uint8Array(124).fill(0xee) }),
);
test("ring that the engine does not take", says, /ring/i, start({ ringBytes: 4096 }));
test("callback that is none", says, /^onEvents is not a function/, () =>
  native.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [disk.unit] }, as(undefined)),
);

test("appends of half a segment, of too many, or of other things are refused, and the run goes on", async (t) => {
  const { copy, done } = run(native, arena, [disk.unit]);
  const empty = new Uint8Array();
  const half = t.throws(() => copy.append(new Uint8Array(SEGMENT_BYTES + 1), empty, empty));
  t.regex(half?.message ?? "", /^gather has 25 bytes, not a multiple of 24/);
  const many = t.throws(() => copy.append(empty, new Uint8Array((QUEUE_SEGMENTS + 1) * SEGMENT_BYTES), empty));
  t.regex(many?.message ?? "", /^scatter has 1572888 bytes/);
  const other = t.throws(() => copy.append(empty, empty, as("inline")));
  t.regex(other?.message ?? "", /^inline is "inline", not a Uint8Array/);
  copy.finish();
  t.is((await done).result, "ok");
  await copy.close();
});
