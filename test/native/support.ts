// What the tests of the data plane share: a scratch folder, emulated devices with units open on them, and a
// run of the engine that collects its events.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Arena,
  type Copy,
  type CopyEvent,
  type CopyLu,
  type CopyOptions,
  type EmulatedDevice,
  type EmulatedTape,
  type Lu,
  loadNative,
  type Native,
} from "../../src/native/index.js";

/** GANTRY_ADDON names another build of the addon, for instance one with a sanitizer. */
export function testAddon(): Native {
  const { GANTRY_ADDON: file } = process.env;
  return file === undefined ? loadNative() : loadNative(file);
}

export const native: Native = testAddon();

/** A folder of its own under the system's temporary folder, gone when `drop` is called. */
export function scratch(): { readonly folder: string; drop(): void } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-native-"));
  return { folder, drop: () => rmSync(folder, { recursive: true, force: true }) };
}

export const Cdb = {
  testUnitReady: () => new Uint8Array(6),
  rewind: () => Uint8Array.of(0x01, 0, 0, 0, 0, 0),
  inquiry: (room: number) => Uint8Array.of(0x12, 0, 0, room >> 8, room & 0xff, 0),
  read10: (lba: number, blocks: number) => tenByte(0x28, lba, blocks),
  write10: (lba: number, blocks: number) => tenByte(0x2a, lba, blocks),
} as const;

function tenByte(opcode: number, lba: number, blocks: number): Uint8Array {
  const cdb = new Uint8Array(10);
  const view = new DataView(cdb.buffer);
  view.setUint8(0, opcode);
  view.setUint32(2, lba);
  view.setUint16(7, blocks);
  return cdb;
}

/** Takes away the unit attentions that a new nexus and a new cartridge have. */
export async function ready(lu: Lu): Promise<void> {
  for (let tries = 0; tries < 8; tries++) {
    const answer = await lu.execute(Cdb.testUnitReady());
    if (answer.outcome === "delivered" && answer.status === 0) return;
  }
  throw new Error("the unit does not become ready");
}

export const BLOCK = 512;
export const RING = 4 << 20;
export const TAPE_BLOCK = 65_536;

/** A disk with a unit open on it. */
export interface TestDisk {
  readonly path: string;
  readonly device: EmulatedDevice;
  readonly lu: Lu;
  readonly unit: CopyLu;
}

export async function openTestDisk(plane: Native, path: string, blocks: bigint): Promise<TestDisk> {
  const device = plane.openDisk({ path, blockBytes: BLOCK, blocks });
  const lu = await plane.openLu({ transport: "virtual", device });
  await ready(lu);
  return { path, device, lu, unit: { lu, type: 0, blockBytes: BLOCK, blocks, maxIoBytes: 0 } };
}

export interface TestTape {
  readonly device: EmulatedTape;
  readonly lu: Lu;
  readonly unit: CopyLu;
}

export async function openTestTape(plane: Native, path: string): Promise<TestTape> {
  const device = plane.openTape({});
  await device.load({ path });
  const lu = await plane.openLu({ transport: "virtual", device });
  await ready(lu);
  return { device, lu, unit: { lu, type: 1, blockBytes: 0, blocks: 0n, maxIoBytes: 0 } };
}

export type DoneEvent = Extract<CopyEvent, { readonly type: "done" }>;

export interface Run {
  readonly copy: Copy;
  readonly events: CopyEvent[];
  /** Resolves with the last event. */
  readonly done: Promise<DoneEvent>;
}

/** Starts a run on the units; its events collect by themselves. */
export function run(
  plane: Native,
  arena: Arena,
  lus: readonly CopyLu[],
  options: Partial<CopyOptions> = {},
  onEvent: (event: CopyEvent, copy: Copy) => void = () => {},
): Run {
  const events: CopyEvent[] = [];
  let settle: (event: DoneEvent) => void = () => {};
  const done = new Promise<DoneEvent>((resolve) => {
    settle = resolve;
  });
  const copy: Copy = plane.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus, ...options }, () => {
    for (const event of copy.take()) {
      events.push(event);
      onEvent(event, copy);
      if (event.type === "done") settle(event);
    }
  });
  return { copy, events, done };
}
