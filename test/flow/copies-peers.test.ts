// Third-party copies with real peers: QEMU as a server that offloads, tgtd's disk and tape drive behind the bridge, GNU tar as
// the reader of a tape that an EXTENDED COPY wrote, and gantry-xcopy as its user starts it.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { ustarBlock } from "../../src/copy/archive/ustar.js";
import { read6 } from "../../src/wire/cdb.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { type CopyPlant, type Name, pattern, startCopyPlant, TARGET, words } from "../lib/copy-plant.js";
import { CountingWay } from "../lib/counting-way.js";
import { startTgtd, type Tgtd } from "../lib/tgtd.js";
import { runProgram } from "./daemon-parts.js";

const run = promisify(execFile);
const MIB = 1 << 20;
const XCOPY = fileURLToPath(new URL("../../tools/xcopy/main.js", import.meta.url));
const QEMU_IMG = "/usr/bin/qemu-img";
const REWIND = Uint8Array.of(1, 0, 0, 0, 0, 0);
const UP = { hold: false, cat: false } as const;

test("qemu-img convert -C offloads all of a LUN, one copy after another and several at a time", async (t) => {
  const size = 32 * MIB;
  const plant = await startCopyPlant(t, {
    names: ["disk0", "disk1"],
    devices: (directory) => disks(directory, size),
  });
  const host = await plant.host("qemu");
  const way = await CountingWay.open(t, plant.port);
  const convert = async (...options: string[]): Promise<number> => {
    writeFileSync(join(plant.directory, "disk1"), Buffer.alloc(size), { flag: "r+" });
    const before = way.bytes;
    const [from, to] = [0, 1].map((lun) => image(way.port, host.initiator, lun)) as [string, string];
    const args = ["convert", ...options, "-n", "--image-opts", "--target-image-opts", from, to];
    await run(QEMU_IMG, args, { timeout: 60_000 });
    t.true(plant.disk("disk1").equals(plant.disk("disk0")), options.join(" "));
    return way.bytes - before;
  };
  const plain = await convert("-m", "1");
  t.true(plain > 2 * size, `${plain} bytes went through the host, so that a copy without offload shows`);
  for (const parallel of ["1", "16"]) {
    const bytes = await convert("-C", "-W", "-m", parallel);
    t.true(bytes < size / 100, `${bytes} bytes over the network with ${parallel} copies at a time`);
  }
});

test("statistics of the paths do not move by what a copy moves", async (t) => {
  const size = 16 * MIB;
  const plant = await startCopyPlant(t, { names: ["disk0", "disk1"], devices: (directory) => disks(directory, size) });
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk0"), await host.cscd("disk1")];
  const image = {
    kind: "block-image",
    source: 0,
    destination: 1,
    sourceLba: 0n,
    destinationLba: 0n,
    blocks: 0,
  } as const;
  t.is(words(await host.copy("disk0", cscds, [image])), "good");
  t.true(plant.disk("disk1").equals(plant.disk("disk0")));
  const paths = plant.servers.sessions().flatMap(({ luns }) => luns);
  const moved = paths.reduce((sum, path) => sum + Number((path.bytesIn ?? 0n) + (path.bytesOut ?? 0n)), 0);
  t.true(moved > 100 && moved < size / 100, `${moved} bytes`);
});

for (const fixed of [false, true]) {
  test(`disk → tape → disk behind tgtd by EXTENDED COPY alone, ${fixed ? "fixed" : "variable"} blocks and filemarks`, async (t) => {
    const { plant, content } = await tgtdPlant(t);
    const host = await plant.host("a");
    const tape = await host.cscd("tape0", fixed ? { fixed: true, blockBytes: 32_768 } : {});
    const blocks = { ...UP, transfer: fixed ? 2 : 65_536, blocks: 4096, source: 0, destination: 1 };
    const files = [0n, 6000n] as const;
    const out = await host.copy(
      "disk0",
      [await host.cscd("disk0"), tape],
      files.flatMap((lba) => [
        { kind: "block-stream", ...blocks, lba } as const,
        { kind: "filemarks", destination: 1, immediate: false, count: 1 } as const,
      ]),
    );
    t.is(words(out), "good");
    t.is(words(await host.send("tape0", REWIND)), "good");
    const first = await host.send("tape0", read6(fixed ? 32_768 : 65_536), { in: 65_536 });
    t.is(words(first), "good", "the block is as long as it was said");
    t.true(content.subarray(0, fixed ? 32_768 : 65_536).equals(first.data.subarray(0, fixed ? 32_768 : 65_536)));
    t.is(words(await host.send("tape0", REWIND)), "good");
    const back = await host.copy(
      "tape0",
      [tape, await host.cscd("disk1")],
      [
        // The second file first: over the filemark that stands before it, and back to the beginning.
        { kind: "space", destination: 0, code: 1, count: 1 },
        { kind: "stream-block", ...blocks, lba: 8192n },
        { kind: "locate", destination: 0, objectId: 0 },
        { kind: "stream-block", ...blocks, lba: 1n },
      ],
    );
    t.is(words(back), "good");
    const copied = plant.disk("disk1");
    const part = (from: Buffer, lba: number): Buffer => from.subarray(lba * 512, (lba + 4096) * 512);
    t.true(part(copied, 8192).equals(part(content, 6000)));
    t.true(part(copied, 1).equals(part(content, 0)));
  });
}

test("what a device of tgtd says is forwarded: a filemark, the end of data; and that it does not answer any more", async (t) => {
  const { plant, tgtd } = await tgtdPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("disk1"), await host.cscd("tape0")];
  const blocks = { ...UP, transfer: 65_536, blocks: 256, lba: 0n };
  const write = { kind: "block-stream", ...blocks, source: 0, destination: 1 } as const;
  const read = { kind: "stream-block", ...blocks, source: 1, destination: 0 } as const;
  const mark = { kind: "filemarks", destination: 1, immediate: false, count: 1 } as const;
  const back = { kind: "locate", destination: 1, objectId: 0 } as const;
  const atMark = await host.copy("disk0", cscds, [write, mark, write, back, read, { ...read, lba: 1000n }]);
  t.is(words(atMark), "a/d/4", "less than was asked for");
  const first = decodeCopySense(atMark.sense);
  t.is(first.segment, 5);
  t.is((first.source?.sense[2] ?? 0) & 0x80, 0x80, "the drive's FILEMARK bit");
  const atEnd = await host.copy("disk0", cscds, [read, read]);
  t.is(words(atEnd), "a/d/4");
  const second = decodeCopySense(atEnd.sense);
  t.is(second.segment, 1);
  t.is((second.source?.sense[2] ?? 0) & 0x0f, 8, "BLANK CHECK");
  await tgtd.kill();
  t.regex(words(await host.copy("disk0", cscds, [{ ...read, blocks: 1 }])), /^a\/d\/[12]$/);
});

test("a list with tar headers in it makes a tape that GNU tar reads", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const members = [
    { name: "folder/first.bin", lba: 40n, bytes: 5000 },
    { name: "second.bin", lba: 2000n, bytes: 100 * 512 },
    { name: "third.bin", lba: 9n, bytes: 1 },
  ];
  const mtime = 1_700_000_000n;
  const headers = members.map(({ name, bytes }) => ustarBlock({ name, typeflag: "0", size: BigInt(bytes), mtime }));
  const zeros = 512;
  const padding = members.map(({ bytes }) => -bytes & 511);
  const stream = { cat: true, destination: 1, transfer: 10_240 } as const;
  const total = members.reduce((sum, { bytes }, at) => sum + 512 + bytes + (padding[at] ?? 0), 0) + 1024;
  const fill = -total % 10_240 === 0 ? 0 : 10_240 - (total % 10_240);
  const segments = members.flatMap(({ lba, bytes }, at) => [
    { kind: "inline-stream", ...stream, inlineOffset: at * 512, byteCount: 512 } as const,
    { kind: "offset-stream", ...stream, source: 0, lba, byteOffset: 0, byteCount: bytes } as const,
    { kind: "embedded-stream", ...stream, data: new Uint8Array(padding[at] ?? 0) } as const,
  ]);
  const answer = await host.copy(
    "disk0",
    [await host.cscd("disk0"), await host.cscd("tape0")],
    [
      ...segments,
      { kind: "inline-stream", ...stream, cat: false, inlineOffset: 3 * zeros, byteCount: 1024 + fill },
      { kind: "filemarks", destination: 1, immediate: false, count: 1 },
    ],
    { inline: Buffer.concat([...headers, Buffer.alloc(1024 + fill)]) },
  );
  t.is(words(answer), "good");
  await host.send("tape0", REWIND);
  const blocks: Uint8Array[] = [];
  for (;;) {
    const block = await host.send("tape0", read6(10_240), { in: 10_240 });
    if (block.status !== 0) break;
    blocks.push(block.data);
  }
  t.is(blocks.length, (total + fill) / 10_240);
  const archive = join(plant.directory, "archive.tar");
  writeFileSync(archive, Buffer.concat(blocks));
  const { stdout } = await run("tar", ["-tvf", archive]);
  t.deepEqual(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/).at(-1)),
    members.map(({ name }) => name),
  );
  const into = join(plant.directory, "out");
  mkdirSync(into);
  await run("tar", ["-xf", archive, "-C", into]);
  for (const { name, lba, bytes } of members)
    t.deepEqual(
      readFileSync(join(into, name)),
      plant.disk("disk0").subarray(Number(lba) * 512, Number(lba) * 512 + bytes),
    );
});

test("gantry-xcopy copies a disk to a tape and back, and explains what the bridge refuses", async (t) => {
  const plant = await startCopyPlant(t);
  const { initiator } = await plant.host("user");
  const unit = (lun: number): string => `iscsi://127.0.0.1:${plant.port}/${TARGET}/${lun}`;
  const xcopy = (...args: string[]) => runProgram(XCOPY, [...args, "--initiator", initiator]);
  const devices = ["--device", "s=this", "--device", "d=lun:1", "--device", "t=lun:3"];
  const out = await xcopy("copy", unit(0), "blocks s@0+2048 -> t/64KiB", "filemarks t 1", ...devices);
  t.is(out.code, 0, out.stderr);
  const back = await xcopy("copy", unit(0), "locate t 0", "tape t/64KiB -> d@100+2048", ...devices, "--json");
  t.is(back.code, 0, back.stderr);
  const [from, to] = [plant.disk("disk0"), plant.disk("disk1")];
  t.true(to.subarray(100 * 512, 2148 * 512).equals(from.subarray(0, 2048 * 512)));
  const wrong = await xcopy("copy", unit(0), "blocks s@0+8 -> d@0", "blocks s@0+8 -> d@99999999", ...devices);
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /COPY ABORTED in segment 1[\s\S]*blocks s@0\+8 -> d@99999999/);
  const parameters = await xcopy("parameters", unit(0));
  t.is(parameters.code, 0, parameters.stderr);
});

const disks = (directory: string, size: number): string =>
  (["disk0", "disk1"] as const)
    .map((name, seed) => {
      writeFileSync(join(directory, name), seed === 0 ? pattern(size, 3) : Buffer.alloc(size));
      return `[[device]]\nname = "${name}"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, name)}"\nwriters = "many"\n`;
    })
    .join("");

/** How QEMU is told where a LUN is, and under which name it logs in: both LUNs under one, which has the keys. */
const image = (port: number, initiator: string, lun: number): string =>
  `driver=iscsi,transport=tcp,portal=127.0.0.1:${port},target=${TARGET},lun=${lun},initiator-name=${initiator}`;

test("commands of the copy manager are among those that tgtd's disk and tape drive report to support", async (t) => {
  const { plant } = await tgtdPlant(t);
  const host = await plant.host("a");
  for (const [name, populates] of [
    ["disk0", true],
    ["tape0", false],
  ] as const) {
    const all = await host.send(name, Uint8Array.of(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0), { in: 4096 });
    if (words(all) === "good") {
      t.is(((all.data[2] ?? 0) << 8) | (all.data[3] ?? 0), all.data.length - 4);
      t.true(Buffer.from(all.data).includes(Buffer.of(0x84, 0, 0, 0x05, 0, 1, 0, 16)));
      t.true(Buffer.from(all.data).includes(Buffer.of(0x12, 0)), "its own rows stay");
    } else t.is(words(all), "5/20/0", "it has no such report");
    for (const [action, supported] of [
      [0x01, true],
      [0x10, populates],
    ] as const) {
      const cdb = Uint8Array.of(0xa3, 0x0c, 2, 0x83, 0, action, 0, 0, 0, 64, 0, 0);
      const one = await host.send(name, cdb, { in: 64 });
      t.is((one.data[1] ?? 0) & 0x07, supported ? 3 : 1, `${name} ${action}`);
    }
  }
});

interface TgtdPlant {
  readonly plant: Omit<CopyPlant, "disk"> & { disk(name: Name): Buffer };
  readonly content: Buffer;
  readonly tgtd: Tgtd;
}

async function tgtdPlant(t: ExecutionContext): Promise<TgtdPlant> {
  const tgtd = await startTgtd({ disks: [8, 8], tapes: [64] });
  t.teardown(() => tgtd.close());
  const content = pattern(8 * MIB, 7);
  const files = { disk0: tgtd.units[0]?.file ?? "", disk1: tgtd.units[1]?.file ?? "" };
  writeFileSync(files.disk0, content, { flag: "r+" });
  const names = ["disk0", "disk1", "tape0"] as const;
  const table = (name: Name, lun: number): string => `[[device]]
name = "${name}"
type = "${name === "tape0" ? "tape" : "disk"}"
transport = "iscsi"
portal = "${tgtd.portal}"
target = "${tgtd.target}"
lun = ${lun}
connect_timeout_s = 1
${name === "tape0" ? "" : 'writers = "many"'}
`;
  const plant = await startCopyPlant(t, {
    names,
    devices: () => names.map((name, at) => table(name, at + 1)).join(""),
  });
  return {
    tgtd,
    content,
    plant: { ...plant, disk: (name) => readFileSync(name === "disk0" ? files.disk0 : files.disk1) },
  };
}
