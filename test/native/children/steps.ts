// How far a program came before it ended: each step leaves the data plane in another state. Run as a
// process or as a worker thread; `ending` says how it ends after the step.
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Copy, type CopyLu, type EmulatedTape, type Native, ProgramBuilder } from "../../../src/native/index.js";
import { Cdb, openTestDisk, openTestTape, RING, TAPE_BLOCK, type TestDisk, type TestTape } from "../support.js";

const BLOCKS = 65_536n;

interface Stage {
  readonly plane: Native;
  readonly folder: string;
}
interface Devices {
  readonly disk: TestDisk;
  readonly tape: TestTape;
}

async function devices({ plane, folder }: Stage): Promise<Devices> {
  return {
    disk: await openTestDisk(plane, join(folder, "disk"), BLOCKS),
    tape: await openTestTape(plane, join(folder, "tape.tap")),
  };
}

/** A copy to a tape that would take half a minute. */
async function slowCopy(stage: Stage, onEvents: () => void): Promise<Devices & { readonly copy: Copy }> {
  const { disk, tape } = await devices(stage);
  tape.device.pace(1n << 20n);
  const copy = start(stage.plane, [disk.unit, tape.unit], onEvents);
  const size = BLOCKS * 512n;
  const program = new ProgramBuilder().extent("gather", 0, 0n, size, 1).tape("scatter", 1, size).take();
  copy.append(program.gather, program.scatter, program.inline);
  return { disk, tape, copy };
}

function start(plane: Native, lus: readonly CopyLu[], onEvents: () => void): Copy {
  const arena = plane.createArena(16n << 20n);
  return plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus, checkpointMs: 1 }, onEvents);
}

/** A copy of nothing, until its last event is there; `take` is called for it if wanted. */
async function emptyCopy(stage: Stage, taking: boolean): Promise<void> {
  const { disk } = await devices(stage);
  await new Promise<void>((resolve) => {
    const copy = start(stage.plane, [disk.unit], () => {
      const last = taking ? copy.take().at(-1) : undefined;
      if (!taking || last?.type === "done") resolve();
    });
    copy.finish();
  });
}

const nothing = (): void => {};

/** A drive that takes a cartridge of 100,000 filemarks without an index: it is read from its beginning to its end. */
function scanned(plane: Native, folder: string): { readonly tape: EmulatedTape; readonly load: Promise<void> } {
  const path = join(folder, "long.tap");
  writeFileSync(path, Buffer.alloc(400_000));
  const tape = plane.openTape({});
  return { tape, load: tape.load({ path }) };
}

/** Begins what must not be awaited; whoever does not expect its failure hears of it. */
function begin(work: Promise<unknown>): void {
  work.then(nothing, nothing);
}

export const STEPS: Readonly<Record<string, (stage: Stage) => unknown>> = {
  loaded: ({ plane }) => plane.crc32c(new Uint8Array(9)),
  "devices open": async ({ plane, folder }) => {
    plane.openDisk({ path: join(folder, "disk"), blockBytes: 512, blocks: BLOCKS });
    await plane.openTape({}).load({ path: join(folder, "tape.tap") });
  },
  "a cartridge being scanned": ({ plane, folder }) => begin(scanned(plane, folder).load),
  "a cartridge being scanned, its drive closed": ({ plane, folder }) => {
    const { tape, load } = scanned(plane, folder);
    begin(load);
    tape.close();
  },
  "a cartridge being unloaded": async ({ plane, folder }) => {
    const { tape, load } = scanned(plane, folder);
    await load;
    begin(tape.unload());
    begin(tape.load({ path: join(folder, "next.tap") }));
    tape.close();
  },
  "a unit being opened": ({ plane, folder }) => {
    const device = plane.openDisk({ path: join(folder, "disk"), blockBytes: 512, blocks: BLOCKS });
    begin(plane.openLu({ transport: "virtual", device }));
  },
  "units open": devices,
  "a unit being closed": async (stage) => begin((await devices(stage)).disk.lu.close()),
  "units closed": async (stage) => {
    const { disk, tape } = await devices(stage);
    await Promise.all([disk.lu.close(), tape.lu.close()]);
  },
  "an arena made": ({ plane }) => plane.createArena(16n << 20n),
  "a copy that waits for segments": async (stage) => start(stage.plane, [(await devices(stage)).disk.unit], nothing),
  "a copy under way": async (stage) => {
    await slowCopy(stage, nothing);
    await sleep(30);
  },
  "a copy under way, cancelled": async (stage) => {
    const { copy } = await slowCopy(stage, () => copy.take());
    await sleep(10);
    copy.cancel();
  },
  "a copy under way, being closed": async (stage) => {
    const { copy } = await slowCopy(stage, nothing);
    await sleep(10);
    begin(copy.close());
  },
  "a copy under way, its units being closed": async (stage) => {
    const { disk, tape } = await slowCopy(stage, nothing);
    await sleep(10);
    begin(disk.lu.close());
    begin(tape.lu.close());
  },
  "a copy done and not closed": (stage) => emptyCopy(stage, true),
  "everything closed": async (stage) => {
    const { disk, tape, copy } = await slowCopy(stage, nothing);
    await copy.close();
    await Promise.all([disk.lu.close(), tape.lu.close()]);
    disk.device.close();
    tape.device.close();
  },
};

/** Steps that keep a process alive, because something is pending for long: they can only be broken off. */
export const LASTING_STEPS: Readonly<Record<string, (stage: Stage) => unknown>> = {
  "a copy under way, all its segments given": async (stage) => {
    const { copy } = await slowCopy(stage, nothing);
    copy.finish();
    await sleep(10);
  },
  "a copy done, its events not taken": (stage) => emptyCopy(stage, false),
  "a command that takes ten minutes": async (stage) => {
    const { disk } = await devices(stage);
    disk.device.inject({ opcode: 0x28, delayMs: 600_000 });
    begin(disk.lu.execute(Cdb.read10(0, 1), { dataIn: 512, timeoutMs: 900_000 }));
    begin(disk.lu.execute(Cdb.read10(0, 1), { dataIn: 512, timeoutMs: 900_000 }));
    await sleep(10);
  },
  "a unit of a target that never answers": async ({ plane }) => {
    const server = createServer(nothing);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    begin(
      plane.openLu({
        transport: "iscsi",
        portal: `127.0.0.1:${port}`,
        target: "iqn.2024-01.test:deaf",
        lun: 0,
        initiator: "iqn.2024-01.test:us",
        connectTimeoutMs: 120_000,
      }),
    );
    await sleep(30);
  },
};
