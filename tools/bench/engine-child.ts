// One run of the engine in a process of its own: node engine-child.js JSON of an EngineJob; prints an EngineRun.
// The settings are those that the daemon has by default.
import { type ProgramPiece, RunControl, runCopy } from "../../src/copy/copy-run.js";
import { type CopyLu, type EmulatedTape, type Lu, native, ProgramBuilder } from "../../src/native/index.js";
import { memoryOf } from "./run.js";

const MIB = 1024 * 1024;
const BLOCK_BYTES = 4096;
const TAPE_BLOCK_BYTES = 256 * 1024;
const ARENA_MIB = 64;
const CONCURRENT = 2;
const CHECKPOINT_MIB = 1024;
const PIECE_SEGMENTS = 16384;
const MEMBER = 1;
const READY_TRIES = 16;
const READ_16 = 0x88;

export type EnginePlace =
  /** stallMs: so long the disk does not answer after each stallBytes. */
  | { readonly disk: string; readonly bytesPerS?: number; readonly stallMs?: number; readonly stallBytes?: number }
  | { readonly tape: string; readonly bytesPerS?: number; readonly bufferBytes?: number }
  | { readonly sg: string; readonly blockBytes: number; readonly directIo?: boolean; readonly maxIoKib?: number }
  | { readonly portal: string; readonly target: string; readonly lun: number; readonly blockBytes: number };

export interface EngineJob {
  readonly from: EnginePlace;
  readonly to: EnginePlace;
  readonly bytes: number;
  /** The source's extents have this many bytes and lie all over it; without it, it is one extent. */
  readonly extentBytes?: number;
  /** Largest transfer, and how many at a time; as the daemon by default. */
  readonly ioKib?: number;
  readonly depth?: number;
}

export interface EngineRun {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rssMib: number;
  readonly tapeWaits: number;
  /** Times that a paced tape started, and that its own buffer ran empty. */
  readonly tapeStarts: number;
  readonly tapeUnderruns: number;
}

let paced: EmulatedTape | undefined;

async function open(place: EnginePlace, bytes: number): Promise<CopyLu> {
  if ("sg" in place) {
    const { sg, blockBytes, directIo = true, maxIoKib = 1024 } = place;
    const reservedBytes = maxIoKib * 1024;
    const lu = await ready(await native.openLu({ transport: "sg", path: sg, reservedBytes, directIo }));
    return { lu, type: 0, blockBytes, blocks: BigInt(bytes / blockBytes), maxIoBytes: 0 };
  }
  if ("portal" in place) {
    const { portal, target, lun, blockBytes } = place;
    const initiator = "iqn.2024-01.test.gantry:bench";
    const lu = await ready(await native.openLu({ transport: "iscsi", portal, target, lun, initiator }));
    return { lu, type: 0, blockBytes, blocks: BigInt(bytes / blockBytes), maxIoBytes: 0 };
  }
  if ("disk" in place) {
    const blocks = BigInt(bytes / BLOCK_BYTES);
    const device = native.openDisk({ path: place.disk, blockBytes: BLOCK_BYTES, blocks, thin: true });
    const { bytesPerS = 0, stallMs = 0, stallBytes = bytes } = place;
    if (bytesPerS > 0) device.pace(BigInt(bytesPerS));
    for (let at = stallBytes; at < bytes; at += stallBytes)
      device.inject({ opcode: READ_16, skip: at / MIB, delayMs: stallMs });
    const lu = await ready(await native.openLu({ transport: "virtual", device }));
    return { lu, type: 0, blockBytes: BLOCK_BYTES, blocks, maxIoBytes: 0 };
  }
  const device = native.openTape({});
  await device.load({ path: place.tape });
  if (place.bytesPerS !== undefined) device.stream(BigInt(place.bytesPerS), BigInt(place.bufferBytes ?? 0));
  paced = device;
  return {
    lu: await ready(await native.openLu({ transport: "virtual", device })),
    type: 1,
    blockBytes: 0,
    blocks: 0n,
    maxIoBytes: 0,
  };
}

/** Takes away the unit attentions that a new nexus has. */
async function ready(lu: Lu): Promise<Lu> {
  for (let tries = 0; tries < READY_TRIES; tries++) {
    const { outcome, status } = await lu.execute(new Uint8Array(6));
    if (outcome === "delivered" && status === 0) return lu;
  }
  throw new Error("a unit does not become ready");
}

/** The job's segments in pieces, as a plan makes them. */
function* pieces({ bytes, extentBytes = bytes }: EngineJob, from: CopyLu, to: CopyLu): Generator<ProgramPiece> {
  const builder = new ProgramBuilder();
  const count = bytes / extentBytes;
  const blocks = BigInt(extentBytes / from.blockBytes);
  // An odd step through a power of two meets every extent once, and no two neighbours in a row.
  const step = Math.floor(count * 0.618) | 1;
  if (to.type === 1) builder.tape("scatter", 1, BigInt(bytes)).filemark(1);
  else builder.extent("scatter", 1, 0n, BigInt(bytes)).flush(1);
  for (let index = 0, at = 0; index < count; index++, at = (at + step) % count) {
    builder.extent("gather", 0, BigInt(at) * blocks, BigInt(extentBytes), MEMBER);
    if (builder.segments >= PIECE_SEGMENTS) yield builder.take();
  }
  yield builder.take();
}

async function copy(job: EngineJob): Promise<EngineRun> {
  const from = await open(job.from, job.bytes);
  const to = await open(job.to, job.bytes);
  const arena = native.createArena(BigInt(ARENA_MIB * MIB));
  const program = pieces(job, from, to);
  let sum: number | undefined;
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const { done, stats } = await runCopy({
    native,
    control: new RunControl(),
    next: async () => {
      const piece = program.next();
      return piece.done === true ? null : piece.value;
    },
    onEvent: (event) => {
      if (event.type === "digest" && event.tag === MEMBER) sum = event.crc32c;
    },
    copy: {
      arena,
      ringBytes: (ARENA_MIB * MIB) / CONCURRENT,
      lus: [from, to],
      tapeBlockBytes: TAPE_BLOCK_BYTES,
      ioBytes: job.ioKib === undefined ? MIB : job.ioKib * 1024,
      ...(job.depth === undefined ? {} : { depth: job.depth }),
      checkpointBytes: BigInt(CHECKPOINT_MIB * MIB),
    },
  });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  if (done.result !== "ok" || Number(done.streamOffset) !== job.bytes || sum === undefined)
    throw new Error(`the copy ended as ${done.result} at ${done.streamOffset}`);
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    // Not getrusage(2): that begins with what the parent had when it forked.
    rssMib: memoryOf(process.pid, "VmHWM"),
    tapeWaits: Number(stats.tapeWaits),
    tapeStarts: paced?.streamCounts().starts ?? 0,
    tapeUnderruns: paced?.streamCounts().underruns ?? 0,
  };
}

// A run that waits for segments does not keep a process alive.
setInterval(() => {}, 60_000);
const job = JSON.parse(process.argv[2] ?? "") as EngineJob;
console.log(JSON.stringify(await copy(job)));
process.exit(0);
