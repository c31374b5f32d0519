// Rows as people read them.
import test from "ava";
import { table } from "../../../src/sys/text.js";

test("times are shown as times to the second, LUNs with their devices", (t) => {
  const shown = table([
    {
      lastMs: 1_800_000_000_999,
      luns: [
        { lun: 0, device: "disk0", commands: 5n },
        { lun: 3, device: "disk1" },
      ],
    },
  ]);
  t.is(shown, "lastMs                luns\n2027-01-15T08:00:00Z  0:disk0,3:disk1");
});
