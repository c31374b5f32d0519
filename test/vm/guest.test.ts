// The harness itself: a saved guest comes back quickly, runs scripts, sees the tree, and has real SCSI devices.
import test from "ava";
import { Guest } from "./lib/guest.js";
import { LIBRARY } from "./lib/preparations.js";

test("a saved guest has a tape library, disks, the tree and a folder of the host", async (t) => {
  const started = Date.now();
  const guest = await Guest.prepared(LIBRARY);
  t.log(`${Date.now() - started} ms`);
  try {
    const { out } = await guest.run("lsscsi -g; ls /tree/package.json; echo written >/host/file; date -u +%s");
    t.regex(out, /tape .*\/dev\/st0 .*\/dev\/sg/);
    t.regex(out, /mediumx .*\/dev\/sch0/);
    t.is(out.match(/disk .*scsi_debug/g)?.length, 2);
    t.true(Math.abs(Number(out.trim().split("\n").at(-1)) - Date.now() / 1000) < 30);
    const round = Date.now();
    await guest.run("true");
    t.log(`round trip ${Date.now() - round} ms`);
    await t.throwsAsync(guest.run("echo told >&2; exit 3"), { message: /Exit code 3.*told/s });
    const sleeping = guest.start("trap 'echo ended; exit 0' TERM; echo here; while :; do sleep 0.1; done");
    await sleeping.said(/here/);
    sleeping.kill();
    await sleeping.said(/ended/);
  } finally {
    await guest.stop();
  }
});
