// The same plans on the real engine and emulated devices: its tapes must be those of the reference executor, and
// tar must restore them.
import { execFile } from "node:child_process";
import { promises as fs } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { BackupPlan } from "../../src/copy/archive/backup-plan.js";
import { chunkSource } from "../../src/copy/archive/list-cursor.js";
import { findTrailer } from "../../src/copy/archive/manifest-read.js";
import { RestorePlan } from "../../src/copy/archive/restore-plan.js";
import type { Batch } from "../../src/copy/archive/segments.js";
import { type ArchiveVolume, leadBytes } from "../../src/copy/archive/volumes.js";
import type { Arena, CopyEvent, CopyLu, CopyOptions } from "../../src/native/index.js";
import { backupOptions, contentOf, makeArchive, makeDisk, makeList, type TestMember } from "../lib/archives.js";
import { FILEMARK, type MemoryTape, tapeBytes } from "../lib/execute-program.js";
import { type DoneEvent, native, openTestTape, ready, run as startRun } from "../native/support.js";

const exec = promisify(execFile);
const TAPE_BLOCK = 4096;
const disk = makeDisk(300, 512);

const MEMBERS: readonly TestMember[] = [
  { name: "plain", at: [[0, 3, 77]], size: 39000n },
  {
    name: "sparse",
    at: [
      [2, 20, 30],
      [100, 140, 40],
    ],
    size: BigInt(140 * 512 - 100),
  },
  { name: "hole", size: 5000n },
  {
    name: "disk",
    type: "image",
    at: [
      [0, 100, 1],
      [5, 102, 90],
    ],
    size: BigInt(120 * 512),
  },
  { name: "last", at: [[0, 200, 8]] },
];
const BACKUP = { members: MEMBERS, disk, tapeBlockBytes: TAPE_BLOCK };

/** The same files on a disk with blocks of 4096 bytes; [file offset in blocks, LBA, blocks]. */
const WANTED: readonly TestMember[] = [
  { name: "last", at: [[0, 1, 1]], size: 4096n },
  { name: "disk", type: "image", at: [[0, 2, 15]], size: BigInt(120 * 512) },
  {
    name: "sparse",
    at: [
      [0, 20, 9],
      [9, 40, 9],
    ],
    size: BigInt(140 * 512 - 100),
  },
  {
    name: "plain",
    at: [
      [0, 60, 4],
      [4, 70, 6],
    ],
    size: 39000n,
  },
];

type OnEvent = (event: CopyEvent) => void;

/** One run of the engine over the pieces that `next` gives. */
async function engine(
  arena: Arena,
  lus: readonly CopyLu[],
  options: Partial<CopyOptions>,
  next: () => Promise<Batch | null>,
  onEvent: OnEvent,
): Promise<DoneEvent> {
  const settings = { ringBytes: 1 << 20, tapeBlockBytes: TAPE_BLOCK, ...options };
  const { copy, done } = startRun(native, arena, lus, settings, onEvent);
  // Before finish() a run does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  // A run may end (a full cartridge) while the plan waits for digests that will never come.
  const pieceOrEnd = () => Promise.race([next(), done.then(() => null)]);
  for (let piece = await pieceOrEnd(); piece !== null; piece = await pieceOrEnd()) {
    if (!copy.append(piece.gather, piece.scatter, piece.inline)) throw new Error("the engine's queue is full");
  }
  copy.finish();
  const last = await done;
  clearInterval(alive);
  await copy.close();
  return last;
}

/** The blocks of a SIMH tape image: length, data padded to an even length, length; a length of 0 is a filemark. */
async function readTap(file: string): Promise<MemoryTape> {
  const image = await fs.readFile(file);
  const tape: MemoryTape = [];
  for (let at = 0; at + 4 <= image.length; ) {
    const length = image.readUInt32LE(at);
    if (length === 0xffffffff) break;
    tape.push(length === 0 ? FILEMARK : image.subarray(at + 4, at + 4 + length));
    at += length === 0 ? 4 : 8 + length + (length & 1);
  }
  return tape;
}

async function openDisk(file: string, content: Buffer, blockBytes: 512 | 4096) {
  await fs.writeFile(file, content);
  const blocks = BigInt(content.length / blockBytes);
  const device = native.openDisk({ path: file, blockBytes, blocks });
  const lu = await native.openLu({ transport: "virtual", device });
  await ready(lu);
  const unit: CopyLu = { lu, type: 0, blockBytes, blocks, maxIoBytes: 0 };
  return { device, lu, unit };
}

async function openTape(file: string, capacityBytes: bigint) {
  const drive = await openTestTape(native, `${file}.none`);
  await drive.device.unload();
  await drive.device.load({ path: file, capacityBytes });
  await ready(drive.lu);
  return drive;
}

async function tempDir(t: ExecutionContext): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), "gantry-engine-"));
  t.teardown(() => fs.rm(dir, { recursive: true, force: true }));
  return dir;
}

/** What the engine reported, and those who wait for it. */
class Reported {
  readonly members = new Map<number, { bytes: bigint; crc32c: number }>();
  readonly blocks: number[] = [];
  #waiting: (() => void)[] = [];

  async until(known: () => boolean): Promise<void> {
    while (!known()) await new Promise<void>((wake) => this.#waiting.push(wake));
  }

  /** @param firstBlock archive tape block at which the cartridge goes on. @param lead tape blocks in front of it. */
  take(event: CopyEvent, firstBlock: number, lead: number): void {
    if (event.type === "digest") this.members.set(event.tag, { bytes: event.bytes, crc32c: event.crc32c });
    if (event.type === "block-crcs") {
      event.crcs.forEach((crc, i) => {
        const block = Number(event.object) + i - lead;
        if (block >= 0) this.blocks[firstBlock + block] = crc;
      });
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

interface Made {
  readonly files: string[];
  readonly volumes: ArchiveVolume[];
  readonly reported: Reported;
}

/** Backs MEMBERS up onto as many cartridges of this capacity as it takes. */
async function backup(arena: Arena, dir: string, capacityBytes: bigint): Promise<Made> {
  const source = await openDisk(path.join(dir, "source"), disk.data, 512);
  const chunks = makeList(MEMBERS, 512);
  const [volumes, files, reported]: [ArchiveVolume[], string[], Reported] = [[], [], new Reported()];
  let last: DoneEvent | undefined;
  do {
    const from = last?.streamOffset ?? 0n;
    const lead = last === undefined ? 0 : leadBytes(TAPE_BLOCK);
    const file = path.join(dir, `T${volumes.length}.tap`);
    files.push(file);
    volumes.push({ cartridge: `T${volumes.length + 1}`, firstObject: 0n, from });
    const plan = new BackupPlan(chunkSource(chunks), {
      ...backupOptions(BACKUP, chunks),
      volumes: () => volumes,
      digests: {
        async member(tag) {
          await reported.until(() => reported.members.has(tag));
          return { crc32c: reported.members.get(tag)?.crc32c ?? 0 };
        },
        async blocks(first, count) {
          const wanted = () => reported.blocks.slice(first, first + count).filter((crc) => crc !== undefined);
          await reported.until(() => wanted().length === count);
          return Uint32Array.from(wanted());
        },
      },
    });
    if (last !== undefined) plan.startVolume(from);
    const drive = await openTape(file, capacityBytes);
    const options = { streamOffset: from - BigInt(lead), ...(last === undefined ? {} : { digest: last.digest }) };
    last = await engine(
      arena,
      [source.unit, drive.unit],
      options,
      () => plan.next(64),
      (event) => reported.take(event, Number(from) / TAPE_BLOCK, lead / TAPE_BLOCK),
    );
    await drive.lu.close();
    drive.device.close();
  } while (last.result === "volume-full");
  await source.lu.close();
  source.device.close();
  if (last.result !== "ok") throw new Error(`the backup ended with ${last.result}`);
  return { files, volumes, reported };
}

for (const [title, capacity, cartridges] of [
  ["one cartridge", 0n, 1],
  ["several cartridges", 96n << 10n, 3],
] as const) {
  test(`the engine writes what the reference executor writes, on ${title}, and tar restores it`, async (t) => {
    const dir = await tempDir(t);
    const arena = native.createArena(8n << 20n);
    const made = await backup(arena, dir, capacity);
    t.true(made.files.length >= cartridges);
    const tapes = await Promise.all(made.files.map(readTap));
    const cut = tapes.slice(0, -1).map((tape, i) => tape.length - (i === 0 ? 0 : leadBytes(TAPE_BLOCK) / TAPE_BLOCK));
    const reference = await makeArchive({ ...BACKUP, cut });
    t.is(tapes.length, reference.tapes.length);
    tapes.forEach((tape, i) => {
      t.deepEqual(
        tape.map((block) => (block === FILEMARK ? block : block.length)),
        (reference.tapes[i] ?? []).map((block) => (block === FILEMARK ? block : block.length)),
        `cartridge ${i}`,
      );
      t.true(tapeBytes(tape).equals(tapeBytes(reference.tapes[i] ?? [])), `cartridge ${i}`);
    });
    t.deepEqual(made.reported.members, reference.digests);
    const out = path.join(dir, "out");
    await fs.mkdir(out);
    const raw = await Promise.all(
      tapes.map(async (tape, i) => {
        await fs.writeFile(path.join(dir, `raw${i}`), tapeBytes(tape));
        return ["-f", path.join(dir, `raw${i}`)];
      }),
    );
    const extracting = exec("tar", ["-b8", "-M", "-xp", "-C", out, ...raw.flat()]);
    extracting.child.stdin?.end();
    await extracting;
    for (const member of MEMBERS) {
      const name = member.type === "image" ? `${member.name}.img` : member.name;
      t.true((await fs.readFile(path.join(out, name))).equals(contentOf(member, disk)), name);
    }
    await restore(t, arena, dir, made, tapes);
    arena.close();
  });
}

/** Restores WANTED with the engine and looks at the disk and the digests. */
async function restore(t: ExecutionContext, arena: Arena, dir: string, made: Made, tapes: readonly MemoryTape[]) {
  const lead = leadBytes(TAPE_BLOCK);
  const stream = Buffer.concat(tapes.map((tape, i) => tapeBytes(tape).subarray(i === 0 ? 0 : lead)));
  const trailer = findTrailer(stream.subarray(-1536));
  const manifest = stream.subarray(Number(trailer.manifest), Number(trailer.manifest + trailer.bytes));
  const target = await openDisk(path.join(dir, "target"), Buffer.alloc(100 * 4096, 0xee), 4096);
  const settings = { volumes: made.volumes, tapeBlockBytes: TAPE_BLOCK, tapeLu: 0, diskLu: 1, diskBlockBytes: 4096 };
  const plan = await RestorePlan.make(chunkSource(makeList(WANTED, 4096)), () => [manifest], settings);
  const verdicts: (string | undefined)[] = [];
  let ahead = await plan.next(32);
  let digest: Partial<CopyOptions> = { keepMember: true };
  while (ahead !== null) {
    const { volume } = ahead;
    const drive = await openTape(made.files[volume] ?? "", 0n);
    const next = async () => {
      const piece = ahead;
      if (piece?.volume !== volume) return null;
      ahead = await plan.next(32);
      return piece;
    };
    const last = await engine(arena, [drive.unit, target.unit], digest, next, (event) => {
      if (event.type === "held") plan.held(event.data);
      if (event.type === "digest") verdicts.push(plan.digests.take(event.tag, event.bytes, event)?.fault);
    });
    t.is(last.result, "ok");
    digest = { keepMember: true, digest: last.digest };
    await drive.lu.close();
    drive.device.close();
  }
  await target.lu.close();
  target.device.close();
  t.deepEqual(verdicts, ["", "", "", ""]);
  t.is(plan.digests.open, 0);
  const restored = await fs.readFile(path.join(dir, "target"));
  for (const wanted of WANTED) {
    const source = MEMBERS.find(({ name }) => name === wanted.name) ?? { name: "" };
    const content = Buffer.concat([contentOf(source, disk), Buffer.alloc(4096)]);
    for (const [start, lba, blocks] of wanted.at ?? []) {
      const bytes = Math.min(blocks * 4096, Math.ceil(Number(wanted.size) / 4096) * 4096 - start * 4096);
      const found = restored.subarray(lba * 4096, lba * 4096 + bytes);
      t.true(found.equals(content.subarray(start * 4096, start * 4096 + bytes)), `${wanted.name} at ${start}`);
    }
  }
}
