import test from "ava";
import { ReservationDesk } from "../../../../src/admit/reservations/desk.js";
import type { Admitted } from "../../../../src/admitted.js";
import { RunControl } from "../../../../src/copy/copy-run.js";
import type { JobContext } from "../../../../src/copy/job-context.js";
import type { JobSpec } from "../../../../src/job.js";

const SPEC: JobSpec = {
  jobId: "job",
  type: "verify",
  keys: [],
  priority: 1,
  tape: { device: "tape0", cartridges: [] },
  options: {},
};
const JOB = { subject: SPEC } as unknown as Admitted<JobSpec>;

/** A desk whose arbiter gives the devices when the test says so. */
function scene() {
  let give = (): void => undefined;
  let released = 0;
  let runs = 0;
  const desk = new ReservationDesk({ known: () => true, unload: async () => undefined, graceMs: 20 });
  desk.attach({
    claim: () =>
      new Promise((resolve) => {
        give = () => resolve(() => (released += 1));
      }),
  } as unknown as Parameters<ReservationDesk["attach"]>[0]);
  const control = new RunControl();
  const context = { record: { spec: SPEC }, control, closing: false } as unknown as JobContext;
  const run = desk.running(async () => {
    runs += 1;
    return { state: "succeeded" };
  });
  return { start: () => run(JOB, context), control, give: () => give(), released: () => released, runs: () => runs };
}

test("a job that is cancelled while its devices are being claimed does not wait for a device that never answers", async (t) => {
  const { start, control, give, released, runs } = scene();
  const outcome = start();
  control.cancel();
  t.deepEqual(await outcome, { state: "cancelled" });
  t.is(runs(), 0);
  give();
  await new Promise((resolve) => setImmediate(resolve));
  t.is(released(), 1, "what came too late is given back");
});

test("a job that was cancelled before it started still gets the devices that are there, to end its tape", async (t) => {
  const { start, control, give, released, runs } = scene();
  control.cancel();
  const outcome = start();
  give();
  t.is((await outcome).state, "succeeded");
  t.deepEqual([runs(), released()], [1, 1]);
});
