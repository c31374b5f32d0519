// A copy that takes its time, for tests of what happens to one while it runs: seven segments of a MiB from disk0 to disk1,
// which is paced, ordered of big0 by an initiator that can send more on the same nexus.
import type { ExecutionContext } from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import type { CopyForm, CopyList } from "../../src/wire/xcopy/copy-list.js";
import { decodeStatusLid1, decodeStatusLid4, STATUS_LID1, type StatusLid1 } from "../../src/wire/xcopy/copy-results.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type CopyHost, type CopyPlant, type Name, startCopyPlant, words } from "./copy-plant.js";
import { type Flying, type RawCopyHost, rawHost } from "./raw-copies.js";

export const ENTRY = "big0";
export const MIB = 1 << 20;
const SEGMENTS = 7;
const BLOCKS = 2048;
const PACE = BigInt(MIB);
const TEST_UNIT_READY = new Uint8Array(6);
const ROOM = 8192;

export interface SlowCopies {
  readonly plant: CopyPlant;
  readonly host: CopyHost;
  readonly raw: RawCopyHost;
  /** disk0, disk1, big0. */
  readonly cscds: readonly IdentificationCscd[];
  segments(form?: CopyForm): readonly Segment[];
  /** Begins the copy, and resolves when some of it is written. */
  begin(more?: Partial<CopyList>): Promise<Flying>;
  /** Paced anew: a copy that runs ends soon. */
  hurry(): void;
  /** Another session, of this host or another; its unit attentions are taken. */
  login(isid: string, host?: CopyHost): Promise<RawCopyHost>;
}

export async function startSlow(t: ExecutionContext<unknown>): Promise<SlowCopies> {
  // Few and short commands are under way at a time: where a copy ends it ends soon.
  const plant = await startCopyPlant(t, { tables: "[jobs]\nio_kib = 64\ndepth = 2\n" });
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("disk1"), await host.cscd(ENTRY)];
  await host.close();
  const login = async (isid: string, of = host): Promise<RawCopyHost> => {
    const raw = await rawHost(t, plant, of, isid);
    for (const name of [ENTRY, "disk0", "disk1"] as const) await raw.send(name, TEST_UNIT_READY);
    return raw;
  };
  const raw = await login("400001370001");
  plant.devices.emulated("disk1")?.pace(PACE);
  const segments = (form?: CopyForm) =>
    Array.from({ length: SEGMENTS }, (_, at) => blocks(BigInt(at * BLOCKS), form === "LID4" ? 1 : 0));
  return {
    ...{ plant, host, raw, cscds, segments, login },
    begin: async (more) => {
      const copy = raw.copy(ENTRY, cscds, segments(more?.form), more);
      for (;;) if ((await statusOf(raw, ENTRY, more?.listId)).count > 0) return copy;
    },
    hurry: () => plant.devices.emulated("disk1")?.pace(0n),
  };
}

const blocks = (lba: bigint, source: number): Segment => ({
  ...{ kind: "block-block", hold: false, cat: false, destinationCount: false, source, destination: source + 1 },
  ...{ blocks: BLOCKS, sourceLba: lba, destinationLba: lba },
});

export const receive = (
  kind: "status-lid1" | "status-lid4" | "data-lid1" | "data-lid4" | "failure-details",
  listId = 1,
): Uint8Array => encodeCopyCommand({ kind, listId, length: ROOM });

/** @throws what it says when there is no such copy */
export async function statusOf(raw: RawCopyHost, at: Name, listId?: number): Promise<StatusLid1> {
  const answer = await raw.send(at, receive("status-lid1", listId), { room: ROOM });
  if (answer.status !== 0) throw new Error(words(answer));
  return decodeStatusLid1(answer.data);
}

export async function statusOfLid4(raw: RawCopyHost, at: Name, listId?: number) {
  const answer = await raw.send(at, receive("status-lid4", listId), { room: ROOM });
  if (answer.status !== 0) throw new Error(words(answer));
  return decodeStatusLid4(answer.data);
}

/** Its status when it has ended; that is told once. */
export async function endOf(raw: RawCopyHost, at: Name, listId?: number): Promise<StatusLid1> {
  for (;;) {
    const status = await statusOf(raw, at, listId);
    if (status.status !== STATUS_LID1.RUNNING) return status;
  }
}

/** Bytes at the beginning of disk1 that are those of disk0, and whether all behind them are as they were. */
export function copied(plant: CopyPlant, before: Buffer): { readonly bytes: number; readonly restAsBefore: boolean } {
  const [from, to] = [plant.disk("disk0"), plant.disk("disk1")];
  let bytes = 0;
  while (bytes < to.length && to.subarray(bytes, bytes + 512).equals(from.subarray(bytes, bytes + 512))) bytes += 512;
  return { bytes, restAsBefore: to.subarray(bytes).equals(before.subarray(bytes)) };
}
