import test from "ava";
import { waitForRestart } from "../../src/settings.js";
import { parseConfig } from "../../src/sys/config.js";

const config = (jobs: string) =>
  parseConfig(`[bridge]\nid = "b"\nstate_dir = "/s"\n[control]\nurl = "mqtt://localhost:1"\n[jobs]\n${jobs}`, "test");

test("what the room for lists is, and how long they may take, waits for the restart, and is said to", (t) => {
  t.deepEqual(waitForRestart(config(""), config("max_list_mib = 5\nlist_timeout_s = 60\nmib_per_s = 3\n")), [
    "jobs.max_list_mib",
    "jobs.list_timeout_s",
  ]);
});
