// The bundle, in a folder with no node_modules above it: does the main job, and answers its shell.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "ava";
import { DAEMON, makeBundle, SHELL } from "../../tools/bundle/bundle.js";
import { compareFolders } from "../../tools/demo/compare.js";
import { deviceTables, startPlant, succeeded, tapFile } from "../lib/job-plant.js";
import { makeServer } from "../lib/server-files.js";
import { untar } from "../lib/tar-tape.js";
import { tmpDir } from "../lib/tmp.js";
import { runProgram } from "./daemon-parts.js";

const MIB = 4;
const ROOM_MIB = 40;

test("the bundled daemon needs nothing of the tree: a backup is taken, verified and read by tar, and its shell answers", async (t) => {
  const folder = await tmpDir(t, "bundle");
  for (let above = folder; above !== dirname(above); above = dirname(above))
    t.false(existsSync(join(above, "node_modules")), above);
  await makeBundle(folder);

  let original = "";
  let list = "";
  const { bridge, directory } = await startPlant(t, {
    program: join(folder, DAEMON),
    devices: async (plant) => {
      const server = await makeServer(plant, MIB, ROOM_MIB, 4096);
      ({ original, list } = server);
      return deviceTables({
        disks: { disk0: { path: server.image, blockBytes: 4096 } },
        tapes: { tape0: { path: join(plant, "tapes") } },
      });
    },
  });
  const tape = { device: "tape0", cartridges: ["A00001"] };
  const backup = await bridge.run(
    { jobId: "backup", type: "backup", disk: { device: "disk0" }, tape },
    { file: list, device: "disk0" },
  );
  succeeded(t, backup);
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape }));
  const untarred = join(directory, "untarred");
  await untar(tapFile(directory, "A00001"), untarred);
  const { files, differences } = await compareFolders(original, untarred, [".gantry"]);
  t.deepEqual(differences, []);
  t.true(files > 200);

  const shell = join(folder, SHELL);
  const socket = join(directory, "state", "gantry.sock");
  const jobs = await runProgram(shell, ["--json", "--socket", socket, "show", "jobs"]);
  t.is(jobs.code, 0, jobs.stderr);
  t.regex(jobs.stdout, /"backup"/);
  t.regex(jobs.stdout, /"verify"/);
});
