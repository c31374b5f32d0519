// gantry-broker jobs, serve, status: the one log of all jobs of all bridges, and the long-running broker that
// fills it with reports whoever started the jobs.
import type { Command } from "commander";
import { BridgeClient } from "../../src/control/client.js";
import { readServerOptions } from "../../src/control/server-options.js";
import type { JobReport } from "../../src/job.js";
import { facts } from "../../src/sys/text.js";
import { globals, homeOf, print, withBridge } from "./common.js";
import { JOB_LOG } from "./session.js";

interface Logged extends Record<string, unknown> {
  readonly jobId: string;
  readonly state: string;
  readonly atMs: number;
}

export function addLogCommands(program: Command): void {
  program
    .command("jobs")
    .description("the log of all jobs: failed and incomplete ones first")
    .option("--failed", "only those that did not succeed")
    .action((options: { failed?: boolean }, command: Command) => showJobs(options.failed === true, command));
  program
    .command("status")
    .description("what a bridge says of itself")
    .requiredOption("--bridge <id>", "bridge to ask")
    .action(async ({ bridge }: { bridge: string }, command: Command) => {
      const status = await withBridge(command, bridge, (session) => session.client.send("status.get", {}));
      print(command, status, () => facts(inOrder(status)));
    });
  program
    .command("serve")
    .description("stay connected and keep the reports and events of bridges in the log, until stopped")
    .requiredOption("--bridge <ids...>", "bridges to listen to")
    .action((options: { bridge: string[] }, command: Command) => serve(options.bridge, command));
}

/** As the bridge's own shell shows it; a map in CBOR has no order that means anything. */
function inOrder(status: Record<string, unknown>): Record<string, unknown> {
  const known = ["bridge", "version", "bootId", "host", "node", "startedMs", "uptimeS", "mqtt", "clock", "keys"];
  const order = [...known, "devices", "jobs", "lists"].filter((name) => name in status);
  return Object.fromEntries([...new Set([...order, ...Object.keys(status)])].map((name) => [name, status[name]]));
}

/** The newest entry of each job; a job that never reported is incomplete. */
function newest(entries: Iterable<Record<string, unknown>>): Logged[] {
  const jobs = new Map<string, Logged>();
  for (const entry of entries) if (typeof entry.jobId === "string") jobs.set(entry.jobId, entry as Logged);
  return [...jobs.values()];
}

function showJobs(onlyFailed: boolean, command: Command): void {
  const rank = (job: Logged): number => (job.state === "succeeded" ? 1 : 0);
  const jobs = newest(homeOf(command).entries(JOB_LOG))
    .filter((job) => !onlyFailed || job.state !== "succeeded")
    .sort((a, b) => rank(a) - rank(b) || b.atMs - a.atMs);
  print(command, jobs, () => (jobs.length === 0 ? "no jobs" : jobs.map(line).join("\n")));
}

function line(job: Logged): string {
  const state =
    job.state === "submitted" ? "INCOMPLETE" : job.state === "succeeded" ? job.state : job.state.toUpperCase();
  const failure = (job.failure as { message?: string } | undefined)?.message;
  const asker = (job.copy as { initiator?: string } | undefined)?.initiator;
  return `${new Date(job.atMs).toISOString()}  ${state.padEnd(10)}  ${job.bridge}  ${job.jobId}${asker === undefined ? "" : `  for ${asker}`}${failure === undefined ? "" : `\n    ${failure}`}`;
}

async function serve(bridges: readonly string[], command: Command): Promise<void> {
  const home = homeOf(command);
  const { url, ca, cert, key, username, passwordFile } = globals(command);
  const known = new Set(
    newest(home.entries(JOB_LOG))
      .filter((job) => job.state !== "submitted")
      .map(({ jobId }) => jobId),
  );
  const log = (text: string): void => console.log(`${new Date().toISOString()}  ${text}`);
  const clients = bridges.map((bridgeId) => {
    const server = readServerOptions({
      url,
      clientId: `broker-serve-${bridgeId}`,
      caFile: ca,
      certFile: cert,
      keyFile: key,
      username,
      passwordFile,
    });
    const client = new BridgeClient({
      bridgeId,
      server,
      onBridge: ({ online }) => log(`${bridgeId} is ${online ? "online" : "away"}`),
      onEvent: (event) => log(`${bridgeId} ${event.severity}: ${event.message}`),
      onReport: (report: JobReport) => {
        // Reports are retained, so each comes again with every connection.
        if (known.has(report.jobId)) return;
        known.add(report.jobId);
        home.append(JOB_LOG, { atMs: Date.now(), bridge: bridgeId, ...report });
        const asker = report.copy === undefined ? "" : ` for ${report.copy.initiator}`;
        log(
          `${bridgeId} job ${report.jobId}${asker} ended: ${report.state}${report.failure === undefined ? "" : `, ${report.failure.message}`}`,
        );
      },
    });
    client.start();
    return client;
  });
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  await Promise.all(clients.map((client) => client.stop()));
}
