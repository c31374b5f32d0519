// Faults of every leg of a job at chosen moments, as one table: which jobs go on by themselves, which end, with which
// code and words, and that what is on tape in the end is what an undisturbed job leaves there.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { EmulatedTape, Fault } from "../../src/native/types.js";
import type { ErrorCode } from "../../src/sys/errors.js";
import { type FaultPlant, FOREVER, faultPlant, KEY, MIB, OP, STATUS } from "../lib/fault-bridge.js";
import { failedWith, succeeded } from "../lib/job-plant.js";

const SYNC = 0x91;
const WRITE_16 = 0x8a;
const READ_POSITION = 0x34;
const LOCATE_16 = 0x92;
const SPACE_6 = 0x11;
const TEST_UNIT_READY = 0x00;
const CHECK = { status: STATUS.CHECK, count: 1 };
const RESET = { ...CHECK, key: KEY.ATTENTION, asc: 0x29 };
const LOST = { outcome: "transport", count: 1 } as const;

interface Row {
  readonly name: string;
  readonly device: "disk0" | "tape0" | "target";
  readonly fault: Fault;
  /** undefined: the job succeeds. */
  readonly code?: ErrorCode;
  readonly words?: RegExp;
  /** At least so many times from its checkpoint. */
  readonly resumes?: number;
}

const deferred = { ...CHECK, key: KEY.MEDIUM, asc: 0x0c, deferred: true };
const BACKUP: readonly Row[] = [
  { name: "deferred-middle", device: "tape0", fault: { ...deferred, opcode: OP.WRITE_6, skip: 9 }, resumes: 1 },
  { name: "deferred-flush", device: "tape0", fault: { ...deferred, opcode: OP.WRITE_FILEMARKS }, resumes: 1 },
  { name: "deferred-position", device: "tape0", fault: { ...deferred, opcode: READ_POSITION, skip: 2 }, resumes: 1 },
  {
    name: "deferred-for-ever",
    device: "tape0",
    fault: { ...deferred, opcode: OP.WRITE_6, skip: 9, count: FOREVER },
    code: "DEVICE_WRITES_LOST",
    words: /deferred MEDIUM ERROR.*WRITE ERROR/i,
    resumes: 2,
  },
  { name: "lost-first", device: "tape0", fault: { ...LOST, opcode: OP.WRITE_6 }, resumes: 1 },
  { name: "lost-done", device: "tape0", fault: { ...LOST, opcode: OP.WRITE_6, skip: 20, after: true }, resumes: 1 },
  { name: "lost-flush", device: "tape0", fault: { ...LOST, opcode: OP.WRITE_FILEMARKS, after: true }, resumes: 1 },
  {
    name: "lost-mark",
    device: "tape0",
    fault: { ...LOST, opcode: OP.WRITE_FILEMARKS, skip: 1, after: true },
    resumes: 1,
  },
  {
    name: "timed-out",
    device: "tape0",
    fault: { outcome: "timed-out", count: 1, opcode: OP.WRITE_6, skip: 12, after: true },
    resumes: 1,
  },
  { name: "reset-flush", device: "tape0", fault: { ...RESET, opcode: OP.WRITE_FILEMARKS }, resumes: 1 },
  { name: "reset-position", device: "tape0", fault: { ...RESET, opcode: READ_POSITION, skip: 1 }, resumes: 1 },
  {
    name: "disk-capacity",
    device: "disk0",
    fault: { ...CHECK, opcode: OP.READ_16, skip: 12, key: KEY.ATTENTION, asc: 0x2a, ascq: 0x09 },
    resumes: 1,
  },
  {
    name: "disk-medium",
    device: "disk0",
    fault: { ...CHECK, opcode: OP.READ_16, skip: 12, key: KEY.ATTENTION, asc: 0x28 },
    resumes: 1,
  },
  {
    name: "disk-another",
    device: "disk0",
    fault: { ...CHECK, opcode: OP.READ_16, skip: 12, key: KEY.ATTENTION, asc: 0x3f, ascq: 0x03 },
    resumes: 1,
  },
  {
    name: "disk-shrunk",
    device: "disk0",
    fault: { ...CHECK, opcode: OP.READ_16, skip: 12, key: 5, asc: 0x21, count: FOREVER },
    code: "DEVICE_SHRUNK",
    words: /^disk0, while reading at byte \d+: ILLEGAL REQUEST.*OUT OF RANGE/i,
  },
  {
    name: "cleaning",
    device: "tape0",
    fault: { ...CHECK, opcode: TEST_UNIT_READY, key: 2, asc: 0x30, ascq: 0x03, count: FOREVER },
    code: "MEDIA_INCOMPATIBLE",
    words: /^tape0.*CLEANING CARTRIDGE INSTALLED/i,
  },
  {
    name: "other-format",
    device: "tape0",
    fault: { ...CHECK, opcode: OP.WRITE_6, key: 5, asc: 0x30, ascq: 0x05 },
    code: "MEDIA_INCOMPATIBLE",
  },
  {
    name: "gone",
    device: "tape0",
    fault: { ...LOST, opcode: OP.WRITE_6, skip: 4, count: FOREVER },
    code: "DEVICE_PATH_FAILED",
    words: /cannot be reached/,
    resumes: 2,
  },
];

async function rows(t: ExecutionContext, plant: FaultPlant, table: readonly Row[], run: (row: Row) => Promise<void>) {
  for (const row of table) {
    await plant.inject(row.device, row.fault);
    await run(row);
    for (const name of ["disk0", "tape0", "target"]) (await plant.device(name)).clearFaults();
  }
  t.pass();
}

const judge = (
  t: ExecutionContext,
  { name, code, words, resumes = 0 }: Row,
  report: Parameters<typeof succeeded>[1],
) => {
  if (code === undefined) succeeded(t, report);
  else failedWith(t, report, code, words);
  t.true(report.resumes >= resumes && (resumes > 0 || report.resumes === 0), `${name}: ${report.resumes} resumes`);
  t.true(report.bytesDone <= report.bytesTotal, name);
};

/** Blocks and filemarks as they stand in the image, without the first blocks, where the job's own name is. */
const blocksOf = (tap: Buffer): number[] => {
  const lengths: number[] = [];
  for (let at = 0; at + 4 <= tap.length; ) {
    const length = tap.readUInt32LE(at);
    lengths.push(length);
    at += length === 0 ? 4 : 8 + length;
  }
  return lengths;
};

test.serial("a backup over faults of its disk and its drive goes on, or ends with a code that says why", async (t) => {
  const plant = await faultPlant(t, { jobs: "checkpoint_mib = 1\nresume_limit = 2" });
  succeeded(t, await plant.backup("undisturbed"));
  const twin = readFileSync(plant.tap("undisturbed"));
  await rows(t, plant, BACKUP, async (row) => {
    judge(t, row, await plant.backup(row.name));
    if (row.code !== undefined) return;
    (await plant.device("disk0")).clearFaults();
    const tap = readFileSync(plant.tap(row.name));
    t.deepEqual(blocksOf(tap), blocksOf(twin), row.name);
    succeeded(t, await plant.verify(`verify-${row.name}`, row.name));
  });
});

test.serial("a restore over faults of its drive and its disk goes on, or ends with a code that says why", async (t) => {
  const plant = await faultPlant(t, { jobs: "checkpoint_mib = 1\nresume_limit = 2" });
  succeeded(t, await plant.backup("A"));
  const expected = Buffer.alloc(4 * MIB);
  succeeded(t, await plant.restore("undisturbed", "A"));
  readFileSync(join(plant.directory, "target.img")).copy(expected);
  const attention = { ...CHECK, key: KEY.ATTENTION };
  const table: readonly Row[] = [
    { name: "lost-read", device: "tape0", fault: { ...LOST, opcode: OP.READ_6, skip: 20, after: true }, resumes: 1 },
    { name: "reset-read", device: "tape0", fault: { ...RESET, opcode: OP.READ_6, skip: 20 }, resumes: 1 },
    { name: "lost-locate", device: "tape0", fault: { ...LOST, opcode: LOCATE_16, skip: 1 } },
    {
      name: "bad-read",
      device: "tape0",
      fault: { ...CHECK, opcode: OP.READ_6, skip: 20, key: KEY.MEDIUM, asc: 0x11 },
      code: "DEVICE_MEDIUM_ERROR",
      words: /^tape0, while reading.*UNRECOVERED READ ERROR/i,
    },
    { name: "disk-reset", device: "target", fault: { ...RESET, opcode: WRITE_16, skip: 20 }, resumes: 1 },
    { name: "disk-reset-flush", device: "target", fault: { ...RESET, opcode: SYNC }, resumes: 1 },
    { name: "disk-deferred", device: "target", fault: { ...deferred, opcode: SYNC }, resumes: 1 },
    {
      name: "disk-another",
      device: "target",
      fault: { ...attention, opcode: WRITE_16, skip: 9, asc: 0x3f, ascq: 3 },
      resumes: 1,
    },
    { name: "disk-lost", device: "target", fault: { ...LOST, opcode: WRITE_16, skip: 5, after: true } },
    {
      name: "disk-bad",
      device: "target",
      fault: { ...CHECK, opcode: WRITE_16, skip: 5, key: KEY.MEDIUM, asc: 0x0c },
      code: "DEVICE_MEDIUM_ERROR",
      words: /^target, while writing/,
    },
  ];
  await rows(t, plant, table, async (row) => {
    judge(t, row, await plant.restore(row.name, "A"));
    if (row.code === undefined) t.true(readFileSync(join(plant.directory, "target.img")).equals(expected), row.name);
  });
});

test.serial(
  "a drive that is reset between the end of data and the question where that is: no tape is taken for blank",
  async (t) => {
    const plant = await faultPlant(t);
    succeeded(t, await plant.backup("kept"));
    const before = readFileSync(plant.tap("kept"));
    const drive = (await plant.device("tape0")) as EmulatedTape;
    // The drive answers late, and meanwhile somebody takes the cartridge out and puts it in again.
    await plant.inject("tape0", { opcode: SPACE_6, count: 1, delayMs: 1500 });
    const report = plant.backup("careless", { cartridges: [] });
    await new Promise((resolve) => setTimeout(resolve, 800));
    await Promise.resolve(drive.unload());
    await Promise.resolve(drive.load({ path: plant.tap("kept") }));
    failedWith(t, await report, "MEDIA_NOT_BLANK");
    t.is((await report).resumes, 1);
    t.true(readFileSync(plant.tap("kept")).equals(before));
  },
);
