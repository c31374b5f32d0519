// Sees to it that the server's retained reports are those of the journal: what it was not told yet, and everything
// once it has lost something. Only names wait here, however long the server is away; reports are read when they go out.
import type { Journal } from "../copy/journal.js";
import type { JobReport } from "../job.js";
import { GantryError, messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import type { StateMessage } from "./messages/events.js";

/** The part of the control door that is needed. */
export interface ReportDoor {
  report(report: JobReport): Promise<void>;
  clearReport(jobId: string): Promise<void>;
}

export interface ReportPublisherOptions {
  readonly journal: Pick<Journal, "ended" | "reportOf" | "reports">;
  readonly door: () => ReportDoor;
  readonly log: Pick<Logger, "warn" | "info">;
}

/** Reports under way at once. */
const WINDOW = 8;

export class ReportPublisher {
  readonly #options: ReportPublisherOptions;
  /** Jobs whose retained report is to be made right, the urgent ones first. */
  readonly #fresh = new Set<string>();
  readonly #again = new Set<string>();
  readonly #underWay = new Set<string>();
  /** Number of the connection, once it is known what the server still has; nothing goes out before. */
  #connection: bigint | undefined;
  /** All is being told again; when that is done, without a failure, the server is as good as before. */
  #restoring = false;
  /** Counts beginnings and ends of connections. */
  #turn = 0;

  constructor(options: ReportPublisherOptions) {
    this.#options = options;
  }

  /** A job ended or was forgotten. */
  changed(jobId: string): void {
    this.#fresh.add(jobId);
    this.#pump();
  }

  /** @param before the state that the server kept when this connection began. Never rejects. */
  async connected(connection: bigint, before: StateMessage | undefined): Promise<void> {
    const { journal, log } = this.#options;
    const turn = ++this.#turn;
    const ended = before === undefined || before.online ? undefined : before.bdSeq;
    for (const jobId of journal.reports.untold) this.#fresh.add(jobId);
    if (!journal.reports.provenBy(ended)) {
      const kept = journal.ended();
      log.info({ reports: kept.length }, "the MQTT server may have lost reports; all are published again");
      // First, or a daemon that is killed half way would take the rest for told.
      await journal.reports.distrust().catch((error: unknown) => log.warn({ error }, messageOf(error)));
      if (turn !== this.#turn) return;
      for (const { jobId } of kept) this.#again.add(jobId);
      this.#restoring = true;
    }
    this.#connection = connection;
    this.#pump();
  }

  disconnected(): void {
    this.#turn++;
    this.#connection = undefined;
    this.#restoring = false;
    this.#again.clear();
  }

  #pump(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const waiting of [this.#fresh, this.#again]) {
      for (const jobId of waiting) {
        if (this.#underWay.size >= WINDOW) return;
        // Its next turn comes when this one is over: two at once could arrive in the wrong order.
        if (this.#underWay.has(jobId)) continue;
        waiting.delete(jobId);
        void this.#tell(jobId);
      }
    }
    if (!this.#restoring || this.#again.size > 0 || this.#underWay.size > 0) return;
    this.#restoring = false;
    this.#options.journal.reports
      .trust(connection)
      .catch((error: unknown) => this.#options.log.warn({ error }, "all reports are published again next time"));
  }

  async #tell(jobId: string): Promise<void> {
    const { journal, door, log } = this.#options;
    const stamp = journal.reports.stamp(jobId);
    this.#underWay.add(jobId);
    this.#again.delete(jobId);
    try {
      const report = journal.reportOf(jobId);
      // A job under this id that has not ended: the report that is kept there is of one that was forgotten.
      if (report === undefined) await door().clearReport(jobId);
      else await door().report(report);
      // On another connection than it began on: it is not known yet what the server has, and told again then.
      const connection = this.#connection;
      if (connection !== undefined && stamp !== undefined) {
        if (await journal.reports.told(jobId, stamp, connection)) this.#fresh.delete(jobId);
        else this.#fresh.add(jobId);
      }
    } catch (error) {
      this.#restoring = false;
      // What the server refuses, and what the state directory does not take, is told again on the next connection.
      const closed = error instanceof GantryError && error.code === "LINK_CLOSED";
      if (!closed) log.warn({ jobId, error }, `a report waits for the next connection: ${messageOf(error)}`);
    } finally {
      this.#underWay.delete(jobId);
      this.#pump();
    }
  }
}
