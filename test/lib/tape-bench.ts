// Jobs on emulated tapes without a daemon: what hundreds of damaged tapes need. The runners are the product's, and so
// are engine, devices and journal; only the list and the store are in memory.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { Admitted } from "../../src/admitted.js";
import { RunControl } from "../../src/copy/copy-run.js";
import { type JobContext, type JobOutcome, Meter } from "../../src/copy/job-context.js";
import type { JobRecord } from "../../src/copy/job-record.js";
import { Journal } from "../../src/copy/journal.js";
import { failureOf } from "../../src/copy/results.js";
import { runJob } from "../../src/copy/run-job.js";
import { DeviceRegistry } from "../../src/device/registry.js";
import type { JobSpec } from "../../src/job.js";
import { native } from "../../src/native/index.js";
import type { EmulatedTape, Native } from "../../src/native/types.js";
import { systemClock } from "../../src/sys/clock.js";
import { type Config, parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { MemoryStore } from "../../src/sys/memory-store.js";
import { makeList, type TestMember } from "./archives.js";
import { deviceTables } from "./job-plant.js";
import { rawBytes, VOLUME } from "./raw-disk.js";
import { tmpDir } from "./tmp.js";

export const CREATED_MS = 1_700_000_000_000;

/** Early warning comes this many bytes before the end of a limited cartridge. */
const WARNING_BYTES = 64n << 10n;

class LimitedRegistry extends DeviceRegistry {
  readonly #limitOf: (cartridge: string) => number | undefined;
  #limited: string | undefined;

  constructor(over: Native, devices: Config["device"], limitOf: (cartridge: string) => number | undefined) {
    super(over, devices);
    this.#limitOf = limitOf;
  }

  override async load(drive: string, cartridge: string, create: boolean): Promise<void> {
    const limit = this.#limitOf(cartridge);
    await super.load(drive, cartridge, create);
    if (limit === undefined || this.#limited === cartridge) {
      if (limit === undefined) this.#limited = undefined;
      return;
    }
    this.#limited = cartridge;
    const tape = this.emulated(drive) as EmulatedTape;
    const { path } = this.config(drive) as { path: string };
    await tape.unload();
    await tape.load({
      path: join(path, `${cartridge}.tap`),
      capacityBytes: BigInt(limit) - 1n + WARNING_BYTES,
      earlyWarningBytes: WARNING_BYTES,
    });
  }
}

class WatchedJournal extends Journal {
  readonly #written: () => void;

  constructor(written: () => void) {
    super(new MemoryStore());
    this.#written = written;
  }

  override async put(record: JobRecord): Promise<void> {
    if (record.written !== undefined) this.#written();
    await super.put(record);
  }
}

export interface TapeBench {
  readonly directory: string;
  readonly content: Buffer;
  readonly devices: DeviceRegistry;
  tap(cartridge: string): string;
  /** Bytes of archive that cartridges take before early warning; others take any number. */
  limit(bytes: ReadonlyMap<string, number>): void;
  /** Called when a backup is on tape and about to be read back; returns how to take it off. */
  onWritten(listener: () => void): () => void;
  /** Loads cartridges as they are; the drive must not hold one that a test writes to. */
  run(
    spec: Partial<JobSpec> & Pick<JobSpec, "type">,
    members?: readonly TestMember[],
  ): Promise<JobOutcome & { context: JobContext }>;
}

/** @param bytes of the disks "disk0" and "target". */
export async function tapeBench(t: ExecutionContext<unknown>, bytes: number): Promise<TapeBench> {
  const directory = await tmpDir(t, "bench");
  const content = rawBytes(bytes);
  writeFileSync(join(directory, "disk.img"), content);
  writeFileSync(join(directory, "target.img"), Buffer.alloc(bytes));
  mkdirSync(join(directory, "tapes"));
  const tables = deviceTables({
    disks: { disk0: { path: join(directory, "disk.img") }, target: { path: join(directory, "target.img") } },
    tapes: { tape0: { path: join(directory, "tapes") } },
  });
  const head = `[bridge]\nid = "b"\nstate_dir = "${directory}"\n[control]\nurl = "mqtt://localhost:1"\n[memory]\n[jobs]\nio_kib = 64\n`;
  const config = parseConfig(`${head}${tables}`, "bench");
  let limits: ReadonlyMap<string, number> = new Map();
  let written = (): void => {};
  const devices = new LimitedRegistry(native, config.device, (name) => limits.get(name));
  devices.start();
  const arena = native.createArena(16n << 20n);
  // A run of the engine that waits for segments does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(async () => {
    clearInterval(alive);
    await devices.stop();
    arena.close();
  });
  let jobs = 0;
  return {
    directory,
    content,
    devices,
    limit: (bytes) => {
      limits = bytes;
    },
    onWritten: (listener) => {
      written = listener;
      return () => {
        written = () => {};
      };
    },
    tap: (cartridge) => join(directory, "tapes", `${cartridge}.tap`),
    run: async (given, members = []) => {
      const jobId = given.jobId ?? `job-${++jobs}`;
      const chunks = makeList(members, 512, 1000);
      const header = {
        listId: "list",
        volume: VOLUME,
        blockBytes: 512 as const,
        members: members.length,
        extents: chunks.reduce((sum, chunk) => sum + BigInt(chunk.extents.lba.length), 0n),
        bytes: chunks.reduce((sum, { extents }) => sum + BigInt(extents.blocks.reduce((a, b) => a + b, 0)) * 512n, 0n),
        chunks: chunks.length,
        digest: new Uint8Array(32),
      };
      const spec: JobSpec = {
        jobId,
        keys: [],
        priority: 100,
        ...(given.disk === undefined ? {} : { listId: "list", volume: VOLUME }),
        options: {},
        tape: { device: "tape0", cartridges: [] },
        ...given,
      };
      const context: JobContext = {
        bridgeId: "b",
        native,
        arena,
        devices,
        lists: {
          header: () => header,
          device: () => spec.disk?.device,
          read: async (_id, index) =>
            chunks[index] ?? {
              index,
              members: [],
              extents: { fileOffset: new BigUint64Array(), lba: new BigUint64Array(), blocks: new Uint32Array() },
            },
          hold: () => () => {},
        },
        journal: new WatchedJournal(() => written()),
        clock: systemClock,
        log: silentLogger(),
        config: () => config.jobs,
        record: {
          spec,
          state: "running",
          archiveId: `archive-${jobId}`,
          submittedMs: CREATED_MS,
          volumes: [],
          tapeBlockBytes: spec.options.tapeBlockBytes ?? config.jobs.tape_block_kib * 1024,
          resumes: 0,
          lost: [],
        },
        control: new RunControl(),
        meter: new Meter(),
        closing: false,
        requestedBytesPerS: 0n,
      };
      await context.journal.put(context.record);
      try {
        return { ...(await runJob({ subject: spec } as unknown as Admitted<JobSpec>, context)), context };
      } catch (error) {
        return { state: "failed", failure: failureOf(error), context };
      }
    },
  };
}

/** The objects of a tape image: blocks, undefined for a filemark. */
export function tapObjects(image: Buffer): (Buffer | undefined)[] {
  const objects: (Buffer | undefined)[] = [];
  for (let at = 0; at + 4 <= image.length; ) {
    const length = image.readUInt32LE(at);
    if (length === 0xffffffff) break;
    objects.push(length === 0 ? undefined : image.subarray(at + 4, at + 4 + length));
    at += length === 0 ? 4 : 8 + length + (length & 1);
  }
  return objects;
}

/** A tape image of these objects. */
export function tapImage(objects: readonly (Buffer | undefined)[]): Buffer {
  return Buffer.concat(
    objects.flatMap((data) => {
      const word = Buffer.alloc(4);
      if (data === undefined) return [word];
      word.writeUInt32LE(data.length);
      return [word, data, Buffer.alloc(data.length & 1), word];
    }),
  );
}
