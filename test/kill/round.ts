// One round: a machine, a job or more on it, kills, and what must hold afterwards.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeClient } from "../../src/control/client.js";
import { JOB_ENDS, type JobReport } from "../../src/job.js";
import { openStore } from "../../src/sys/store.js";
import { BRIDGE } from "../lib/bridge.js";
import type { Machine } from "./machine.js";
import { type Moment, type Place, phasesOf } from "./moment.js";
import { type Accepted, type Folder, type Origin, tapesOf } from "./origin.js";
import type { Lot } from "./random.js";
import { readersOf } from "./readers.js";
import type { Tally } from "./tally.js";

const PATIENCE_MS = 90_000;
const COMMAND_MS = 3000;

export class Failed extends Error {}

export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Failed(what);
}

/** Longest time from a launch to a kill that comes at no named step. */
const LIFE_MS = 2400;
/** A named step that does not come by then: the kill comes all the same. */
const STEP_MS = 4000;

export interface RoundOptions {
  readonly origin: Origin;
  readonly lot: Lot;
  readonly tally: Tally;
  readonly group: boolean;
  readonly kills: number;
  /** Of the folder that the round works in. */
  readonly name: string;
}

export class Round {
  readonly origin: Origin;
  readonly lot: Lot;
  readonly tally: Tally;
  readonly group: boolean;
  readonly name: string;
  readonly #kills: number;
  /** Every report that was ever seen of a job, by its text. */
  readonly #seen = new Map<string, Set<string>>();
  #machine: Machine | undefined;
  #observer: BridgeClient | undefined;

  constructor({ origin, lot, tally, group, kills, name }: RoundOptions) {
    this.origin = origin;
    this.lot = lot;
    this.tally = tally;
    this.group = group;
    this.name = name;
    this.#kills = kills;
  }

  get machine(): Machine {
    if (this.#machine === undefined) throw new Error("the round has no machine yet");
    return this.#machine;
  }

  /** A copy to work on; everything else about it is drawn by lot. */
  async begin(of: Folder, jobs: string, more: { capacityMib?: number; tgtd?: boolean } = {}): Promise<void> {
    const choice = {
      group: this.group,
      volatile: this.group || this.lot.next() < 0.5,
      persistence: this.lot.next() < 0.5,
      tgtd: false,
      jobs,
      ...more,
    };
    this.#machine = await this.origin.copy(of, this.name, choice);
    this.#observer = new BridgeClient({
      bridgeId: BRIDGE,
      server: {
        host: "127.0.0.1",
        port: this.machine.port,
        clientId: `observer-${this.name}`,
        backoff: { minMs: 20, maxMs: 100 },
      },
      onReport: (report) => this.#note(report),
    });
    this.#observer.start();
    this.machine.bridge.session.client.start();
  }

  async end(failed: boolean): Promise<void> {
    await this.#observer?.stop();
    await this.#machine?.close(failed);
  }

  #note(report: JobReport): void {
    const text = JSON.stringify(report, (_key, value: unknown) =>
      typeof value === "bigint"
        ? `${value}n`
        : value instanceof Uint8Array
          ? Buffer.from(value).toString("hex")
          : value,
    );
    const known = this.#seen.get(report.jobId) ?? new Set();
    known.add(text);
    this.#seen.set(report.jobId, known);
  }

  /** A moment by lot: at a time, at a time in the start, or at one of these steps. */
  #moment(places: readonly Place[]): Moment {
    const { lot } = this;
    const kind = lot.next();
    if (places.length === 0 || kind < 0.35) return { kind: "time", ms: lot.whole(0, LIFE_MS) };
    if (kind < 0.5) return { kind: "time", ms: lot.whole(0, 600) };
    const when = lot.one(["before", "during", "during", "after"] as const);
    return { kind: "place", place: lot.one(places), nth: lot.one([1, 1, 2, 3]), when, ms: lot.whole(0, 3) };
  }

  /**
   * Launches and kills until there were as many kills as wanted, or `done` says that there is nothing left to disturb;
   * leaves the daemon running. @param share of the round's kills @param first what is to come before moments by lot
   */
  async kill(places: readonly Place[], done: () => boolean, share = 1, first: readonly Moment[] = []): Promise<void> {
    for (let count = 0; count < Math.ceil(this.#kills * share) && !done(); count++) {
      const moment = first[count] ?? this.#moment(places);
      const jobs = !this.#allEnded;
      this.machine.launch(moment.kind === "place" ? moment : undefined);
      const end = performance.now() + (moment.kind === "time" ? moment.ms : STEP_MS);
      while (this.machine.running && performance.now() < end && !(moment.kind === "place" && done())) await sleep(2);
      const placed = !this.machine.running;
      if (placed && moment.kind === "time")
        throw new Failed(`the daemon ended by itself:\n${this.machine.log.slice(-3000)}`);
      await this.machine.kill();
      this.tally.hit(phasesOf(this.machine.marks(), jobs), this.group, placed);
    }
    this.machine.launch();
  }

  /** SIGKILL now. */
  async strike(): Promise<void> {
    await this.machine.kill();
    this.tally.hit(phasesOf(this.machine.marks(), true), this.group, false);
  }

  #ended = new Set<string>();
  #expected = new Set<string>();
  get #allEnded(): boolean {
    return [...this.#expected].every((jobId) => this.#ended.has(jobId));
  }

  /** Has the report of this job been seen? From the first call on, the job is one to be recovered. */
  ended(jobId: string): boolean {
    this.#expected.add(jobId);
    if (this.#seen.has(jobId)) this.#ended.add(jobId);
    return this.#ended.has(jobId);
  }

  /** Asks as long as it takes: daemon, server or both may be away. */
  async ask<T>(what: (timeoutMs: number) => Promise<T>): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await what(COMMAND_MS);
      } catch (error) {
        const { code } = error as { code?: unknown };
        if ((code !== "COMMAND_TIMED_OUT" && !String(code).startsWith("LINK_")) || performance.now() > deadline)
          throw error;
      }
    }
  }

  /** The end of a job as the daemon tells it; waits for it. */
  async report(jobId: string): Promise<JobReport> {
    const { client } = this.machine.bridge.session;
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const { report, progress } = await this.ask((timeoutMs) => client.send("job.get", { jobId }, { timeoutMs }));
      if (report !== undefined) {
        this.#note(report);
        return report;
      }
      must(!JOB_ENDS.includes(progress.state), `${jobId} ended as ${progress.state} without a report`);
      must(performance.now() < deadline, `${jobId} does not end:\n${this.machine.log.slice(-3000)}`);
      await sleep(20);
    }
  }

  /**
   * The job has one end: the same whenever it was told, over one more kill, and retained at the MQTT server. Then stops
   * the daemon in order and looks at what it leaves.
   */
  async settled(jobIds: readonly string[]): Promise<readonly JobReport[]> {
    const reports: JobReport[] = [];
    for (const jobId of jobIds) reports.push(await this.report(jobId));
    await this.machine.kill();
    this.tally.hit(phasesOf(this.machine.marks(), false), this.group, false);
    this.machine.launch();
    for (const jobId of jobIds) {
      await this.report(jobId);
      await this.#retained(jobId);
      const texts = this.#seen.get(jobId) ?? new Set();
      this.tally.reports += texts.size;
      must(texts.size === 1, `${jobId} has ${texts.size} different reports: ${[...texts].join("\n")}`);
    }
    await this.#up();
    this.#readers();
    await this.machine.stop();
    await this.#tidy();
    this.tally.jobs += reports.length;
    for (const { resumes } of reports) this.tally.resumes += BigInt(resumes);
    return reports;
  }

  async #up(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.machine.marks()?.up !== true || !this.machine.log.trimEnd().includes('"ready"')) {
      must(performance.now() < deadline, "the daemon does not come up");
      await sleep(10);
    }
    await sleep(100);
  }

  /** Somebody who comes now gets the report from the server. */
  async #retained(jobId: string): Promise<void> {
    let found = false;
    const late = new BridgeClient({
      bridgeId: BRIDGE,
      server: { host: "127.0.0.1", port: this.machine.port, clientId: `late-${this.name}-${jobId}` },
      onReport: (report) => {
        this.#note(report);
        if (report.jobId === jobId) found = true;
      },
    });
    late.start();
    const deadline = performance.now() + 10_000;
    while (!found && performance.now() < deadline) await sleep(10);
    await late.stop();
    must(found, `the report of ${jobId} is not retained at the server`);
  }

  /** Readers of the store are the daemon's that runs, and none of those that were killed. */
  #readers(): void {
    const pid = this.machine.marks()?.pid ?? 0;
    const pids = readersOf(join(this.machine.options.directory, "state"));
    must(pids.includes(pid), `the store's reader table does not have the daemon, ${pid}: ${pids.join(", ")}`);
    const stale = pids.filter((other) => other !== pid);
    must(stale.length === 0, `readers of the store that are no more, beside ${pid}: ${stale.join(", ")}`);
  }

  /** Nothing half-made, and a store that opens. */
  async #tidy(): Promise<void> {
    const { directory } = this.machine.options;
    const known = /^(gantry\.mdb|gantry\.mdb-lock|gantryd\.lock)$/;
    const strange = readdirSync(join(directory, "state")).filter((name) => !known.test(name) && name !== "gantry.sock");
    must(strange.length === 0, `left in the state directory: ${strange.join(", ")}`);
    const tapes = readdirSync(join(directory, "tapes"), { withFileTypes: false }).filter(
      (name) => !/\.tap(\.idx|\.mam)?$/.test(String(name)),
    );
    must(tapes.length === 0, `left among the cartridges: ${tapes.join(", ")}`);
    await openStore(join(directory, "state")).close();
  }

  /** The cartridges are those of the undisturbed job, byte for byte. */
  sameTapes({ tapes, spec }: Accepted): void {
    const made = tapesOf(this.machine);
    for (const [name, bytes] of tapes) {
      const mine = made.get(name);
      must(mine !== undefined, `${spec.jobId}: cartridge ${name} is not there`);
      must(mine.equals(bytes), `${spec.jobId}: ${name} ${difference(mine, bytes)}`);
      this.tally.tapes++;
    }
  }

  sameDisk(mine: Buffer, wanted: Buffer): void {
    must(mine.equals(wanted), `the disk ${difference(mine, wanted)}`);
    this.tally.disks++;
  }
}

export function difference(mine: Buffer, wanted: Buffer): string {
  let at = 0;
  while (at < mine.length && mine[at] === wanted[at]) at++;
  return `differs at byte ${at}; it has ${mine.length} bytes, and ${wanted.length} are wanted`;
}
