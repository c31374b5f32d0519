// What the agent reads: programs' output about a file system that may hold anything, superblocks, and list files.
import { Buffer } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseLs, parseStat } from "../../../tools/agent/ext4-stat.js";
import { usableRuns } from "../../../tools/agent/fiemap-rules.js";
import { Glist, writeGlist } from "../../../tools/agent/glist.js";
import { parseRecord } from "../../../tools/agent/helper.js";
import { emptyTotals } from "../../../tools/agent/list-source.js";
import { parseMountInfo } from "../../../tools/agent/mounts.js";
import { identityOf, parseFsFacts } from "../../../tools/agent/superblock.js";
import { makeList } from "../../lib/archives.js";
import { must, type Target } from "../target.js";

const latin1 = (input: Uint8Array): string => Buffer.from(input).toString("latin1");

const STAT = `Inode: 12   Type: regular    Mode:  0644   Flags: 0x80000
Generation: 1    Version: 0x00000000:00000001
User:  1000   Group:  1000   Project:     0   Size: 40960
File ACL: 0
Links: 1   Blockcount: 80
Fragment:  Address: 0    Number: 0    Size: 0
 ctime: 0x6553f100:00000000 -- Tue Nov 14 22:13:20 2023
 atime: 0x6553f100:00000000 -- Tue Nov 14 22:13:20 2023
 mtime: 0x6553f100:1dcd6500 -- Tue Nov 14 22:13:20 2023
crtime: 0x6553f100:00000000 -- Tue Nov 14 22:13:20 2023
Size of extra inode fields: 32
EXTENTS:
(ETB0):90, (0-3):100-103, (4):200, (6-9[u]):300-303
`;
const LINK = `${STAT.slice(0, STAT.indexOf("EXTENTS"))}Fast link dest: "${"x".repeat(40)}"\n`.replace("40960", "40");
const LS = "/2/040755/0/0/./4096/\n/2/040755/0/0/../4096/\n/12/100644/1000/1000/a b\xff/5/\n/0/000000/0/0///\n";
const MOUNTS = `29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
36 29 8:17 /sub /mnt/a\\040b rw - xfs /dev/sdb1 rw,attr2
`;

function ext4(): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt32LE(1000, 1024 + 4);
  bytes.writeUInt16LE(0xef53, 1024 + 0x38);
  bytes.writeUInt32LE(2, 1024 + 0x18);
  bytes.writeUInt16LE(256, 1024 + 0x58);
  bytes.write("label", 1024 + 0x78);
  return bytes;
}

function xfs(): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.write("XFSB");
  bytes.writeUInt32BE(4096, 4);
  bytes.writeBigUInt64BE(5000n, 8);
  return bytes;
}

/** Records of gantry-fsmap (csrc/agent/fsmap.h), the kind in front. */
function record(kind: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(kind), data]);
}

function node(): Buffer {
  const data = Buffer.alloc(88 + 4);
  data.writeUInt32LE(4, 80);
  data.write("link", 88);
  return data;
}

function extent(): Buffer {
  const data = Buffer.alloc(32);
  data.writeBigUInt64LE(4096n, 8);
  data.writeBigUInt64LE(8192n, 16);
  return data;
}

function failure(): Buffer {
  const data = Buffer.alloc(16 + 7);
  data.writeInt32LE(2, 8);
  data.writeUInt32LE(7, 12);
  data.write("missing", 16);
  return data;
}

async function inFolder<T>(use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-fuzz-"));
  try {
    return await use(join(folder, "list.glist"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function glist(): Promise<Uint8Array> {
  const chunks = makeList(
    [
      { name: "a", at: [[0, 5, 2]] },
      { name: "d", type: "directory" },
    ],
    512,
  );
  const totals = { ...emptyTotals(), members: 2, extents: 1n, bytes: 1024n, chunks: 1 };
  const volume = { id: "v", generation: "g", sequence: 1n };
  return inFolder(async (path) => {
    const source = {
      volume,
      blockBytes: 512 as const,
      totals,
      chunks: (async function* () {
        yield* chunks;
      })(),
    };
    await writeGlist(path, "l", source);
    const { readFile } = await import("node:fs/promises");
    return Uint8Array.from(await readFile(path));
  });
}

export const agentTargets: readonly Target[] = [
  {
    name: "agent-ls",
    codes: ["AGENT_TOOL"],
    seeds: () => [Buffer.from(LS, "latin1")],
    run: (input) => {
      const entries = parseLs(latin1(input));
      for (const { name, ino } of entries) {
        must(!name.includes("/") && ino > 0, "an entry has a name of one part and an inode");
      }
      return entries;
    },
  },
  {
    name: "agent-stat",
    codes: ["AGENT_TOOL"],
    seeds: () => [Buffer.from(STAT, "latin1"), Buffer.from(LINK, "latin1")],
    run: (input) => {
      const facts = parseStat(latin1(input), 4096);
      for (const { logical, physical, length } of facts.extents) {
        must(length > 0n && logical >= 0n && physical >= 0n, "an extent has a length");
      }
      must(
        facts.fastLink === undefined || BigInt(facts.fastLink.length) === facts.size,
        "a link is as long as its size",
      );
      must(Number.isSafeInteger(facts.ino) && Number.isSafeInteger(facts.links), "numbers are exact");
      return facts;
    },
  },
  {
    name: "agent-fsmap",
    codes: ["AGENT_HELPER"],
    seeds: () => [
      record(1, node()),
      record(2, Buffer.concat([extent(), extent()])),
      record(3, Buffer.alloc(16)),
      record(4, failure()),
      record(5, Buffer.alloc(0)),
    ],
    run: (input) => {
      const event = parseRecord(input[0] ?? 0, Buffer.from(input.subarray(1)));
      if (event?.kind !== "extents") return event;
      const { runs, fault } = usableRuns(event.extents, 1n << 40n);
      must(fault !== undefined || runs.every(({ logical }) => logical < 1n << 40n), "runs begin within the file");
      return event;
    },
  },
  {
    name: "agent-mounts",
    codes: [],
    seeds: () => [Buffer.from(MOUNTS)],
    run: (input) => parseMountInfo(latin1(input)),
  },
  {
    name: "agent-superblock",
    codes: [],
    seeds: () => [ext4(), xfs()],
    run: (input) => {
      const facts = parseFsFacts(Buffer.from(input));
      if (facts === undefined) return undefined;
      must(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(facts.uuid), "a UUID is a UUID");
      return [facts, identityOf(facts, 1n)];
    },
  },
  {
    name: "agent-glist",
    cost: 10,
    codes: ["AGENT_LIST_FILE", "LIST_INVALID", "MESSAGE_MALFORMED", "MESSAGE_TOO_LARGE"],
    seeds: async () => [await glist()],
    run: (input) =>
      inFolder(async (path) => {
        await writeFile(path, input);
        const list = await Glist.open(path);
        try {
          const chunks: unknown[] = [];
          for await (const chunk of list.chunks()) chunks.push(chunk);
          return chunks;
        } finally {
          await list.close();
        }
      }),
    proportion: 200,
  },
];
