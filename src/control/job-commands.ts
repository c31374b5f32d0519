// Commands about keys, jobs and media: from the router to the ring, the queue and the devices.

import type { KeyRing } from "../admit/key-ring.js";
import type { MediaDesk } from "../admit/media-desk.js";
import type { ReservationDesk } from "../admit/reservations/desk.js";
import type { Claimant } from "../admit/reservations/preemption.js";
import { progressOf } from "../copy/copy-records.js";
import type { JobQueue } from "../copy/job-queue.js";
import type { DeviceRegistry } from "../device/registry.js";
import { JOB_ENDS, type JobProgress, type JobReport, type JobState } from "../job.js";
import { GantryError } from "../sys/errors.js";
import type { AllJobs } from "./all-jobs.js";
import { keyPage } from "./key-pages.js";
import type { Router } from "./router.js";

export interface CommandRoom {
  readonly media: Pick<MediaDesk, "load" | "unload">;
  readonly reservations: Pick<ReservationDesk, "list" | "clear" | "preempt">;
  readonly jobs: AllJobs;
  /** Of manifests. */
  readonly queue: Pick<JobQueue, "manifest">;
  readonly ring: KeyRing;
  readonly devices: DeviceRegistry;
  /** Facts about the daemon for status.get. */
  readonly status: () => Record<string, unknown>;
}

export function registerCommands(router: Router, room: CommandRoom): void {
  const { jobs, ring } = room;
  const answer = (jobId: string): { jobId: string; state: JobState } => ({ jobId, state: jobs.progress(jobId).state });
  router
    .on("status.get", async () => room.status())
    .on("key.install", async ({ key, chap }) => ({ keyId: (await ring.install(key, chap)).key.id }))
    .on("key.revoke", async ({ order }) => ({ revoked: (await ring.revoke(order)).ids.length }))
    .on("key.list", async ({ after, limit }) => keyPage(ring, after ?? "", limit))
    .on("job.submit", async (spec) => ({ jobId: spec.jobId, state: await jobs.submit(spec) }))
    .on("job.cancel", async ({ jobId }) => {
      await jobs.cancel(jobId);
      return answer(jobId);
    })
    .on("job.pause", async ({ jobId }) => {
      await jobs.pause(jobId);
      return answer(jobId);
    })
    .on("job.resume", async ({ jobId }) => {
      await jobs.resume(jobId);
      return answer(jobId);
    })
    .on("job.rate", async ({ jobId, bytesPerS }) => {
      await jobs.rate(jobId, bytesPerS);
      return answer(jobId);
    })
    .on("job.get", async ({ jobId }) => describe(jobs.progress(jobId)))
    .on("job.list", async ({ state, after, limit }) => jobPage(jobs, state, after, limit))
    .on("job.forget", async ({ jobId }) => {
      const forgotten = await jobs.forget(jobId);
      if (!forgotten) throw new GantryError("JOB_NOT_ENDED", `Job ${jobId} has not ended; cancel it first.`);
      return { jobId };
    })
    .on("manifest.get", async ({ jobId, offset, limit }) => ({
      jobId,
      offset,
      ...room.queue.manifest(jobId, offset, limit),
    }))
    .on("reservation.list", async () => ({ reservations: room.reservations.list().map((facts) => ({ ...facts })) }))
    .on("reservation.clear", async ({ device }) => ({ was: { ...(await room.reservations.clear(device)) } }))
    .on("reservation.preempt", async ({ device, jobId, initiator }) => {
      const by = claimant(jobId, initiator);
      return { was: { ...room.reservations.preempt(device, by) } };
    })
    .on("media.load", async ({ device, cartridge, create }) => {
      await room.media.load(device, cartridge, create ?? false);
      return {};
    })
    .on("media.unload", async ({ device }) => {
      await room.media.unload(device);
      return {};
    })
    .on("media.list", async () => ({ media: mediaFacts(room.devices) }));
}

/** Either a job or a server. Throws MESSAGE_INVALID. */
function claimant(jobId: string | undefined, initiator: string | undefined): Claimant {
  if (jobId !== undefined && initiator === undefined) return { jobId };
  if (initiator !== undefined && jobId === undefined) return { initiator };
  throw new GantryError("MESSAGE_INVALID", "reservation.preempt: give either `jobId` or `initiator`.");
}

/** Cartridges of every drive that has somebody to load them. */
export function mediaFacts(devices: DeviceRegistry): Record<string, unknown>[] {
  return devices
    .all()
    .filter(({ type }) => type === "tape")
    .map(({ name }) => {
      const { names, loaded } = devices.cartridges(name);
      return { device: name, cartridges: [...names], ...(loaded === undefined ? {} : { loaded }) };
    });
}

function describe(seen: JobProgress | JobReport): { progress: JobProgress; report?: JobReport } {
  return "endedMs" in seen ? { progress: progressOf(seen), report: seen } : { progress: seen };
}

/** Jobs that have not ended first, then by age; a page starts after the job named. */
export function jobPage(
  all: Pick<AllJobs, "list" | "progress">,
  state: JobState | undefined,
  after: string | undefined,
  limit: number,
) {
  const jobs = all
    .list()
    .map(({ jobId, submittedMs }) => ({ submittedMs, seen: describe(all.progress(jobId)).progress }))
    .filter(({ seen }) => state === undefined || seen.state === state)
    .sort(
      (a, b) => rank(a.seen) - rank(b.seen) || a.submittedMs - b.submittedMs || (a.seen.jobId < b.seen.jobId ? -1 : 1),
    )
    .map(({ seen }) => seen);
  const from = after === undefined ? 0 : jobs.findIndex(({ jobId }) => jobId === after) + 1;
  const page = jobs.slice(from, from + limit);
  return { jobs: page, more: from + page.length < jobs.length };
}

const rank = ({ state }: JobProgress): number => (JOB_ENDS.includes(state) ? 1 : 0);
