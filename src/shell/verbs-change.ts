// The verbs that steer, and the care of the machine.
import { CONFIRM_BRIDGE, type Verb, type VerbArgument } from "./verb.js";

const JOB: VerbArgument = { name: "id", help: "the job's id", complete: "job" };
const DEVICE: VerbArgument = { name: "device", help: "name in the configuration", complete: "device" };
const DRIVE: VerbArgument = { name: "drive", help: "name in the configuration", complete: "drive" };

export const CHANGE_VERBS: readonly Verb[] = [
  {
    words: "job pause",
    help: "hold a job where it is",
    args: [JOB],
    role: "administrator",
  },
  { words: "job resume", help: "let a paused job go on", args: [JOB], role: "administrator" },
  {
    words: "job cancel",
    help: "end a job; what is on tape stays readable",
    args: [JOB],
    role: "administrator",
  },
  {
    words: "tape load",
    help: "put a cartridge into a drive that no job and no server uses",
    args: [DRIVE, { name: "cartridge", help: "its name", complete: "cartridge" }],
    options: [{ name: "create", help: "a blank one, when there is none of that name" }],
    role: "administrator",
  },
  { words: "tape unload", help: "take the cartridge out", args: [DRIVE], role: "administrator" },
  {
    words: "reservation clear",
    help: "take a device away from the servers that hold it",
    detail: "They lose it in the middle of what they do: each gets a unit attention (2Ah/03h RESERVATIONS PREEMPTED).",
    args: [DEVICE],
    role: "administrator",
    confirm: "device",
  },
  {
    words: "privilege move",
    help: "let another server write, at a command boundary, with the cache emptied",
    args: [
      DEVICE,
      { name: "from", help: "who writes now", complete: "initiator" },
      { name: "to", help: "who is to", complete: "initiator" },
    ],
    role: "administrator",
  },
];

export const CARE_VERBS: readonly Verb[] = [
  {
    words: "self-test",
    help: "look whether everything is as it should be; changes nothing",
    detail:
      "Store, clock, broker, keys, memory, room, the data plane's arithmetic, and every device that can be asked without disturbing anybody. Each line says pass, FAIL or skip, and what to do. Exit code 1 when anything failed.",
    role: "technician",
    columns: ["check", "result", "said"],
  },
  {
    words: "support bundle",
    help: "write what a maker needs to find a fault into a tar file, without secrets",
    detail:
      "Versions, system, configuration (by the same list of harmless keys as `show config`), log, counters, jobs, sessions, reservations. `-` writes to standard output.",
    args: [{ name: "file", help: "the tar file to make", complete: "file" }],
    role: "technician",
  },
  {
    words: "config check",
    help: "look whether a configuration file is in order, and what it would change",
    args: [{ name: "file", help: "a file on this machine", complete: "file" }],
    role: "technician",
  },
  {
    words: "config apply",
    help: "put a configuration in force",
    detail:
      "Checked whole first; with any fault nothing is changed. The file before is kept beside it (`.previous`), the new one takes its place in one step, on stable storage, and is taken over as by SIGHUP. Says which keys wait for the next start.",
    args: [{ name: "file", help: "a file on this machine", complete: "file" }],
    role: "administrator",
  },
  {
    words: "update status",
    help: "which software is installed, and what the next start will run",
    detail: "What the board's update program says (`board.update` in the configuration).",
    role: "technician",
  },
  {
    words: "update install",
    help: "install new software; it runs from the next start on",
    args: [{ name: "file", help: "the update, on the bridge", complete: "file" }],
    role: "administrator",
    confirm: CONFIRM_BRIDGE,
  },
  {
    words: "reboot",
    help: "start the machine anew; running jobs go on from their checkpoints",
    role: "administrator",
    confirm: CONFIRM_BRIDGE,
  },
  {
    words: "completion",
    help: "print what makes a login shell complete gantry's words",
    detail: "`source <(gantry completion bash)`",
    args: [{ name: "shell", help: "which shell", complete: ["bash"] }],
    role: "technician",
    local: true,
  },
];
