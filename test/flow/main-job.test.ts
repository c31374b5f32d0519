// The main job over emulated devices: from an ext4 file system through the real daemon and a real MQTT server to
// tape, and back by Gantry and by tar.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { Glist, writeGlist } from "../../tools/agent/glist.js";
import { prepareImage } from "../../tools/agent/prepare-image.js";
import { restoreMembers } from "../../tools/agent/restore-map.js";
import { compareFolders } from "../../tools/demo/compare.js";
import { deviceTables, type Plant, startPlant, succeeded, tapFile } from "../lib/job-plant.js";
import { makeImage, makeServer, type ServerFiles, toolEnv } from "../lib/server-files.js";
import { untar } from "../lib/tar-tape.js";

const AGENT = fileURLToPath(new URL("../../tools/agent/main.js", import.meta.url));
const KIB = 1024;
const MIB = 1024 * KIB;
const ROOM_MIB = 40;

interface Shape {
  readonly diskBlockBytes: 512 | 4096;
  readonly tapeBlockBytes: number;
  readonly sha256: boolean;
}

async function start(t: ExecutionContext, mib: number, diskBlockBytes: 512 | 4096): Promise<Plant & ServerFiles> {
  let server: ServerFiles | undefined;
  const plant = await startPlant(t, {
    devices: async (directory) => {
      server = await makeServer(directory, mib, ROOM_MIB, diskBlockBytes);
      writeFileSync(join(directory, "other.img"), "");
      truncateSync(join(directory, "other.img"), (mib + ROOM_MIB) * MIB);
      return deviceTables({
        disks: {
          disk0: { path: server.image, blockBytes: diskBlockBytes },
          other: { path: join(directory, "other.img"), blockBytes: diskBlockBytes },
        },
        tapes: { tape0: { path: join(directory, "tapes") } },
      });
    },
  });
  if (server === undefined) throw new Error("no server was made");
  return { ...plant, ...server };
}

/** Every file of an unmounted file system, which must be sound, into a folder. */
function readImage(image: string, to: string): void {
  mkdirSync(to);
  execFileSync("e2fsck", ["-fn", image], { stdio: ["ignore", "ignore", "pipe"], env: toolEnv() });
  execFileSync("debugfs", ["-R", `rdump / ${to}`, image], { stdio: ["ignore", "ignore", "ignore"], env: toolEnv() });
}

async function prepared(list: string, image: string, out: string, blockBytes: 512 | 4096): Promise<string> {
  const glist = await Glist.open(list);
  const members = restoreMembers(glist.chunks(), glist.header.blockBytes);
  await writeGlist(out, "back", await prepareImage({ image, members, blockBytes }));
  await glist.close();
  return out;
}

interface ManifestLine {
  readonly name?: string;
  readonly type?: string;
  readonly size?: number;
  readonly bytes?: number;
  readonly sha256?: string;
}

function manifestOf(folder: string): readonly ManifestLine[] {
  const text = readFileSync(join(folder, ".gantry/manifest.jsonl"), "utf8");
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as ManifestLine);
}

const mainJob = test.macro(async (t, { diskBlockBytes, tapeBlockBytes, sha256 }: Shape) => {
  const { bridge, directory, original, image, list } = await start(t, 8, diskBlockBytes);
  const tape = { device: "tape0", cartridges: ["A00001"] };
  const options = { tapeBlockBytes, sha256 };
  const spec = { disk: { device: "disk0" }, tape };
  const source = { file: list, device: "disk0" };

  const backup = await bridge.run({ jobId: "backup", type: "backup", ...spec, options }, source);
  succeeded(t, backup);
  t.is(backup.tapeBlockBytes, tapeBlockBytes);
  t.deepEqual(backup.lost, []);
  const [volume] = backup.volumes;
  t.like(volume, { cartridge: "A00001", firstObject: 0n, from: 0n });
  // The archive fills its last block up, and the filemark behind that is the object that the report names.
  t.is((volume?.to ?? 0n) / BigInt(tapeBlockBytes), volume?.endObject ?? -1n);
  t.is((volume?.to ?? 0n) % BigInt(tapeBlockBytes), 0n);

  const verify = await bridge.run({ jobId: "verify", type: "verify", tape, options: { sha256 } });
  succeeded(t, verify);
  t.is(verify.membersDone, verify.membersTotal - (await withoutData(list)));
  t.is(verify.tapeBlockBytes, tapeBlockBytes, "the size was found out from the tape");

  const untarred = join(directory, "untarred");
  await untar(tapFile(directory, "A00001"), untarred);
  t.deepEqual((await compareFolders(original, untarred, [".gantry"])).differences, []);
  const digested = manifestOf(untarred).filter(({ type, sha256: digest }) => type === "file" && digest !== undefined);
  t.is(digested.length > 200, sha256);
  for (const { name = "", size, bytes, sha256: digest } of digested)
    if (bytes === size) t.is(digest, sha256Of(join(untarred, name)), name);

  makeImage(image, 8 + ROOM_MIB);
  const back = await prepared(list, image, join(directory, "back.glist"), diskBlockBytes);
  const restore = await bridge.run(
    { jobId: "restore", type: "restore", ...spec, options: { sha256 } },
    { file: back, device: "disk0" },
  );
  succeeded(t, restore);
  const restored = join(directory, "restored");
  readImage(image, restored);
  const byGantry = await compareFolders(original, restored, ["lost+found"]);
  t.deepEqual(byGantry.differences, []);
  t.true(byGantry.files > 200);
});

const sha256Of = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Members of a list that have no blocks. */
async function withoutData(list: string): Promise<number> {
  const glist = await Glist.open(list);
  let count = 0;
  for await (const chunk of glist.chunks()) count += chunk.members.filter(({ extents }) => extents === 0).length;
  await glist.close();
  return count;
}

test.serial(
  "a disk of 512-byte blocks to tape blocks of 64 KiB with SHA-256: verified, and every file comes back by Gantry and by tar",
  mainJob,
  { diskBlockBytes: 512, tapeBlockBytes: 64 * KIB, sha256: true },
);
test.serial(
  "a disk of 4096-byte blocks to tape blocks of 1 MiB: verified, and every file comes back by Gantry and by tar",
  mainJob,
  { diskBlockBytes: 4096, tapeBlockBytes: MIB, sha256: false },
);

test.serial(
  "a whole file system, as gantry-agent lists it, comes back as an image onto another disk, and by tar",
  async (t) => {
    const { bridge, directory, original, image } = await start(t, 8, 512);
    const list = join(directory, "whole.glist");
    const back = join(directory, "back.glist");
    for (const [listId, out] of Object.entries({ whole: list, back }))
      execFileSync(process.execPath, [AGENT, "list", "--image", image, "--whole", "--list-id", listId, "--out", out], {
        env: toolEnv(),
      });
    const tape = { device: "tape0", cartridges: ["A00001"] };
    succeeded(
      t,
      await bridge.run(
        { jobId: "backup", type: "backup", disk: { device: "disk0" }, tape, options: { sha256: true } },
        { file: list, device: "disk0" },
      ),
    );
    const restore = await bridge.run(
      { jobId: "restore", type: "restore", disk: { device: "other" }, tape },
      { file: back, device: "other" },
    );
    succeeded(t, restore);
    t.is(restore.membersDone, 1);
    const other = join(directory, "other.img");
    readImage(other, join(directory, "by-gantry"));
    t.deepEqual((await compareFolders(original, join(directory, "by-gantry"), ["lost+found"])).differences, []);

    await untar(tapFile(directory, "A00001"), join(directory, "untarred"));
    const [member] = manifestOf(join(directory, "untarred")).filter(({ type }) => type === "image");
    const extracted = join(directory, "untarred", member?.name ?? "none");
    t.true(readFileSync(extracted).equals(readFileSync(other)), "tar and Gantry made the same disk");
  },
);
