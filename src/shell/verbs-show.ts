// The verbs that look, and change nothing.
import { KEY_COLUMNS } from "../sys/text.js";
import type { Verb } from "./verb.js";

export const SHOW_VERBS: readonly Verb[] = [
  {
    words: "show system",
    help: "bridge, connection to the broker, clock, memory, counts",
    detail:
      "`mqtt` says whether the broker can be reached, and `mqttSinceMs` since when it is so. What the bridge was told before goes on without it.",
    role: "technician",
  },
  {
    words: "show devices",
    help: "devices and who they say they are",
    detail: "Sends INQUIRY to each; one that does not answer is shown with its reason.",
    role: "technician",
  },
  {
    words: "show paths",
    help: "by which way each device is reached, and how that way is",
    role: "technician",
    columns: ["device", "transport", "path", "state", "sinceMs", "failures", "problem"],
  },
  {
    words: "show sessions",
    help: "servers that are logged in, and what went over their paths",
    role: "technician",
    columns: ["initiator", "target", "peer", "sinceMs", "luns"],
  },
  {
    words: "show keys",
    help: "installed keys: who may do what with which device, until when",
    role: "technician",
    columns: KEY_COLUMNS,
  },
  {
    words: "show reservations",
    help: "who holds which device, and since when",
    role: "technician",
    columns: ["device", "kind", "type", "holders", "sinceMs", "jobs"],
  },
  {
    words: "show refusals",
    help: "who was refused what and why, the latest first",
    role: "technician",
    columns: ["initiator", "device", "why", "command", "count", "lastMs"],
  },
  {
    words: "show privileges",
    help: "who writes on the disks that servers share",
    role: "technician",
    columns: ["device", "writer", "sinceMs", "waiting", "moving"],
  },
  {
    words: "show jobs",
    help: "all jobs that are remembered",
    role: "technician",
    columns: ["jobId", "type", "state", "bytesDone", "bytesTotal", "membersDone", "cartridge"],
  },
  {
    words: "show job",
    help: "one job, with its report if it has ended",
    detail:
      "With `--watch` one line that is rewritten while the job runs, at a rate that the line's speed bears; the report follows at its end. Ctrl-C ends the watching, not the job.",
    args: [{ name: "id", help: "the job's id", complete: "job" }],
    options: [{ name: "watch", help: "follow it until it ends" }],
    role: "technician",
  },
  {
    words: "show copies",
    help: "third-party copies of servers: those that run, the latest others, and why any was not done here",
    role: "technician",
    columns: ["jobId", "who", "what", "from", "to", "bytes", "bytesPerS", "result"],
  },
  {
    words: "show media",
    help: "cartridges of drives that can load them",
    role: "technician",
  },
  {
    words: "show tape",
    help: "tape drives: ready or why not, cartridge, where it stands, write protection",
    detail:
      "A drive that a job uses, or a real one that servers reach over the bridge's own nexus, is shown without being asked.",
    role: "technician",
    columns: ["drive", "cartridge", "state", "object", "writeProtected", "usedBy"],
  },
  {
    words: "show library",
    help: "cartridges on the shelves of the drives, and which one is where",
    role: "technician",
    columns: ["cartridge", "place", "drive", "bytes"],
  },
  {
    words: "show log",
    help: "the latest lines of the log",
    detail:
      "The daemon keeps the last 2000 lines, and of warnings and errors the last 500 however much else was said since. Everything goes to the service manager's journal as well.",
    options: [
      { name: "level", value: "level", help: "this level and worse", complete: ["debug", "info", "warn", "error"] },
      { name: "last", value: "lines", help: "so many lines (default 50)" },
      { name: "follow", help: "go on with what comes, until Ctrl-C" },
    ],
    role: "technician",
  },
  {
    words: "show counters",
    help: "everything that is counted: paths, front end, jobs, copies, refusals, memory",
    role: "technician",
  },
  {
    words: "show config",
    help: "the configuration in force, with its defaults and without secrets",
    detail:
      "Only keys that are known to hold no secret are shown; passwords and CHAP secrets are in files, of which the names are shown.",
    role: "technician",
  },
];
