// What the agent reads: output of debugfs, superblocks, mounts, FIEMAP answers and records of its helper.
import test from "ava";
import { parseLs, parseStat, timeFields } from "../../../tools/agent/ext4-stat.js";
import { usableRuns } from "../../../tools/agent/fiemap-rules.js";
import { parseRecord } from "../../../tools/agent/helper.js";
import { deviceText, parseMountInfo } from "../../../tools/agent/mounts.js";
import { linkFault, nameFault, shown, utf8 } from "../../../tools/agent/names.js";
import { identityOf, parseFsFacts } from "../../../tools/agent/superblock.js";

test("ls -p: names may hold anything but a slash; unused room and dots are passed over", (t) => {
  const text =
    "/2/040755/0/0/.//\n/2/040755/0/0/..//\n/0/000000/0/0//0/\n" +
    '/12/100644/0/0/a\n|9|b"\xc3\xa9/3/\n' +
    "/13/120777/-1/5/debugfs: x/80/\n\n";
  t.deepEqual(
    parseLs(text).map(({ ino, mode, name }) => [ino, mode, name.toString()]),
    [
      [12, 0o100644, 'a\n|9|b"é'],
      [13, 0o120777, "debugfs: x"],
    ],
  );
  t.throws(() => parseLs("/12/100644/0/0/cut"), { code: "AGENT_TOOL" });
});

const stat = (rest: string, flags = "0x80000", mtime = "0x6b014954:00000000"): string =>
  `Inode: 12   Type: regular    Mode:  4751   Flags: ${flags}\nGeneration: 0    Version: 0x00000000:00000000\n` +
  "User: 100000   Group:    -2   Project:     0   Size: 36865\nFile ACL: 0\nLinks: 2   Blockcount: 14\n" +
  `Fragment:  Address: 0    Number: 0    Size: 0\n ctime: 0x0:0 -- x\n mtime: ${mtime} -- Sat Nov 21 2026\n${rest}`;

test("stat: owner, mode, size, links and extents; map blocks are no data, unwritten ones are marked", (t) => {
  const facts = parseStat(
    stat("EXTENTS:\n(ETB0):90, (0):1172, (2-4[u]):1190-1192, (9-10):5000000000-5000000001\n"),
    1024,
  );
  t.like(facts, { ino: 12, mode: 0o4751, uid: 100_000, gid: 4_294_967_294, size: 36_865n, links: 2 });
  t.deepEqual(facts.extents, [
    { logical: 0n, physical: 1172n * 1024n, length: 1024n, unwritten: false },
    { logical: 2048n, physical: 1190n * 1024n, length: 3072n, unwritten: true },
    { logical: 9216n, physical: 5_000_000_000n * 1024n, length: 2048n, unwritten: false },
  ]);
});

test("stat: block maps of old files", (t) => {
  const { extents } = parseStat(stat("BLOCKS:\n(0-1):10-11, (IND):567, (40):568\nTOTAL: 4\n\n"), 1024);
  t.deepEqual(
    extents.map(({ logical, physical, length }) => [logical, physical, length]),
    [
      [0n, 10_240n, 2048n],
      [40_960n, 581_632n, 1024n],
    ],
  );
  t.deepEqual(parseStat(stat("BLOCKS:\n\n"), 1024).extents, []);
  t.deepEqual(parseStat(stat("EXTENTS:\n"), 1024).extents, []);
});

test("stat: an attribute that imitates a map is not taken for one; other output is refused", (t) => {
  const fake = 'Extended attributes:\n  user.x\nEXTENTS:\n(0):1\n (3) = "bar"\nEXTENTS:\n(0):1172\n';
  t.is(parseStat(stat(fake), 1024).extents[0]?.physical, 1172n * 1024n);
  t.throws(() => parseStat(stat("EXTENTS:\n(0-x):1\n"), 1024), { code: "AGENT_TOOL" });
  t.throws(() => parseStat("<12>: File not found\n", 1024), { code: "AGENT_TOOL" });
});

for (const ns of [
  0n,
  1n,
  -1n,
  1_700_000_000_123_456_789n,
  -86_400_000_000_001n,
  2n ** 31n * 1_000_000_000n,
  15_032_385_534_999_999_999n,
  -(2n ** 31n) * 1_000_000_000n,
]) {
  test(`a time of ${ns} ns goes into an inode's fields and comes back`, (t) => {
    const { seconds, extra } = timeFields(ns);
    const hex = (n: number): string => n.toString(16).padStart(8, "0");
    t.is(parseStat(stat("EXTENTS:\n", "0x80000", `0x${hex(seconds)}:${hex(extra)}`), 1024).mtimeNs, ns);
  });
}

test("FIEMAP: unwritten is a hole, what lies past the end does not count, the rest is refused in words", (t) => {
  const extent = (logical: bigint, flags: number) => ({ logical, physical: 4096n, length: 4096n, flags });
  t.like(usableRuns([extent(0n, 0), extent(4096n, 0x801), extent(8192n, 0x6)], 8192n), {
    fault: undefined,
    shared: false,
  });
  t.is(usableRuns([extent(0n, 0), extent(4096n, 0x801)], 8192n).runs.length, 1);
  t.true(usableRuns([extent(0n, 0x2000)], 1n).shared);
  for (const flag of [0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400]) {
    t.is(typeof usableRuns([extent(0n, flag)], 1n).fault, "string", flag.toString(16));
  }
  for (const flag of [0x1, 0x1000]) t.is(usableRuns([extent(0n, flag)], 1n).fault, undefined);
});

test("records of the helper are read; those of another version are refused", (t) => {
  const end = Buffer.alloc(16);
  end.writeBigUInt64LE(7n);
  end.writeBigUInt64LE(1n, 8);
  t.deepEqual(parseRecord(3, end), { kind: "end", index: 7, changed: true });
  t.is(parseRecord(5, end), undefined);
  t.throws(() => parseRecord(6, end), { code: "AGENT_HELPER" });
});

test("mountinfo: escaped mount points, options of mount and of file system", (t) => {
  const [mount] = parseMountInfo(
    "36 35 7:0 / /mnt/a\\040b\\134 rw,noatime master:1 - ext4 /dev/loop0 rw,data=journal\nrubbish\n",
  );
  t.deepEqual(mount, {
    device: "7:0",
    root: "/",
    mountPoint: "/mnt/a b\\",
    fsType: "ext4",
    options: ["rw", "noatime", "rw", "data=journal"],
  });
  t.is(deviceText(0x700n), "7:0");
  t.is(deviceText(0xfd02n), "253:2");
  t.is(deviceText(0x100300n + 5n), "3:261");
});

test("names: UTF-8 only, relative, and shown with escapes when they are not text", (t) => {
  t.is(utf8(Buffer.from([0x61, 0xff])), undefined);
  t.is(shown(Buffer.from([0x61, 0xff])), "a\\xff");
  t.is(utf8(Buffer.from("\ufeffa")), "\ufeffa");
  t.is(nameFault("a/b"), undefined);
  for (const name of [undefined, "", "/a", "a/../b", "a//b", "x".repeat(5000)]) t.is(typeof nameFault(name), "string");
  for (const text of [undefined, "", "x".repeat(5000)]) t.is(typeof linkFault(text), "string");
});

test("superblocks: neither ext4 nor xfs is nothing; a new mkfs is a new generation", (t) => {
  t.is(parseFsFacts(Buffer.alloc(4096)), undefined);
  t.is(parseFsFacts(Buffer.alloc(100)), undefined);
  const ext4 = Buffer.alloc(4096);
  ext4.writeUInt16LE(0xef53, 1024 + 0x38);
  ext4.fill(0xab, 1024 + 0x68, 1024 + 0x78);
  ext4.writeUInt32LE(77, 1024 + 0x108);
  const facts = parseFsFacts(ext4);
  if (!facts) return t.fail();
  const uuid = "abababab-abab-abab-abab-abababababab";
  t.deepEqual(identityOf(facts, 3n), { id: uuid, generation: `${uuid}:77`, sequence: 3n });
});
