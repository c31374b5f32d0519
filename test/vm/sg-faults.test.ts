// Errors that a real driver and a real mid layer make: what scsi_debug can be told to do wrong, in the middle of jobs.
// Right sense, right retries, right report; and what was copied in spite of them is the same.
import test from "ava";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobReport } from "../../src/job.js";
import type { TestMember } from "../lib/archives.js";
import { failedWith, succeeded } from "../lib/job-plant.js";
import { rawList } from "../lib/raw-disk.js";
import { Guest } from "./lib/guest.js";
import { GuestBridge, SharedEndings, sgTable } from "./lib/guest-bridge.js";
import { DRIVERS } from "./lib/preparations.js";

const MIB = 32;
const BLOCKS = MIB * 2048;
/** First LBA that scsi_debug reports as bad when it is told to (medium_error_start), and how many. */
const BAD = { lba: 20_004, blocks: 3 };
const MEMBERS: readonly TestMember[] = [
  { name: "front", at: [[0, 0, 16_000]], size: BigInt(16_000 * 512) },
  { name: "back", at: [[0, 16_000, BLOCKS - 16_000]], size: BigInt((BLOCKS - 16_000) * 512) },
];

/** scsi_debug's opts (drivers/scsi/scsi_debug.c, SDEBUG_OPT_*). */
const OPTS = {
  none: 0,
  medium: 0x2,
  timeout: 0x4,
  recovered: 0x8,
  transport: 0x10,
  short: 0x100,
  busy: 0x8000,
} as const;

interface Faults {
  readonly guest: Guest;
  readonly bridge: GuestBridge;
  /** From now on every so many commands go wrong in this way. */
  readonly inject: (what: keyof typeof OPTS, every?: number) => Promise<void>;
  /** Commands that the mid layer has seen since the last injection, and how many of them it was told went wrong. */
  readonly seen: () => Promise<{ readonly commands: number; readonly wrong: number }>;
  readonly backup: (jobId: string, options?: object) => Promise<JobReport>;
  /** Restores onto the other disk and compares the two from block 0 on. */
  readonly same: (jobId: string) => Promise<string>;
}

const endings = new SharedEndings();
let plant: Faults;

test.before(async () => {
  plant = await start();
});
test.after.always(() => endings.run());

async function start(): Promise<Faults> {
  const guest = await Guest.prepared(DRIVERS);
  endings.teardown(() => guest.stop());
  const { out } = await guest.run(`
    modprobe scsi_debug dev_size_mb=${MIB} per_host_store=1 add_host=2 delay=0 medium_error_start=${BAD.lba} medium_error_count=${BAD.blocks}
    wait_for test -b /dev/sda -a -b /dev/sdb
    dd if=/usr/local/bin/node of=/dev/sda bs=1M count=${MIB} oflag=direct status=none
    echo $(sg_of sda) $(sg_of sdb)`);
  const [from = "", to = ""] = out.trim().split(" ");
  const bridge = await GuestBridge.start(
    endings,
    guest,
    `${sgTable("disk0", "disk", from)}${sgTable("back0", "disk", to)}[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "/tmp/tapes"
`,
    "command_timeout_s = 3\nio_kib = 64\n",
  );
  const list = await rawList(guest.folder, "list", MEMBERS);
  const back = await rawList(guest.folder, "back", MEMBERS);
  const tape = (name: string) => ({ device: "tape0", cartridges: [name] });
  return {
    guest,
    bridge,
    inject: async (what, every = 0) => {
      await guest.run(
        `mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
        cd /sys/kernel/tracing; echo 8192 >buffer_size_kb; echo >trace
        echo 1 >events/scsi/scsi_dispatch_cmd_start/enable
        echo 'result != 0' >events/scsi/scsi_dispatch_cmd_done/filter; echo 1 >events/scsi/scsi_dispatch_cmd_done/enable
        echo 1 >events/scsi/scsi_dispatch_cmd_timeout/enable
        cd /sys/bus/pseudo/drivers/scsi_debug; echo 0 >opts; echo ${what === "transport" ? -1 : 0} >delay; echo ${every} >every_nth; echo ${OPTS[what]} >opts`,
      );
    },
    seen: async () => {
      const { out } = await guest.run(`cd /sys/kernel/tracing; grep -c scsi_dispatch_cmd_start trace || true
        grep -cE 'scsi_dispatch_cmd_(done|timeout):' trace || true`);
      const [commands = 0, wrong = 0] = out.trim().split("\n").map(Number);
      return { commands, wrong };
    },
    backup: (jobId, options = {}) =>
      bridge.run(
        {
          jobId,
          type: "backup",
          disk: { device: "disk0" },
          tape: tape(jobId),
          options: { position: "overwrite", sha256: true, ...options },
        } as Omit<CommandToSend<"job.submit">, "keys">,
        { file: list, device: "disk0" },
      ),
    same: async (jobId) => {
      await guest.run("dd if=/dev/zero of=/dev/sdb bs=1M oflag=direct status=none || true");
      const report = await bridge.run(
        { jobId: `${jobId}-back`, type: "restore", disk: { device: "back0" }, tape: tape(jobId) },
        { file: back, device: "back0" },
      );
      if (report.state !== "succeeded") return `${report.failure?.code}: ${report.failure?.message}`;
      return (
        await guest.run(`echo 3 >/proc/sys/vm/drop_caches; cmp /dev/sda /dev/sdb && echo same`, { anyCode: true })
      ).out.trim();
    },
  };
}

test.serial("medium errors end the job with the bad block, or are filled with zeros and told", async (t) => {
  const { inject, backup, guest, same } = plant;
  await inject("medium");
  const failed = await backup("failed");
  failedWith(t, failed, "DEVICE_MEDIUM_ERROR", /MEDIUM ERROR.*UNRECOVERED READ ERROR/i);
  t.is(failed.failure?.device, "disk0");

  const filled = await backup("filled", { mediumErrors: "zero-fill" });
  succeeded(t, filled);
  t.deepEqual(
    filled.lost.map(({ lba, blocks }) => ({ lba, blocks })),
    [{ lba: BigInt(BAD.lba), blocks: BigInt(BAD.blocks) }],
  );
  await inject("none");
  t.not(await same("filled"), "same");
  const { out } = await guest.run(
    `cmp -l /dev/sda /dev/sdb | awk '{ block = int(($1 - 1) / 512); if (block != last) print block; last = block }' | sort -nu`,
    { anyCode: true },
  );
  const differing = out.trim().split("\n").map(Number);
  t.true(differing.length > 0 && differing.every((block) => block >= BAD.lba && block < BAD.lba + BAD.blocks), out);
});

for (const [what, every, words] of [
  ["recovered", 7, "RECOVERED ERROR is success with a remark"],
  ["transport", 23, "ABORTED COMMAND is sent again"],
  ["busy", 11, "a host that is busy is asked again"],
  ["short", 13, "a transfer that was cut short is no success"],
  ["timeout", 150, "a command that nobody answers ends by the kernel's error handler, and is sent again"],
] as const) {
  test.serial(`${words}: the same blocks`, async (t) => {
    const { inject, backup, same, seen } = plant;
    await inject(what, every);
    const report = await backup(what);
    const { commands, wrong } = await seen();
    await inject("none");
    t.log(`${wrong} of ${commands} commands`);
    succeeded(t, report);
    // A busy host is asked again before anybody is told, and a short transfer is GOOD with a residual: these show in
    // the number of commands, of which 64 KiB each need 512.
    t.true(what === "busy" || what === "short" ? commands > MIB * 16 + 30 : wrong > 1);
    t.is(await same(what), "same");
  });
}

test.serial("unit attentions in mid-job: the unit is reset again and again", async (t) => {
  const { backup, guest, same, inject, seen } = plant;
  await inject("none");
  const resets = guest.start(
    "for turn in $(seq 30); do sg_reset --device /dev/sda >/dev/null 2>&1 || true; sleep 0.1; done",
  );
  const report = await backup("reset");
  resets.kill(9);
  await resets.end();
  t.true((await seen()).wrong > 1);
  succeeded(t, report);
  t.is(await same("reset"), "same");
});
