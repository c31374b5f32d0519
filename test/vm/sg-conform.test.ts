// The conformance suite of the transports on real sg nodes: a scsi_debug disk and a tape of tgtd behind the kernel's
// initiator, with the driver's own buffers and with direct I/O.
import { existsSync } from "node:fs";
import test from "ava";
import { Guest } from "./lib/guest.js";
import { LIBRARY } from "./lib/preparations.js";

const PROGRAM = "build/asan/transport_conformance_test";

test.serial("sg conforms on a real disk and a real tape node, copied and direct", async (t) => {
  if (!existsSync(PROGRAM)) {
    t.fail(`${PROGRAM} is missing; build the C tests first: npm test -- --only c`);
    return;
  }
  const guest = await Guest.prepared(LIBRARY);
  t.teardown(() => guest.stop());
  const nodes = await guest.run(`mtx -f $(sg_of sch0) load 1 0 >/dev/null
    sleep 1
    echo $(sg_of sda) $(sg_of st0)`);
  const [disk = "", tape = ""] = nodes.out.trim().split(" ");
  for (const direct of ["", "direct"]) {
    await guest.run(`echo ${direct === "" ? 0 : 1} >/sys/module/sg/parameters/allow_dio`);
    for (const subject of [`${disk} disk scsi_debug`, `${tape} tape tgtd`]) {
      const { code, out, err } = await guest.run(`/tree/${PROGRAM} sg ${subject} ${direct}`, {
        anyCode: true,
        timeoutMs: 200_000,
      });
      t.is(code, 0, `${subject} ${direct}\n${out}${err}`);
      t.regex(out, /[1-9]\d* checks, 0 failed/);
    }
  }
});
