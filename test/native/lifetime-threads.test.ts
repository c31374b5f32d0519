// Loads of the addon in several threads of one process, and callbacks that throw.
import test from "ava";
import { LASTING_STEPS, STEPS } from "./children/steps.js";
import { runChild } from "./spawn.js";
import { scratch } from "./support.js";

/** Each step ends in three ways; one that keeps its process alive does not end by itself. */
const WORKERS = 3 * Object.keys(STEPS).length + 2 * Object.keys(LASTING_STEPS).length;

const child = async (name: string, ...args: readonly string[]) => {
  const place = scratch();
  try {
    return await runChild(name, [place.folder, ...args]);
  } finally {
    place.drop();
  }
};

for (const mode of ["with-main", "workers-only"])
  test.serial(`workers end at every step in every way (${mode})`, async (t) => {
    const { code, signal, out, err } = await child("workers", mode);
    t.is(err, "");
    t.is(signal, null);
    t.is(code, 0);
    t.is(out, `${WORKERS} workers\n`);
  });

test.serial("a callback that throws makes an uncaught exception and does not lose the events after it", async (t) => {
  t.deepEqual(await child("thrower"), { code: 0, signal: null, out: "from the callback\n", err: "" });
});
