// What the suite "xcopy" measures on: a gantryd with two disks in memory, and a server that has both as LUNs and orders
// copies.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Lu, native } from "../../src/native/index.js";
import { inquiry } from "../../src/wire/cdb.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { encodeCopyList } from "../../src/wire/xcopy/copy-list.js";
import { type BinaryDesignator, DESIGNATOR, decodeDesignators } from "../../src/wire/xcopy/designator.js";
import { BenchBridge, DISK_BLOCK_BYTES } from "./bridge.js";
import { freePort, TARGET } from "./copy-iscsi.js";

export const INITIATOR = "iqn.2024-01.test.gantry:copier";
const COPY_MS = 600_000;
/** sysconf(_SC_CLK_TCK), which Linux has fixed for programs. */
const TICKS = 100;
/** Blocks that one segment can tell of. */
const SEGMENT_BLOCKS = 65_535;
const LUNS = { disk0: 0, disk1: 1 } as const;

/** Blocks from disk0 to the same place on disk1. */
export interface Extent {
  readonly lba: number;
  readonly blocks: number;
}

export interface XcopyPlant {
  readonly port: number;
  /** Of the daemon. */
  readonly pid: number;
  /** Image options of QEMU. */
  image(disk: keyof typeof LUNS): string;
  copier(port?: number): Promise<Copier>;
  close(): Promise<void>;
}

export async function startXcopyPlant(folder: string, disk0: string, disk1: string): Promise<XcopyPlant> {
  const bridge = await BenchBridge.make(join(folder, "bridge"));
  try {
    const port = await freePort();
    const luns = Object.entries(LUNS).map(([device, lun]) => `{ lun = ${lun}, device = "${device}" }`);
    await bridge.start(
      disk0,
      undefined,
      `[[device]]
name = "disk1"
type = "disk"
transport = "virtual"
block_bytes = ${DISK_BLOCK_BYTES}
path = "${disk1}"
[iscsi]
portals = ["127.0.0.1:${port}"]
[[target]]
name = "${TARGET}"
luns = [${luns.join(", ")}]
`,
    );
    await bridge.online();
    await bridge.grant(INITIATOR, Object.keys(LUNS));
    return {
      port,
      pid: bridge.pid,
      image: (disk) =>
        `driver=iscsi,transport=tcp,portal=127.0.0.1:${port},target=${TARGET},lun=${LUNS[disk]},initiator-name=${INITIATOR}`,
      copier: (by = port) => Copier.open(by),
      close: () => bridge.close(),
    };
  } catch (error) {
    await bridge.close();
    throw error;
  }
}

/** A server that orders copies over one session. */
export class Copier {
  readonly #lu: Lu;
  readonly #designators: readonly BinaryDesignator[];

  private constructor(lu: Lu, designators: readonly BinaryDesignator[]) {
    this.#lu = lu;
    this.#designators = designators;
  }

  static async open(port: number): Promise<Copier> {
    const designators = [];
    for (const lun of Object.values(LUNS)) {
      const lu = await openLu(port, lun);
      designators.push(await designatorOf(lu));
      await lu.close();
    }
    return new Copier(await openLu(port, LUNS.disk0), designators);
  }

  /** The parameter list of a copy; extents that are longer than a segment can be become several. */
  list(extents: readonly Extent[]): Uint8Array {
    const pieces = extents.flatMap(({ lba, blocks }) =>
      Array.from({ length: Math.ceil(blocks / SEGMENT_BLOCKS) }, (_, at) => {
        const done = at * SEGMENT_BLOCKS;
        return { lba: lba + done, blocks: Math.min(SEGMENT_BLOCKS, blocks - done) };
      }),
    );
    return encodeCopyList({
      form: "LID1",
      striped: false,
      listIdUsage: 2,
      priority: 1,
      listId: 1,
      goodSense: false,
      immediate: false,
      cscds: this.#designators.map((designator) => ({
        form: "identification",
        nul: false,
        deviceType: 0,
        initiatorPort: 0,
        pad: false,
        fixed: false,
        blockBytes: DISK_BLOCK_BYTES,
        designator,
      })),
      segments: pieces.map(({ lba, blocks }) => ({
        kind: "block-block",
        hold: false,
        cat: false,
        destinationCount: false,
        source: 0,
        destination: 1,
        blocks,
        sourceLba: BigInt(lba),
        destinationLba: BigInt(lba),
      })),
      inline: new Uint8Array(0),
    });
  }

  /** Resolves when the copy is done. */
  async copy(list: Uint8Array): Promise<void> {
    const cdb = encodeCopyCommand({ kind: "copy-lid1", listId: 0, length: list.length });
    const { status, sense } = await this.#lu.execute(cdb, { timeoutMs: COPY_MS, dataOut: list });
    if (status !== 0) throw new Error(`EXTENDED COPY: status ${status}, sense ${Buffer.from(sense).toString("hex")}`);
  }

  close(): Promise<void> {
    return this.#lu.close();
  }
}

async function openLu(port: number, lun: number): Promise<Lu> {
  const portal = `127.0.0.1:${port}`;
  const lu = await native.openLu({ transport: "iscsi", portal, target: TARGET, lun, initiator: INITIATOR });
  // Unit attentions.
  for (let tries = 0; tries < 8; tries++) if ((await lu.execute(new Uint8Array(6))).status === 0) break;
  return lu;
}

async function designatorOf(lu: Lu): Promise<BinaryDesignator> {
  const { data } = await lu.execute(inquiry(252, 0x83), { dataIn: 252 });
  const found = decodeDesignators(data).find(({ type, association }) => type === DESIGNATOR.NAA && association === 0);
  if (found === undefined) throw new Error("a disk has no NAA designator");
  return found;
}

/** User and system time of a process, in steps of 10 ms (proc(5)). */
export function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
