// One conversation of the broker with one bridge: connects, installs keys, sends lists, runs jobs and follows them.
import { randomUUID } from "node:crypto";
import type { ChapSecret } from "../../src/admit/credentials.js";
import type { Signed } from "../../src/admit/issuer.js";
import type { Key } from "../../src/admit/key.js";
import { BridgeClient } from "../../src/control/client.js";
import type { ServerOptions } from "../../src/control/link.js";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import { JOB_ENDS, type JobProgress, type JobReport } from "../../src/job.js";
import { GantryError } from "../../src/sys/errors.js";
import type { Glist } from "../agent/glist.js";
import type { BrokerHome } from "./home.js";

/** Log of the keys that this broker issued, and of the jobs that it gave away. */
export const KEY_LOG = "keys.jsonl";
export const JOB_LOG = "jobs.jsonl";

export interface Watcher {
  readonly onProgress?: (progress: JobProgress) => void;
  /** The bridge went away or came back; the job goes on meanwhile. */
  readonly onBridge?: (online: boolean) => void;
}

type Submit = CommandToSend<"job.submit">;

interface PromiseParts {
  resolve(report: JobReport): void;
  reject(error: unknown): void;
}

export class BridgeSession {
  readonly #client: BridgeClient;
  readonly #home: BrokerHome;
  readonly #bridgeId: string;
  readonly #watchers = new Map<string, Watcher>();
  readonly #waiting = new Map<string, PromiseParts>();

  constructor(home: BrokerHome, bridgeId: string, server: ServerOptions) {
    this.#home = home;
    this.#bridgeId = bridgeId;
    this.#client = new BridgeClient({
      bridgeId,
      server,
      onProgress: (progress) => this.#watchers.get(progress.jobId)?.onProgress?.(progress),
      onReport: (report) => this.#waiting.get(report.jobId)?.resolve(report),
      // Nobody could wait for what cannot be read.
      onProblem: (error, topic) => {
        const jobId = /\/job\/([^/]+)\/report$/.exec(topic)?.[1] ?? "";
        this.#waiting.get(jobId)?.reject(error);
      },
      onBridge: ({ online }) => {
        for (const watcher of this.#watchers.values()) watcher.onBridge?.(online);
      },
    });
  }

  get client(): BridgeClient {
    return this.#client;
  }

  /** Throws COMMAND_TIMED_OUT when the bridge is not online by then. */
  async connect(timeoutMs: number): Promise<void> {
    this.#client.start();
    await this.#client.online(timeoutMs);
  }

  close(): Promise<void> {
    return this.#client.stop();
  }

  /** Installs a key and notes it in the broker's log first: a key that exists must be known here, to be revoked. */
  async install(key: Signed<Key>, chap?: ChapSecret): Promise<void> {
    this.#home.append(KEY_LOG, { atMs: Date.now(), bridge: this.#bridgeId, ...key.content, token: key.token });
    await this.#client.send("key.install", { key: key.token, ...(chap !== undefined && { chap }) });
  }

  /** Sends a list under its id; what an earlier attempt brought there is not sent again. */
  async sendList(list: Glist, device: string, onChunk?: (index: number) => void): Promise<void> {
    const { shared: _shared, ...header } = list.header;
    await this.#client.sendList(header, device, list.encodedChunks(), onChunk === undefined ? {} : { onChunk });
  }

  /**
   * Submits a job and waits for its report, however often the bridge or the link goes away meanwhile. The
   * report goes into the broker's log before it is returned.
   */
  async run(spec: Submit, watcher: Watcher = {}): Promise<JobReport> {
    this.#watchers.set(spec.jobId, watcher);
    const reported = new Promise<JobReport>((resolve, reject) => this.#waiting.set(spec.jobId, { resolve, reject }));
    // A report that cannot be read may come before anybody waits for it.
    reported.catch(() => {});
    try {
      this.#home.append(JOB_LOG, {
        atMs: Date.now(),
        bridge: this.#bridgeId,
        jobId: spec.jobId,
        type: spec.type,
        state: "submitted",
      });
      await this.#submit(spec);
      const report = await reported;
      this.#home.append(JOB_LOG, { atMs: Date.now(), bridge: this.#bridgeId, ...report });
      return report;
    } catch (error) {
      this.#home.append(JOB_LOG, {
        atMs: Date.now(),
        bridge: this.#bridgeId,
        jobId: spec.jobId,
        type: spec.type,
        state: "rejected",
        failure: { code: error instanceof GantryError ? error.code : "INTERNAL", message: (error as Error).message },
      });
      throw error;
    } finally {
      this.#watchers.delete(spec.jobId);
      this.#waiting.delete(spec.jobId);
    }
  }

  /** A reply that was lost is asked for again: the same job is the same job. */
  async #submit(spec: Submit): Promise<void> {
    const id = randomUUID();
    for (let attempt = 0; ; attempt++) {
      try {
        const { state } = await this.#client.send("job.submit", spec, { id });
        if (JOB_ENDS.includes(state)) await this.#fetchReport(spec.jobId);
        return;
      } catch (error) {
        if (!(error instanceof GantryError) || error.code !== "COMMAND_TIMED_OUT" || attempt >= 3) throw error;
      }
    }
  }

  /** A job that had ended before: its retained report may have come before anybody waited for it. */
  async #fetchReport(jobId: string): Promise<void> {
    const { report } = await this.#client.send("job.get", { jobId });
    if (report !== undefined) this.#waiting.get(jobId)?.resolve(report);
  }
}
