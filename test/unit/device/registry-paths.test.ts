import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { DeviceRegistry } from "../../../src/device/registry.js";
import type { Native } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { parseConfig } from "../../../src/sys/config.js";
import { SysfsTree } from "../../lib/sysfs-tree.js";
import { tmpDir } from "../../lib/tmp.js";

const NAA = "5000c500a1b2c3d4";
const CONFIG = `[bridge]
id = "b1"
state_dir = "/s"
[control]
url = "mqtt://127.0.0.1:1883"
[[device]]
name = "d0"
type = "disk"
transport = "sg"
identity = "naa.${NAA}"
`;

test("what this machine sees of the units that the bridge itself serves is no path to them", async (t) => {
  const tree = new SysfsTree(await tmpDir(t));
  const host = (number: number, driver: string): void => {
    mkdirSync(join(tree.sys, "class", "scsi_host", `host${number}`), { recursive: true });
    writeFileSync(join(tree.sys, "class", "scsi_host", `host${number}`, "proc_name"), `${driver}\n`);
  };
  host(1, "mpt3sas");
  host(2, "tcm_loop");
  host(3, "iscsi_tcp");
  tree.add("sg0", "1:0:0:0", { naa: NAA });
  tree.add("sg1", "2:0:0:0", { naa: NAA });
  tree.addSession("sg2", "3:0:0:0", { naa: NAA }, "iqn.2024-01.org.example:ours");
  tree.addSession("sg3", "3:0:0:1", { naa: NAA }, "iqn.2024-01.org.example:san");
  const native = { listenForDevices: () => () => {}, bsgUring: () => "ENOSYS" } as unknown as Native;
  const timers = new ManualClock();
  const devices = new DeviceRegistry(native, parseConfig(CONFIG, "gantry.toml").device, {
    places: { sys: tree.sys, dev: "/dev" },
    timers,
    clock: timers,
    ownTargets: () => ["iqn.2024-01.org.example:ours"],
  });
  t.teardown(() => devices.stop());
  const came: string[] = [];
  const off = devices.onReachable((device) => void came.push(device));
  await devices.discover();
  t.deepEqual(came, ["d0"]);
  t.deepEqual(
    devices.paths().map(({ device, path, address, state }) => [device, path, address, state]),
    [
      ["d0", "/dev/sg0", "1:0:0:0", "standby"],
      ["d0", "/dev/sg3", "3:0:0:1", "standby"],
    ],
  );
  off();
});
