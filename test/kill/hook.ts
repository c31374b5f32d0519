// Loaded into gantryd before its own modules (node --import): notes what the daemon is at, and kills it at a named
// step. The product knows nothing of it.
import { openSync, writeSync } from "node:fs";
import { KeyRing } from "../../src/admit/key-ring.js";
import { ControlDoor } from "../../src/control/door.js";
import { DurableChunkStore } from "../../src/control/durable-chunk-store.js";
import { JobQueue } from "../../src/copy/job-queue.js";
import type { JobRecord, JobWish } from "../../src/copy/job-record.js";
import { Journal } from "../../src/copy/journal.js";
import { DeviceRegistry } from "../../src/device/registry.js";
import { native } from "../../src/native/index.js";
import {
  GROUP_VARIABLE,
  MARKS_BYTES,
  MARKS_VARIABLE,
  type Marks,
  MOMENT_VARIABLE,
  type Moment,
  type Place,
} from "./moment.js";

type Method = (this: unknown, ...args: unknown[]) => unknown;

const moment = JSON.parse(process.env[MOMENT_VARIABLE] ?? "null") as Moment | null;
const marksFile = process.env[MARKS_VARIABLE];
const fd = marksFile === undefined ? undefined : openSync(marksFile, "w");
const inside: Place[] = [];
const jobs = new Map<string, JobRecord>();
const wishes = new Map<string, JobWish>();
let up = false;
let engines = 0;
let times = 0;

function mark(): void {
  if (fd === undefined) return;
  const marks: Marks = {
    pid: process.pid,
    up,
    inside,
    engines,
    jobs: [...jobs].map(([jobId, { spec, state, volumeEnded, current, written }]) => ({
      type: spec.type,
      state,
      changing: volumeEnded !== undefined || (current !== undefined && current.index > 0 && current.placed !== true),
      paused: wishes.get(jobId)?.paused === true,
      cancelling: wishes.get(jobId)?.cancel === true,
      readingBack: written !== undefined,
    })),
  };
  // One write of one length: a reader after the kill finds all of it.
  writeSync(fd, JSON.stringify(marks).padEnd(MARKS_BYTES), 0);
}

function die(): void {
  process.kill(process.env[GROUP_VARIABLE] === "1" ? 0 : process.pid, "SIGKILL");
}

function at(place: Place, when: "before" | "during" | "after"): void {
  if (moment?.kind !== "place" || moment.place !== place) return;
  if (when === "before") times++;
  if (times !== moment.nth || moment.when !== when) return;
  if (when !== "during" || moment.ms === 0) die();
  else setTimeout(die, moment.ms);
}

/** @param seen told of the arguments before the step, and of the result after it. */
function watch(
  place: Place,
  owner: object,
  method: string,
  seen: { before?: (args: unknown[]) => void; after?: (args: unknown[], result: unknown) => void } = {},
): void {
  const original = Reflect.get(owner, method) as Method | undefined;
  // A hook that no longer fits the product would make kills at that step impossible without anybody noticing.
  if (typeof original !== "function") throw new Error(`${method} is not there to be watched as ${place}`);
  const leave = (args: unknown[], result: unknown): void => {
    seen.after?.(args, result);
    at(place, "after");
    inside.splice(inside.indexOf(place), 1);
    mark();
  };
  Reflect.set(owner, method, function (this: unknown, ...args: unknown[]): unknown {
    inside.push(place);
    seen.before?.(args);
    mark();
    at(place, "before");
    let result: unknown;
    try {
      result = Reflect.apply(original, this, args);
    } catch (error) {
      inside.splice(inside.indexOf(place), 1);
      throw error;
    }
    at(place, "during");
    if (!(result instanceof Promise)) {
      leave(args, result);
      return result;
    }
    return result.then(
      (value: unknown) => {
        leave(args, value);
        return value;
      },
      (error: unknown) => {
        inside.splice(inside.indexOf(place), 1);
        mark();
        throw error;
      },
    );
  });
}

const keep = (record: unknown): void => {
  const known = record as JobRecord;
  jobs.set(known.spec.jobId, known);
};
const first = ([record]: unknown[]): void => keep(record);
const keepAll = (_args: unknown[], records: unknown): void => {
  for (const record of records as readonly JobRecord[]) keep(record);
};

watch("journal.put", Journal.prototype, "put", { before: first });
watch("journal.ask", Journal.prototype, "ask", {
  before: ([jobId, wish]) => wishes.set(String(jobId), { ...wishes.get(String(jobId)), ...(wish as JobWish) }),
});
watch("journal.checkpoint", Journal.prototype, "checkpoint", { before: first });
watch("journal.finish", Journal.prototype, "finish", { after: (_args, ended) => keep(ended) });
watch("journal.addPage", Journal.prototype, "addPage");
const load = Journal.prototype.load;
Journal.prototype.load = function (this: Journal) {
  const records = load.call(this);
  keepAll([], records);
  for (const { spec } of records) wishes.set(spec.jobId, this.wishFor(spec.jobId));
  return records;
};
watch("queue.start", JobQueue.prototype, "start", {
  after: () => {
    up = true;
  },
});
watch("queue.submit", JobQueue.prototype, "submit");
watch("device.load", DeviceRegistry.prototype, "load");
watch("device.openDisk", DeviceRegistry.prototype, "openDisk");
watch("device.openTape", DeviceRegistry.prototype, "openTape", {
  after: (_args, drive) => watch("tape.filemark", drive as object, "writeFilemarks"),
});
watch("report.publish", ControlDoor.prototype, "report");
watch("list.chunk", DurableChunkStore.prototype, "put");
watch("list.meta", DurableChunkStore.prototype, "putMeta");
watch("key.install", KeyRing.prototype, "install");
watch("key.revoke", KeyRing.prototype, "revoke");
watch("engine.start", native, "startCopy", {
  after: (_args, copy) => {
    engines++;
    const { close } = copy as { close: () => Promise<void> };
    Reflect.set(copy as object, "close", async () => {
      await close.call(copy);
      engines--;
      mark();
    });
  },
});
mark();
