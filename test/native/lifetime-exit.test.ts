// A process may end at any step, in any way: no crash, no hang, nothing on stderr.
import test from "ava";
import { LASTING_STEPS, STEPS } from "./children/steps.js";
import { runChild } from "./spawn.js";
import { scratch } from "./support.js";

async function ends(step: string, ending: string) {
  const place = scratch();
  try {
    return await runChild("ends", [place.folder, step, ending]);
  } finally {
    place.drop();
  }
}

for (const step of Object.keys(STEPS))
  for (const ending of ["exit", "natural"])
    test.serial(`${step}: ${ending} end`, async (t) => {
      t.deepEqual(await ends(step, ending), { code: 0, signal: null, out: `reached ${step}\n`, err: "" });
    });

for (const step of Object.keys(LASTING_STEPS))
  test.serial(`${step}: exit end`, async (t) => {
    t.deepEqual(await ends(step, "exit"), { code: 0, signal: null, out: `reached ${step}\n`, err: "" });
  });

test.serial("a copy under way: an exception that nobody catches ends with exit code 1 and no signal", async (t) => {
  const ended = await ends("a copy under way", "throw");
  t.like(ended, { code: 1, signal: null });
  t.regex(ended.err, /the end that was ordered/);
});

test.serial("a run to which all segments were given keeps the process alive until its end", async (t) => {
  const place = scratch();
  t.deepEqual(await runChild("awaits", [place.folder]), { code: 0, signal: null, out: "ok\nclosed\n", err: "" });
  place.drop();
});
