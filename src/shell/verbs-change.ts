// The verbs that steer, and the care of the machine.
import type { Verb, VerbArgument } from "./verb.js";

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
    words: "completion",
    help: "print what makes a login shell complete gantry's words",
    detail: "`source <(gantry completion bash)`",
    args: [{ name: "shell", help: "which shell", complete: ["bash"] }],
    role: "technician",
    local: true,
  },
];
