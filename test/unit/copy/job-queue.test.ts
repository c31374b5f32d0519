import test, { type ExecutionContext } from "ava";
import type { Admitted } from "../../../src/admitted.js";
import type { Grant } from "../../../src/copy/admission.js";
import type { JobContext, JobOutcome, JobPlant } from "../../../src/copy/job-context.js";
import { JobQueue, type JobQueueOptions } from "../../../src/copy/job-queue.js";
import { Journal } from "../../../src/copy/journal.js";
import type { JobReport, JobSpec } from "../../../src/job.js";
import type { Arena } from "../../../src/native/types.js";
import { ManualClock, systemClock } from "../../../src/sys/clock.js";
import { parseConfig } from "../../../src/sys/config.js";
import { GantryError } from "../../../src/sys/errors.js";
import { silentLogger } from "../../../src/sys/log.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";

const CONFIG = parseConfig(
  '[bridge]\nid = "b"\nstate_dir = "/nowhere"\n[control]\nurl = "mqtt://localhost:1"\n',
  "test",
);

const SPEC: JobSpec = {
  jobId: "job",
  type: "backup",
  keys: [new Uint8Array(8)],
  priority: 100,
  disk: { device: "disk0" },
  tape: { device: "tape0", cartridges: [] },
  listId: "list",
  options: {},
};

const GRANT: Grant = { job: { subject: SPEC } as unknown as Admitted<JobSpec>, watch: () => () => {} };

/** A queue over a store in memory; jobs do what `run` says. */
async function plant(t: ExecutionContext, options: Partial<JobQueueOptions> = {}, store = new MemoryStore()) {
  const held = new Set<string>();
  const reports: JobReport[] = [];
  let ended = (): void => {};
  const queue = new JobQueue({
    plant: {
      bridgeId: "b",
      arena: { bytes: 64n << 20n } as Arena,
      journal: new Journal(store),
      clock: systemClock,
      log: silentLogger(),
      config: () => CONFIG.jobs,
      lists: {
        header: () => ({}),
        hold: (listId: string) => {
          held.add(listId);
          return () => held.delete(listId);
        },
      },
    } as unknown as JobPlant,
    admit: () => GRANT,
    run: async () => ({ state: "succeeded" }),
    check: () => {},
    onProgress: () => {},
    onForget: () => {},
    onReport: (report) => {
      reports.push(report);
      ended();
    },
    newId: () => "archive",
    ...options,
  });
  await queue.start();
  t.teardown(() => queue.stop());
  const report = async (): Promise<JobReport> => {
    if (reports.length === 0) await new Promise<void>((resolve) => (ended = resolve));
    const [first] = reports.splice(0);
    if (first === undefined) throw new Error("no report came");
    return first;
  };
  return { queue, store, held, report };
}

const untilCancelled = (_job: unknown, { control }: JobContext): Promise<JobOutcome> =>
  new Promise((resolve) => control.onCancel(() => resolve({ state: "cancelled" })));

test("the id of a job that was forgotten is free, whatever became of the first one", async (t) => {
  let runs = 0;
  const { queue, report } = await plant(t, {
    run: (job, context) => (runs++ === 0 ? untilCancelled(job, context) : runSteps(context)),
  });
  await queue.submit(SPEC);
  await queue.cancel("job");
  t.is((await report()).state, "cancelled");
  t.true(await queue.forget("job"));
  await queue.submit(SPEC);
  t.is((await report()).state, "succeeded");

  async function runSteps({ control }: JobContext): Promise<JobOutcome> {
    return { state: control.cancelled ? "cancelled" : "succeeded" };
  }
});

test("what is kept of a cancel goes with its job", async (t) => {
  const { queue, store, report } = await plant(t, { run: untilCancelled });
  await queue.submit(SPEC);
  await queue.cancel("job");
  await report();
  t.deepEqual([...store.under(["job-wish"])], []);
});

test("a list is held from the moment that a job was found to be in order, and let go when the job cannot be stored", async (t) => {
  const { queue, store, held, report } = await plant(t, { run: untilCancelled });
  store.failNext = true;
  const refused = queue.submit(SPEC);
  t.true(held.has("list"), "while it is being stored");
  await t.throwsAsync(refused, { code: "STORE_UNUSABLE" });
  t.false(held.has("list"));
  await queue.submit(SPEC);
  t.true(held.has("list"));
  await queue.cancel("job");
  await report();
  t.false(held.has("list"));
});

test("a job that was let in waits while the clock is not to be believed, and any other refusal ends it", async (t) => {
  let code = "";
  const admit = (): Grant => {
    if (code === "") return GRANT;
    throw new GantryError("GATE_REFUSED", "No.", { details: { refusals: [{ code, message: "No." }] } });
  };
  const store = new MemoryStore();
  let began = (): void => {};
  const running = new Promise<void>((resolve) => (began = resolve));
  const first = await plant(
    t,
    {
      admit,
      run: (job, context) => {
        began();
        return untilCancelled(job, context);
      },
    },
    store,
  );
  await first.queue.submit(SPEC);
  await running;
  await first.queue.stop();

  // The next life begins without knowing what time it is.
  let asked = 0;
  code = "CLOCK_UNTRUSTED";
  const second = await plant(
    t,
    {
      admit: () => {
        if (++asked === 2) code = "";
        return admit();
      },
    },
    store,
  );
  t.is((await second.report()).state, "succeeded");
  t.is(asked, 2);

  code = "KEY_EXPIRED";
  const third = await plant(t, { admit: () => (asked++ === 2 ? GRANT : admit()) });
  await third.queue.submit({ ...SPEC, jobId: "late" });
  t.like(await third.report(), { state: "failed", failure: { code: "GATE_REFUSED" } });
});

test("a job whose start cannot be journalled waits for room", async (t) => {
  const store = new MemoryStore();
  let writes = 0;
  const batch = store.batch.bind(store);
  store.batch = async (changes) => {
    // The first is the job itself, the second that it runs.
    if (++writes === 2 || writes === 3) throw new GantryError("STORE_UNUSABLE", "No room.");
    await batch(changes);
  };
  const { queue, report } = await plant(t, {}, store);
  await queue.submit(SPEC);
  t.is((await report()).state, "succeeded");
  t.is(writes, 5, "tried again after a while, not over and over");
});

test("a backup in the tape blocks of the configuration is refused when no job has the memory for them", async (t) => {
  const { queue } = await plant(t);
  const small = { ...CONFIG.jobs, tape_block_kib: 8192, concurrent: 8 };
  const { queue: tight } = await plant(t, {
    plant: { ...plantOf(), config: () => small },
  });
  await t.throwsAsync(tight.submit(SPEC), { code: "JOB_INVALID", message: /raise memory.arena_mib/ });
  t.is(await queue.submit(SPEC), "queued");
});

function plantOf(): JobPlant {
  return {
    arena: { bytes: 64n << 20n } as Arena,
    journal: new Journal(new MemoryStore()),
    clock: systemClock,
    log: silentLogger(),
    lists: { header: () => undefined },
  } as unknown as JobPlant;
}

test("a pause that the state directory refuses leaves no trace for the wish that is stored next", async (t) => {
  const { queue, store, report } = await plant(t, { run: untilCancelled });
  await queue.submit(SPEC);
  await new Promise((resolve) => setImmediate(resolve));
  store.failNext = true;
  await t.throwsAsync(queue.pause("job"), { code: "STORE_UNUSABLE" });
  await queue.rate("job", 5n);
  const next = new Journal(store);
  next.load();
  t.deepEqual(next.wishFor("job"), { bytesPerS: 5n });
  await queue.cancel("job");
  await report();
});

test("two wishes at once are both kept", async (t) => {
  const { queue, store, report } = await plant(t, { run: untilCancelled });
  await queue.submit(SPEC);
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([queue.pause("job"), queue.rate("job", 5n)]);
  const next = new Journal(store);
  next.load();
  t.deepEqual(next.wishFor("job"), { paused: true, bytesPerS: 5n });
  await queue.cancel("job");
  await report();
});

test("a clock that is set forward or back by years times no job out, and the newest reports stay the newest", async (t) => {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const journal = new Journal(store);
  const forgotten: string[] = [];
  let seen = 0;
  const queue = new JobQueue({
    plant: {
      bridgeId: "b",
      arena: { bytes: 64n << 20n } as Arena,
      journal,
      clock,
      log: silentLogger(),
      config: () => ({ ...CONFIG.jobs, keep_reports: 2 }),
      lists: { header: () => undefined },
    } as unknown as JobPlant,
    admit: () => GRANT,
    run: (job, context) =>
      context.record.spec.options.timeoutMs === undefined ? ended() : untilCancelled(job, context),
    check: () => {},
    onProgress: () => {},
    onReport: () => seen++,
    onForget: (jobIds) => forgotten.push(...jobIds),
    newId: () => "archive",
  });
  const ended = async (): Promise<JobOutcome> => ({ state: "succeeded" });
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await queue.start();
  t.teardown(() => queue.stop());
  const limited: JobSpec = { ...SPEC, jobId: "limited", disk: { device: "d" }, tape: { device: "t", cartridges: [] } };
  await queue.submit({ ...limited, options: { timeoutMs: 3_600_000 } });
  const YEAR = 365 * 86_400_000;
  for (const [index, years] of [0, -2, -5, 3].entries()) {
    clock.set(1_800_000_000_000 + years * YEAR);
    const jobId = `j${index}`;
    await queue.submit({ ...SPEC, jobId });
    await until(() => seen === index + 1);
    const connection = BigInt(index + 1);
    await journal.reports.told(jobId, journal.reports.stamp(jobId) ?? 0, connection);
  }
  // A turn of the queue's timer.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  t.is(queue.progress("limited").state, "running");
  t.deepEqual(forgotten.sort(), ["j0", "j1"]);
  clock.advance(3_600_001);
  await until(() => seen === 5);
  t.is(queue.progress("limited").state, "timed-out");
});

test("a job that gives a device up is queued with its checkpoint, and goes on when the device is free", async (t) => {
  let [free, starts] = [true, 0];
  const seen: string[] = [];
  const { queue, report } = await plant(t, {
    mayStart: () => free,
    onProgress: ({ state }) => seen.push(state),
    run: async (_job, context) => {
      starts += 1;
      if (starts > 1) return { state: "succeeded" };
      context.record = { ...context.record, checkpoint: { offset: 512n, object: 1n, digest: new Uint8Array(1) } };
      context.yieldedTo = "a server";
      free = false;
      context.control.cancel();
      return { state: "cancelled" };
    },
  });
  await queue.submit(SPEC);
  while (!seen.includes("queued")) await new Promise((resolve) => setTimeout(resolve, 1));
  queue.wake();
  t.like(queue.list()[0], { state: "queued", resumes: 1, checkpoint: { offset: 512n } });
  t.is(starts, 1);
  free = true;
  queue.wake();
  t.like(await report(), { state: "succeeded", resumes: 1 });
  t.is(starts, 2);
});

test("a job that gives a device up and is cancelled before it has stopped is cancelled", async (t) => {
  let [starts, stop] = [0, (): void => {}];
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  const { queue, report } = await plant(t, {
    run: async (_job, context) => {
      starts += 1;
      context.yieldedTo = "a server";
      await stopped;
      return { state: "cancelled" };
    },
  });
  await queue.submit(SPEC);
  while (starts === 0) await new Promise((resolve) => setImmediate(resolve));
  const cancelled = queue.cancel("job");
  stop();
  await cancelled;
  t.is((await report()).state, "cancelled");
  t.is(starts, 1);
});
