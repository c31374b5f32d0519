// The suite "xcopy": disk to disk through the bridge by EXTENDED COPY, against the same copy through the host by qemu-img,
// which reads from one LUN and writes to the other; many small segments against a large one; what goes over the network.
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { DISK_BLOCK_BYTES } from "./bridge.js";
import { fill } from "./copy.js";
import { freePort } from "./copy-iscsi.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";
import { runPeer } from "./run.js";
import { type Copier, cpuSecondsOf, type Extent, startXcopyPlant, type XcopyPlant } from "./xcopy-plant.js";

const MIB = 1 << 20;
const KIB = 1024;
const QEMU_IMG = "/usr/bin/qemu-img";
const QEMU_ISCSI = ["/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so", "/usr/lib/aarch64-linux-gnu/qemu/block-iscsi.so"];
const THROUGH_HOST = ["-m", "16", "-W"];
const SEGMENTS = 100;
const SEGMENT_BLOCKS = (64 * KIB) / DISK_BLOCK_BYTES;
/** Copies of 6.25 MB in one measurement, since one is over in a few milliseconds. */
const ROUNDS = 20;
const QUICK_ROUNDS = 2;
/** PDU header (RFC 7143 11.2.1): of the command, and of its response. */
const HEADERS = 2 * 48;

interface Took {
  readonly seconds: number;
  /** Of the bridge and of the host together. */
  readonly cpuSeconds: number;
}

export async function measureXcopy(options: BenchOptions): Promise<readonly Row[]> {
  const { folder, mib, say } = options;
  if (!existsSync(QEMU_IMG) || !QEMU_ISCSI.some(existsSync))
    throw new Error("qemu-utils and qemu-block-extra have to be installed");
  const [from, to] = [join(folder, "from.img"), join(folder, "to.img")];
  await fill(from, mib);
  writeFileSync(to, "");
  truncateSync(to, mib * MIB);
  say("xcopy: starting gantryd");
  const plant = await startXcopyPlant(folder, from, to);
  try {
    const copier = await plant.copier();
    try {
      const rows = [...(await whole(options, plant, copier, from, to)), ...(await small(options, copier))];
      return [...rows, await network(options, plant)];
    } finally {
      await copier.close();
    }
  } finally {
    await plant.close();
  }
}

/** All of the disk, by each way in turn. */
async function whole(
  { mib, runs, say }: BenchOptions,
  plant: XcopyPlant,
  copier: Copier,
  from: string,
  to: string,
): Promise<Row[]> {
  const list = copier.list([all(mib)]);
  const qemu = (options: readonly string[]) => async (): Promise<Took> => {
    const before = cpuSecondsOf(plant.pid);
    const images = [plant.image("disk0"), plant.image("disk1")];
    const args = ["convert", ...options, "-n", "--image-opts", "--target-image-opts", ...images];
    const { seconds, cpuSeconds } = await runPeer(QEMU_IMG, args);
    return { seconds, cpuSeconds: cpuSeconds + cpuSecondsOf(plant.pid) - before };
  };
  const ways = {
    extended: () => timed(plant.pid, () => copier.copy(list)),
    host: qemu(THROUGH_HOST),
    offloaded: qemu(["-C", ...THROUGH_HOST]),
  };
  const took: Record<keyof typeof ways, Took[]> = { extended: [], host: [], offloaded: [] };
  // The first turn makes the pages of the destination and shows that each way copies; it is not counted.
  for (let index = -1; index < runs; index++) {
    say(`xcopy: run ${index + 1} of ${runs}`);
    for (const way of Object.keys(ways) as (keyof typeof ways)[]) {
      if (index < 0) writeFileSync(to, Buffer.alloc(mib * MIB), { flag: "r+" });
      const one = await ways[way]();
      if (index >= 0) took[way].push(one);
      else if (!readFileSync(to).equals(readFileSync(from)))
        throw new Error(`${way}: the copy differs from its source`);
    }
  }
  const gib = mib / KIB;
  const rates = (some: readonly Took[]): number[] => some.map(({ seconds }) => gib / seconds);
  const costs = (some: readonly Took[]): number[] => some.map(({ cpuSeconds }) => cpuSeconds / gib);
  const peerName = `qemu-img convert ${THROUGH_HOST.join(" ")}`;
  const { extended, host, offloaded } = took;
  const peer = { rate: { peer: rates(host), peerName }, cost: { peer: costs(host), peerName, lowerIsBetter: true } };
  const cpu = "processor of bridge and host";
  return [
    row({ name: "EXTENDED COPY, whole disk", unit: "GiB/s", ours: rates(extended), ...peer.rate, target: 3 }),
    row({ name: `  ${cpu}`, unit: "s/GiB", ours: costs(extended), ...peer.cost }),
    row({ name: "qemu-img convert -C", unit: "GiB/s", ours: rates(offloaded), ...peer.rate }),
    row({ name: `  ${cpu}`, unit: "s/GiB", ours: costs(offloaded), ...peer.cost }),
  ];
}

/** As many bytes in one segment and in a hundred that lie apart; and how long a copy takes that moves next to nothing. */
async function small({ runs, quick, say }: BenchOptions, copier: Copier): Promise<Row[]> {
  const one = copier.list([{ lba: 0, blocks: SEGMENTS * SEGMENT_BLOCKS }]);
  const apart = Array.from({ length: SEGMENTS }, (_, at) => ({ lba: at * 2 * SEGMENT_BLOCKS, blocks: SEGMENT_BLOCKS }));
  const lists = { one, hundred: copier.list(apart), least: copier.list(apart.slice(0, 1)) };
  const rounds = quick ? QUICK_ROUNDS : ROUNDS;
  const seconds: Record<keyof typeof lists, number[]> = { one: [], hundred: [], least: [] };
  for (let index = -1; index < runs; index++) {
    say(`xcopy: small segments, run ${index + 1} of ${runs}`);
    for (const kind of Object.keys(lists) as (keyof typeof lists)[]) {
      const start = performance.now();
      for (let round = 0; round < rounds; round++) await copier.copy(lists[kind]);
      if (index >= 0) seconds[kind].push((performance.now() - start) / rounds / 1000);
    }
  }
  const gib = (SEGMENTS * SEGMENT_BLOCKS * DISK_BLOCK_BYTES) / MIB / KIB;
  const rates = (some: readonly number[]): number[] => some.map((each) => gib / each);
  return [
    row({
      name: `${SEGMENTS} segments of 64 KiB`,
      unit: "GiB/s",
      ours: rates(seconds.hundred),
      peer: rates(seconds.one),
      peerName: "one segment of as many bytes",
      target: 0.7,
    }),
    row({
      name: "a copy of 64 KiB",
      unit: "ms",
      ours: seconds.least.map((each) => each * 1000),
      peerName: "nothing",
      lowerIsBetter: true,
    }),
  ];
}

/** Bytes of a copy between server and bridge beside the command with its list and the response. */
async function network({ mib, runs, say }: BenchOptions, plant: XcopyPlant): Promise<Row> {
  say("xcopy: bytes over the network");
  const counter = { bytes: 0 };
  const port = await freePort();
  const server = net.createServer((near) => relay(near, plant.port, counter));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const payload: number[] = [];
  try {
    const copier = await plant.copier(port);
    const list = copier.list([all(mib)]);
    for (let index = 0; index < runs; index++) {
      const before = counter.bytes;
      await copier.copy(list);
      payload.push(counter.bytes - before - HEADERS - list.length);
    }
    await copier.close();
  } finally {
    server.close();
  }
  return row({
    name: "EXTENDED COPY, payload over the network",
    unit: "bytes",
    ours: payload,
    peerName: "nothing",
    target: 0,
    lowerIsBetter: true,
  });
}

function relay(near: net.Socket, port: number, counter: { bytes: number }): void {
  const far = net.connect(port, "127.0.0.1");
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    from.on("data", (data) => (counter.bytes += data.length));
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}

const all = (mib: number): Extent => ({ lba: 0, blocks: (mib * MIB) / DISK_BLOCK_BYTES });

async function timed(pid: number, work: () => Promise<void>): Promise<Took> {
  const [before, own] = [cpuSecondsOf(pid), process.cpuUsage()];
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(own);
  return { seconds, cpuSeconds: cpuSecondsOf(pid) - before + (user + system) / 1e6 };
}
