// APTPL over a power loss: what was answered is there when the process comes back.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";
import { loadReservations } from "../../../../src/admit/reservations/records.js";
import { openStore } from "../../../../src/sys/store.js";
import { tmpDir } from "../../../lib/tmp.js";
import { A } from "./parts.js";

const CHILD = fileURLToPath(new URL("aptpl-child.js", import.meta.url));

for (const answers of [2, 3, 40]) {
  test(`kill -9 after ${answers} answers: the reservation stands, and the last acknowledged key or a later one`, async (t) => {
    const directory = await tmpDir(t);
    const child = spawn(process.execPath, [CHILD, directory], { stdio: ["ignore", "pipe", "inherit"] });
    let last = 0n;
    for await (const line of createInterface({ input: child.stdout })) {
      const [, id, status] = line.split(" ");
      t.is(status, "0");
      last = BigInt(id ?? 0);
      if (last >= BigInt(answers)) break;
    }
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    const store = openStore(directory);
    const state = loadReservations(store).get("tape");
    await store.close();
    t.like(state?.reservation, { type: 3, holder: A });
    const key = state?.registrations[0]?.key ?? 0n;
    t.true(key >= (last > 2n ? last : 1n), `key ${key} after answer ${last}`);
  });
}
