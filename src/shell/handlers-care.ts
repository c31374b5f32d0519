// The care of the machine: self-test, support bundle, configuration, update, reboot.
import { jobPage } from "../control/job-commands.js";
import { keyPage } from "../control/key-pages.js";
import { privilegeFacts, refusalFacts, sessionFacts } from "../control/server-commands.js";
import { messageOf } from "../sys/errors.js";
import { configView } from "./config-view.js";
import { copyRows } from "./copy-rows.js";
import { toLine } from "./protocol.js";
import type { Handler, ShellRoom } from "./room.js";
import { selfTest } from "./self-test.js";

const ROWS = 500;
const LOG_LINES = 1000;

/** A file of the support bundle. */
export interface BundleFile {
  readonly name: string;
  readonly text: string;
}

export const CARE_HANDLERS: readonly (readonly [string, Handler])[] = [
  ["self-test", selfTest],
  ["support bundle", async (room) => ({ files: await bundleFiles(room) })],
  // The client reads the file, with its own right to do so; the daemon judges it.
  ["config check", ({ plant }, { args: [name = "", text = ""] }) => plant.checkConfig(text, name)],
  ["config apply", ({ plant }, { args: [name = "", text = ""] }) => plant.applyConfig(text, name)],
  ["update status", async ({ plant }) => ({ said: await plant.board("update", ["status"]) })],
  [
    "update install",
    async ({ plant }, { args: [file = ""] }) => ({ said: await plant.board("update", ["install", file]) }),
  ],
  ["reboot", async ({ plant }) => ({ said: await plant.board("reboot", []) })],
];

/** One that cannot be made says why, and the others are there all the same. */
async function bundleFiles(room: ShellRoom): Promise<readonly BundleFile[]> {
  const { status, plant, config, counters, jobs, ring, reservations, servers, copies, logRing } = room;
  const parts: Readonly<Record<string, () => unknown>> = {
    "system.json": () => ({ ...status(), ...plant.systemFacts() }),
    "config.json": () => configView(config()),
    "counters.json": counters,
    "jobs.json": () => jobPage(jobs, undefined, undefined, ROWS),
    "reports.json": () =>
      [...jobs.list()]
        .sort((a, b) => b.submittedMs - a.submittedMs)
        .slice(0, 20)
        .map(({ jobId }) => withoutRows(jobs.progress(jobId))),
    "copies.json": () => copyRows(copies),
    "keys.json": () => keyPage(ring, "", ROWS),
    "reservations.json": () => reservations.list(),
    "sessions.json": () => sessionFacts(servers),
    "refusals.json": () => refusalFacts(servers).slice(0, ROWS),
    "privileges.json": () => privilegeFacts(servers),
    "units.json": () => servers.units(),
    "self-test.json": () => selfTest(room),
    "log.jsonl": () =>
      logRing
        .lines(0)
        .slice(-LOG_LINES)
        .map(({ text }) => `${text}\n`)
        .join(""),
  };
  return Promise.all(
    Object.entries(parts).map(async ([name, make]) => {
      try {
        const value = await make();
        return { name, text: typeof value === "string" ? value : toLine(value) };
      } catch (error) {
        return { name, text: `${messageOf(error)}\n` };
      }
    }),
  );
}

/** A report may tell of millions of places. */
function withoutRows(report: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(report).map(([key, value]) => [key, Array.isArray(value) ? value.slice(0, 20) : value]),
  );
}
