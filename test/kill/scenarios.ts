// What a round can be about. Each leaves the daemon killed as often as the round is to have kills, and checks what was
// acknowledged and what came out.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect, isDeepStrictEqual } from "node:util";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE } from "../lib/bridge.js";
import { sendChunkedList } from "./lists.js";
import type { Moment, Place } from "./moment.js";
import { type Reading, readingJob, SPAN_MIB, type Spec, tapesOf } from "./origin.js";
import { difference, must, type Round } from "./round.js";

export type Scenario = (round: Round) => Promise<void>;

/** Slow enough that kills meet jobs at work. */
const PACE = "mib_per_s = 4";
const RUNNING: readonly Place[] = [
  "journal.put",
  "journal.checkpoint",
  "journal.checkpoint",
  "journal.finish",
  "device.load",
  "device.openDisk",
  "device.openTape",
  "engine.start",
  "report.publish",
  "queue.start",
];
const CHANGING: readonly Place[] = [...RUNNING, "tape.filemark", "device.load", "tape.filemark"];

const never = (): boolean => false;

async function backup(round: Round, jobId: "one" | "span"): Promise<void> {
  const span = jobId === "span";
  await round.begin(jobId, PACE, span ? { capacityMib: SPAN_MIB } : {});
  const when = round.lot.one(["before", "during", "after"] as const);
  // A change of cartridges is over in no time: by chance alone it would hardly ever be met.
  const changes: Moment[] = [
    { kind: "place", place: "tape.filemark", nth: 1, when, ms: 0 },
    { kind: "place", place: "device.load", nth: 2, when, ms: 0 },
  ];
  await round.kill(span ? CHANGING : RUNNING, () => round.ended(jobId), 1, span ? changes : []);
  const [report] = await round.settled([jobId]);
  must(report?.state === "succeeded", `${jobId} ${report?.state}: ${report?.failure?.message}`);
  round.sameTapes(round.origin.accepted[jobId]);
}

async function reading(round: Round, type: Reading): Promise<void> {
  const disk = type === "restore" || type === "clone";
  const tgtd = round.group && disk && round.lot.next() < 0.5;
  await round.begin("archived", PACE, { tgtd });
  round.machine.launch();
  const jobId = `${type}-${round.name}`;
  const spec = await withKey(round, readingJob(jobId, type, round.origin.list));
  await submit(round, spec);
  await round.strike();
  const places: readonly Place[] = type === "clone" ? RUNNING : [...RUNNING, "journal.addPage"];
  await round.kill(places, () => round.ended(jobId));
  const [report] = await round.settled([jobId]);
  must(report?.state === "succeeded", `${type} ${report?.state}: ${report?.failure?.message}`);
  const { restored, cloned, verified, scrubbed } = round.origin;
  if (disk) round.sameDisk(readFileSync(round.machine.target), type === "restore" ? restored : cloned);
  else {
    const wanted = type === "verify" ? verified : scrubbed;
    must(report.membersDone === wanted.membersDone, `${type}: ${report.membersDone} of ${wanted.membersDone} members`);
    must(isDeepStrictEqual(report.files, wanted.files), `a scrub found other tape files: ${inspect(report.files)}`);
    must(isDeepStrictEqual(report.miscompares, wanted.miscompares), `${type} found ${inspect(report.miscompares)}`);
  }
}

async function withKey(round: Round, spec: Omit<Spec, "keys">): Promise<Spec> {
  const { bridge } = round.machine;
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `job:${spec.jobId}`,
    device: ["disk0", "target", "tape0", "tape1"],
    right: ["read", "write", "media-control"],
    priority: 255,
    lifeMs: 3_600_000,
  });
  await round.ask((timeoutMs) => bridge.session.client.send("key.install", { key: key.token }, { timeoutMs }));
  return { ...spec, keys: [key.content.id] } as Spec;
}

async function submit(round: Round, spec: Spec): Promise<void> {
  const { client } = round.machine.bridge.session;
  await round.ask((timeoutMs) => client.send("job.submit", spec, { timeoutMs }));
  round.ended(spec.jobId);
}

const stateOf = async (round: Round, jobId: string): Promise<string> => {
  const { client } = round.machine.bridge.session;
  return (await round.ask((timeoutMs) => client.send("job.get", { jobId }, { timeoutMs }))).progress.state;
};

async function untilState(round: Round, jobId: string, ...states: string[]): Promise<string> {
  for (let state = await stateOf(round, jobId); ; state = await stateOf(round, jobId)) {
    if (states.includes(state)) return state;
    await sleep(10);
  }
}

async function pausing(round: Round): Promise<void> {
  await round.begin("one", PACE);
  const { client } = round.machine.bridge.session;
  round.ended("one");
  round.machine.launch();
  await untilState(round, "one", "running");
  await round.ask((timeoutMs) => client.send("job.pause", { jobId: "one" }, { timeoutMs }));
  await round.strike();
  await round.kill(["queue.start", "journal.put", "device.openTape", "engine.start"], never, 0.5);
  const state = await untilState(round, "one", "paused", "running", "succeeded", "failed");
  must(state === "paused", `a job whose pause was acknowledged is ${state}`);
  round.tally.acknowledged++;
  await round.ask((timeoutMs) => client.send("job.resume", { jobId: "one" }, { timeoutMs }));
  await round.strike();
  await round.kill(["journal.ask", ...RUNNING], () => round.ended("one"), 0.5);
  const [report] = await round.settled(["one"]);
  must(report?.state === "succeeded", `one ${report?.state}: ${report?.failure?.message}`);
  round.sameTapes(round.origin.accepted.one);
}

async function cancelling(round: Round): Promise<void> {
  await round.begin("one", PACE);
  const { client } = round.machine.bridge.session;
  round.ended("one");
  await round.kill(RUNNING, never, 0.3);
  await untilState(round, "one", "running", "succeeded");
  await round.strike();
  let acknowledged: boolean | undefined;
  const asking = (async () => {
    await sleep(round.lot.whole(0, 1500));
    try {
      await round.ask((timeoutMs) => client.send("job.cancel", { jobId: "one" }, { timeoutMs }));
      acknowledged = true;
    } catch (error) {
      must((error as { code?: unknown }).code === "JOB_CANCEL_REFUSED", `cancel: ${(error as Error).message}`);
      acknowledged = false;
    }
  })();
  asking.catch(() => undefined);
  const when = round.lot.one(["before", "during", "after"] as const);
  const first: Moment[] = [
    { kind: "place", place: "journal.ask", nth: 1, when, ms: round.lot.whole(0, 3) },
    { kind: "place", place: round.lot.one(["tape.filemark", "journal.finish"] as const), nth: 1, when, ms: 0 },
  ];
  const ending: readonly Place[] = ["queue.start", "journal.put", "device.openTape", "tape.filemark", "journal.finish"];
  await round.kill(ending, () => acknowledged !== undefined && round.ended("one"), 1, first);
  await asking;
  const [report] = await round.settled(["one"]);
  must(
    report?.state === (acknowledged ? "cancelled" : "succeeded"),
    `cancelled (${acknowledged}), and ${report?.state}`,
  );
  round.tally.acknowledged++;
  cutShort(round);
}

/** A cancelled job's tape is the beginning of the undisturbed one, ended by filemarks. */
function cutShort(round: Round): void {
  const wanted = round.origin.accepted.one.tapes.get("T00001.tap");
  const made = tapesOf(round.machine).get("T00001.tap");
  if (wanted === undefined || made === undefined) return;
  let end = made.length;
  while (end >= 4 && made.readUInt32LE(end - 4) === 0) end -= 4;
  must(made.subarray(0, end).equals(wanted.subarray(0, end)), `a cancelled tape ${difference(made, wanted)}`);
  round.tally.tapes++;
}

/** Several small jobs are handed in while the daemon is killed: each that was accepted ends once. */
async function accepting(round: Round): Promise<void> {
  await round.begin("archived", "mib_per_s = 24");
  const ids = Array.from({ length: 4 }, (_, index) => `verify-${round.name}-${index}`);
  let handed = 0;
  const handing = (async () => {
    for (const jobId of ids) {
      const spec = await withKey(round, readingJob(jobId, "verify", round.origin.list));
      await submit(round, spec);
      handed++;
    }
  })();
  handing.catch(() => undefined);
  const steps: readonly Place[] = [
    "queue.submit",
    "queue.submit",
    "journal.put",
    "journal.finish",
    "report.publish",
    "key.install",
  ];
  await round.kill(steps, () => handed === ids.length && ids.every((jobId) => round.ended(jobId)));
  await handing;
  const reports = await round.settled(ids);
  for (const { jobId, state, failure } of reports)
    must(state === "succeeded", `${jobId} ${state}: ${failure?.message}`);
  round.tally.acknowledged += ids.length;
}

async function lists(round: Round): Promise<void> {
  await round.begin("archived", "");
  const { client } = round.machine.bridge.session;
  let acknowledged = 0;
  let whole = false;
  const sending = sendChunkedList(client, "slow-list", 240, () => acknowledged++).then((status) => {
    whole = true;
    return status;
  });
  sending.catch(() => undefined);
  const known = (): Promise<{ stored: number; state: string }> =>
    round.ask((timeoutMs) => client.send("list.status", { listId: "slow-list" }, { timeoutMs }));
  await round.kill(["list.chunk", "list.chunk", "list.meta"], () => whole);
  const before = acknowledged;
  // The list may not have been opened yet; what was acknowledged is there in any case.
  if (before > 0) must((await known()).stored >= before, `${before} chunks were acknowledged, and not all are there`);
  const status = await sending;
  must(status.state === "whole", `the list is ${status.state}`);
  await round.strike();
  round.machine.launch();
  must((await known()).state === "whole", "a list that was received whole is not whole after a kill");
  round.tally.acknowledged += status.stored;
  await round.settled([]);
}

async function keys(round: Round): Promise<void> {
  await round.begin("archived", "");
  const { home, session } = round.machine.bridge;
  const { client } = session;
  const there = new Set<string>();
  const gone = new Set<string>();
  let over = false;
  const working = (async () => {
    while (!over) {
      const holder = `job:k-${there.size}-${gone.size}`;
      const wish = { bridge: BRIDGE, holder, device: ["disk0"], right: ["read"], priority: 100, lifeMs: 3_600_000 };
      const key = issueKey(home, wish);
      const id = Buffer.from(key.content.id).toString("hex");
      await round.ask((timeoutMs) => client.send("key.install", { key: key.token }, { timeoutMs }));
      there.add(id);
      if (round.lot.next() < 0.5) continue;
      const order = home.issuer().revoke({ audience: [BRIDGE], ids: [key.content.id] }, Date.now());
      // From now on nobody may count on it.
      there.delete(id);
      await round.ask((timeoutMs) => client.send("key.revoke", { order: order.token }, { timeoutMs }));
      gone.add(id);
      await sleep(10);
    }
  })();
  working.catch(() => undefined);
  await round.kill(["key.install", "key.install", "key.revoke", "key.revoke"], never);
  over = true;
  await working;
  await round.strike();
  round.machine.launch();
  const list = await round.ask((timeoutMs) => client.send("key.list", {}, { timeoutMs }));
  const installed = new Set(list.keys.map(({ keyId }) => String(keyId)));
  for (const id of there) must(installed.has(id), `key ${id} was installed, and is not there`);
  for (const id of gone) must(!installed.has(id), `key ${id} was revoked, and is there`);
  round.tally.acknowledged += there.size + gone.size;
  await round.settled([]);
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  backup: (round) => backup(round, "one"),
  span: (round) => backup(round, "span"),
  restore: (round) => reading(round, "restore"),
  verify: (round) => reading(round, "verify"),
  clone: (round) => reading(round, "clone"),
  scrub: (round) => reading(round, "scrub"),
  pause: pausing,
  cancel: cancelling,
  accept: accepting,
  lists,
  keys,
};
