// Restoring with tar alone: what GNU tar, bsdtar and Python make of archives, compared byte for byte.
import { execFile } from "node:child_process";
import { promises as fs } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { contentOf, MTIME_NS, makeArchive, makeDisk, type TestMember } from "../lib/archives.js";
import type { MemoryTape } from "../lib/execute-program.js";
import { tapeBytes } from "../lib/execute-program.js";

const run = promisify(execFile);
const disk = makeDisk(300, 512);
const isRoot = process.getuid?.() === 0;

async function tempDir(t: ExecutionContext): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), "gantry-tar-"));
  t.teardown(() => fs.rm(dir, { recursive: true, force: true }));
  return dir;
}

interface Extracted {
  readonly dir: string;
  readonly stderr: string;
}

/** Extracts tapes, as files, with a tar program. */
async function extract(
  t: ExecutionContext,
  tapes: readonly MemoryTape[],
  command: readonly string[],
  locale = "C.UTF-8",
): Promise<Extracted> {
  const dir = await tempDir(t);
  const files = await Promise.all(
    tapes.map(async (tape, i) => {
      const file = path.join(dir, `volume${i + 1}`);
      await fs.writeFile(file, tapeBytes(tape));
      return file;
    }),
  );
  const target = path.join(dir, "out");
  await fs.mkdir(target);
  const [program = "tar", ...args] = command;
  const env = { ...process.env, LC_ALL: locale };
  // Nobody answers tar when it asks for another cartridge: it fails.
  const child = run(program, [...args, "-C", target, ...files.flatMap((file) => ["-f", file])], { env });
  child.child.stdin?.end();
  const { stderr } = await child;
  return { dir: target, stderr };
}

async function differences(dir: string, members: readonly TestMember[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const member of members) {
    const file = path.join(dir, member.type === "image" ? `${member.name}.img` : member.name);
    const stat = await fs.lstat(file, { bigint: true }).catch(() => undefined);
    if (stat === undefined) {
      wrong.push(`${member.name} is missing`);
      continue;
    }
    if (member.type !== "symlink" && member.type !== "hardlink") {
      if (stat.mtimeNs !== (member.mtimeNs ?? MTIME_NS)) wrong.push(`${member.name}: time ${stat.mtimeNs}`);
      if ((Number(stat.mode) & 0o7777) !== (member.mode ?? 0o644)) wrong.push(`${member.name}: mode ${stat.mode}`);
      if (isRoot && Number(stat.uid) !== (member.uid ?? 1000)) wrong.push(`${member.name}: uid ${stat.uid}`);
      if (isRoot && Number(stat.gid) !== (member.gid ?? 1000)) wrong.push(`${member.name}: gid ${stat.gid}`);
    }
    if (member.type === "directory" && !stat.isDirectory()) wrong.push(`${member.name} is no directory`);
    if (member.type === "symlink" && (await fs.readlink(file)) !== member.linkName) wrong.push(`${member.name}: link`);
    if (member.type === "hardlink" && stat.nlink !== 2n) wrong.push(`${member.name}: ${stat.nlink} links`);
    const plain = member.type === undefined || member.type === "file" || member.type === "image";
    if (plain && !(await fs.readFile(file)).equals(contentOf(member, disk))) wrong.push(`${member.name}: content`);
  }
  return wrong;
}

const EVERYTHING: readonly TestMember[] = [
  { name: "plain", at: [[0, 3, 7]], size: 3333n, mode: 0o640 },
  {
    name: "sparse-tail",
    at: [
      [2, 20, 3],
      [10, 40, 4],
    ],
    size: BigInt(14 * 512 - 100),
  },
  { name: "sparse-hole", at: [[2, 60, 3]], size: 100000n },
  { name: "all-hole", size: 5000n },
  { name: "empty", size: 0n },
  {
    name: "preallocated",
    at: [
      [0, 70, 2],
      [2, 80, 9],
    ],
    size: 700n,
  },
  {
    name: "disk",
    type: "image",
    at: [
      [0, 100, 1],
      [5, 102, 4],
      [9, 120, 2],
    ],
    size: BigInt(12 * 512),
  },
  { name: "hard", type: "hardlink", linkName: "plain", mode: 0o640 },
  { name: "soft", type: "symlink", linkName: "plain", mode: 0o777 },
  { name: `soft-${"l".repeat(90)}`, type: "symlink", linkName: `a/${"t".repeat(200)}`, mode: 0o777 },
  { name: "sub", type: "directory", mode: 0o750 },
  { name: "sub/file", at: [[0, 130, 2]], mtimeNs: MTIME_NS + 123456789n },
];

const NAMES: readonly [string, string][] = [
  ["UTF-8", "Ünïcødé-名前-🎞"],
  ["100 bytes", "n".repeat(100)],
  ["101 bytes", "n".repeat(101)],
  ["255 bytes", "n".repeat(255)],
  ["a path of 600 bytes", `${"p".repeat(200)}/${"q".repeat(200)}/${"r".repeat(198)}`],
  ["a newline", "two\nlines"],
  ["a leading dash", "-rf"],
  ["a backslash and quotes", "a\\b\"c'd"],
  ["blanks around it", " blank "],
  ["an equals sign and digits", "12 path=x"],
];

const GNU = ["tar", "-xp"];
const BSD = ["bsdtar", "-xp"];

for (const tapeBlockBytes of [512, 10240, 262144]) {
  for (const command of [GNU, BSD]) {
    test(`${command[0]} restores everything from tape blocks of ${tapeBlockBytes} bytes`, async (t) => {
      const archive = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes });
      const { dir, stderr } = await extract(t, archive.tapes, command);
      t.is(stderr, "");
      t.deepEqual(await differences(dir, EVERYTHING), []);
    });
  }
}

for (const [title, name] of NAMES) {
  for (const command of [GNU, BSD]) {
    test(`${command[0]} restores a plain and a sparse file with ${title} in the name`, async (t) => {
      const members: TestMember[] = [
        { name, at: [[0, 3, 2]] },
        { name: `dir/${name}`, at: [[3, 7, 2]], size: 5000n },
      ];
      const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096 });
      const { dir } = await extract(t, archive.tapes, command);
      t.deepEqual(await differences(dir, members), []);
    });
  }
}

const TIMES: readonly [string, bigint][] = [
  ["nanoseconds", 1_234_567_890_123_456_789n],
  ["1960", -300_000_000_000_000_000n],
  ["2106", 4_300_000_000_000_000_000n],
  ["1970", 0n],
];

for (const [title, mtimeNs] of TIMES) {
  test(`tar and bsdtar restore a time in ${title}`, async (t) => {
    const members: TestMember[] = [{ name: "f", at: [[0, 3, 2]], mtimeNs }];
    const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096 });
    for (const command of [GNU, BSD]) {
      const { dir } = await extract(t, archive.tapes, command);
      t.deepEqual(await differences(dir, members), [], command[0]);
    }
  });
}

test("tar restores a fraction of a second before 1970; bsdtar, which takes -1.5 for -0.5, comes near", async (t) => {
  const members: TestMember[] = [{ name: "f", at: [[0, 3, 2]], mtimeNs: -1_500_000_000n }];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096 });
  const { dir } = await extract(t, archive.tapes, GNU);
  t.deepEqual(await differences(dir, members), []);
  const other = await extract(t, archive.tapes, BSD);
  const { mtimeMs } = await fs.stat(path.join(other.dir, "f"));
  t.true(mtimeMs > -2500 && mtimeMs < 0);
});

(isRoot ? test : test.skip)("tar and bsdtar restore owners above 2097151", async (t) => {
  const members: TestMember[] = [
    { name: "f", at: [[0, 3, 2]], uid: 2097152, gid: 4000000000 },
    { name: "s", at: [[3, 3, 2]], uid: 3000000000, gid: 2097151, uname: "grüße", gname: "g".repeat(40) },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096 });
  for (const command of [GNU, BSD]) {
    const { dir } = await extract(t, archive.tapes, [...command, "--numeric-owner"]);
    t.deepEqual(await differences(dir, members), [], command[0]);
  }
});

test("tar and bsdtar restore an image of 9 GiB with holes, as holes", async (t) => {
  const size = 9n << 30n;
  const members: TestMember[] = [
    {
      name: "huge",
      type: "image",
      at: [
        [0, 1, 1],
        [18874360, 9, 2],
      ],
      size,
    },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 262144 });
  for (const command of [GNU, BSD]) {
    const { dir } = await extract(t, archive.tapes, command);
    const file = await fs.open(path.join(dir, "huge.img"));
    const stat = await file.stat({ bigint: true });
    const { buffer } = await file.read(Buffer.alloc(1536), 0, 1536, 18874360 * 512);
    await file.close();
    t.is(stat.size, size);
    t.true(stat.blocks * 512n < 1n << 20n, "holes took up space");
    t.true(buffer.equals(Buffer.concat([disk.data.subarray(9 * 512, 11 * 512), Buffer.alloc(512)])), command[0]);
  }
});

test("Python's tarfile reads the sparse map and the content", async (t) => {
  const archive = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes: 4096 });
  const dir = await tempDir(t);
  await fs.writeFile(path.join(dir, "tape"), archive.stream);
  const script = `
import sys, json, tarfile, hashlib
with tarfile.open(sys.argv[1]) as tar:
    print(json.dumps([[m.name, m.size, m.sparse, hashlib.sha256(tar.extractfile(m).read()).hexdigest()] for m in tar if m.isreg()]))`;
  const { stdout } = await run("python3", ["-c", script, path.join(dir, "tape")]);
  const rows = JSON.parse(stdout) as [string, number, number[][] | null, string][];
  const { createHash } = await import("node:crypto");
  const plain = EVERYTHING.filter(({ type }) => type === undefined || type === "image");
  for (const member of plain) {
    const row = rows.find(([name]) => name === (member.type === "image" ? `${member.name}.img` : member.name));
    t.is(row?.[3], createHash("sha256").update(contentOf(member, disk)).digest("hex"), member.name);
  }
  t.deepEqual(rows.find(([name]) => name === "sparse-tail")?.[2], [
    [1024, 1536],
    [5120, 1948],
    [7068, 0],
  ]);
});

test("tar -xO gives an image with its holes filled, ready for a disk", async (t) => {
  const archive = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes: 4096 });
  const file = path.join(await tempDir(t), "tape");
  await fs.writeFile(file, archive.stream);
  const { stdout } = await run("tar", ["-b", "8", "-xOf", file, "disk.img"], { encoding: "buffer" });
  const image = EVERYTHING.find(({ name }) => name === "disk") ?? { name: "" };
  t.true(stdout.equals(contentOf(image, disk)));
});

test("tar lists every member once, the archive's own around them", async (t) => {
  const archive = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes: 4096 });
  const file = path.join(await tempDir(t), "tape");
  await fs.writeFile(file, archive.stream);
  const names = EVERYTHING.map(({ name, type }) =>
    type === "image" ? `${name}.img` : type === "directory" ? `${name}/` : name,
  );
  const expected = [".gantry/README.txt", ...names, ".gantry/blocks.crc32c", ".gantry/manifest.jsonl"];
  for (const program of ["tar", "bsdtar"]) {
    const { stdout } = await run(program, ["-tf", file]);
    t.deepEqual(stdout.trimEnd().split("\n"), expected, program);
  }
});

test("the layout is that of GNU tar's own sparse 1.0 members", async (t) => {
  const dir = await tempDir(t);
  const file = await fs.open(path.join(dir, "s"), "w");
  await file.truncate(200000);
  await file.write(Buffer.alloc(5000, 1), 0, 5000, 8192);
  await file.write(Buffer.alloc(4096, 2), 0, 4096, 65536);
  await file.close();
  const { stdout } = await run("tar", ["-cf", "-", "--format=posix", "--sparse", "-b1", "-C", dir, "s"], {
    encoding: "buffer",
  });
  const content = Buffer.alloc(300 * 512);
  content.fill(1, 0, 5000);
  content.fill(2, 8192, 8192 + 4096);
  const members: TestMember[] = [
    {
      name: "s",
      at: [
        [16, 0, 16],
        [128, 16, 8],
      ],
      size: 200000n,
    },
  ];
  const archive = await makeArchive({ members, disk: { blockBytes: 512, data: content }, tapeBlockBytes: 512 });
  const theirs = stdout.indexOf("3\n8192\n8192\n65536\n4096\n200000\n0\n");
  const ours = archive.stream.indexOf("3\n8192\n8192\n65536\n4096\n200000\n0\n");
  t.true(theirs > 0);
  const bytes = 512 + 8192 + 4096;
  t.true(archive.stream.subarray(ours, ours + bytes).equals(stdout.subarray(theirs, theirs + bytes)));
  for (const record of [
    "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=s\n30 GNU.sparse.realsize=200000\n",
  ]) {
    t.true(stdout.includes(record) && archive.stream.includes(record));
  }
});

const MULTI = [...GNU, "-M"];

test("tar -M restores an archive cut at any tape block, wherever that falls", async (t) => {
  const members: readonly TestMember[] = [
    ...EVERYTHING,
    { name: `dir/${"ü".repeat(70)}`, at: [[0, 140, 2]], size: 900n },
    {
      name: `dir/s${"ü".repeat(70)}`,
      at: [
        [1, 140, 1],
        [3, 150, 2],
      ],
      size: BigInt(5 * 512 - 1),
    },
    { name: "many", at: Array.from({ length: 90 }, (_, i) => [3 * i, i, 1] as const), size: 140000n },
  ];
  const whole = await makeArchive({ members, disk, tapeBlockBytes: 512 });
  for (let cut = 1; cut < whole.stream.length / 512; cut++) {
    const archive = await makeArchive({ members, disk, tapeBlockBytes: 512, cut: [cut] });
    const { dir, stderr } = await extract(t, archive.tapes, [...MULTI, "-b1"]);
    t.is(stderr, "", `cut ${cut}`);
    t.deepEqual(await differences(dir, members), [], `cut ${cut}`);
  }
});

test("tar -M restores an archive over five cartridges, with the blocking factor or its own", async (t) => {
  const whole = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes: 4096 });
  t.true(whole.stream.length / 4096 >= 9);
  const archive = await makeArchive({ members: EVERYTHING, disk, tapeBlockBytes: 4096, cut: [2, 1, 3, 1] });
  t.is(archive.tapes.length, 5);
  for (const factor of [["-b8"], [], ["-b1"]]) {
    const { dir, stderr } = await extract(t, archive.tapes, [...MULTI, ...factor]);
    t.is(stderr, "");
    t.deepEqual(await differences(dir, EVERYTHING), [], factor.join());
  }
});

for (const locale of ["C", "C.UTF-8"]) {
  test(`tar -M restores a split file with a UTF-8 name in locale ${locale}`, async (t) => {
    const members: TestMember[] = [{ name: "Größe-名前", at: [[1, 3, 60]], size: 40000n }];
    const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096, cut: [3, 2] });
    t.is(archive.tapes.length, 3);
    const { dir, stderr } = await extract(t, archive.tapes, MULTI, locale);
    t.is(stderr, "");
    t.deepEqual(await differences(dir, members), []);
  });
}

test("tar -M is not misled by a path that has 'g', 'M' or 'V' where a header has its type", async (t) => {
  for (const letter of ["g", "M", "V"]) {
    const members: TestMember[] = [
      { name: Array.from({ length: 8 }, () => letter.repeat(199)).join("/"), at: [[0, 3, 1]] },
    ];
    const whole = await makeArchive({ members, disk, tapeBlockBytes: 512 });
    const start = whole.stream.indexOf(`path=${letter}`) - 5;
    for (let cut = Math.floor(start / 512); cut < start / 512 + 5; cut++) {
      const archive = await makeArchive({ members, disk, tapeBlockBytes: 512, cut: [cut] });
      const { dir, stderr } = await extract(t, archive.tapes, MULTI);
      t.is(stderr, "");
      t.deepEqual(await differences(dir, members), []);
    }
  }
});

test("tar -M refuses cartridges in the wrong order", async (t) => {
  const members: TestMember[] = [{ name: "f", at: [[0, 3, 60]] }];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096, cut: [3, 2] });
  const [first = [], second = [], third = []] = archive.tapes;
  await t.throwsAsync(extract(t, [first, third, second], MULTI), { message: /out of sequence/ });
});

test("a further cartridge alone gives tar the rest of the split file and all members behind it", async (t) => {
  const members: TestMember[] = [
    { name: "split", at: [[0, 3, 60]] },
    { name: "whole", at: [[0, 100, 5]] },
  ];
  const archive = await makeArchive({ members, disk, tapeBlockBytes: 4096, cut: [3] });
  const { dir } = await extract(t, archive.tapes.slice(1), GNU);
  t.deepEqual(await differences(dir, members.slice(1)), []);
  const rest = await fs.readFile(path.join(dir, "GNUFileParts", "continued-at-12288"));
  const content = contentOf(members[0] ?? { name: "" }, disk);
  t.true(content.subarray(-rest.length).equals(rest));
});
