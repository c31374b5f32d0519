// The verbs that ask a device. They send only commands that change nothing.
import type { Verb, VerbArgument } from "./verb.js";

const NAME: VerbArgument = { name: "device", help: "name in the configuration", complete: "device" };

export const DEVICE_VERBS: readonly Verb[] = [
  {
    words: "device inquire",
    help: "INQUIRY data and vital product data in words",
    detail:
      "Without a page: standard data and the pages 80h, 83h, 86h, B0h, B1h, B2h, as far as the device has them. INQUIRY leaves a pending unit attention pending (SPC-4 6.4.1), so that a device in use is not disturbed.",
    args: [NAME, { name: "page", help: "one page in hexadecimal, as it is", optional: true }],
    role: "technician",
  },
  {
    words: "device sense",
    help: "whether the device is ready, and its sense data in words",
    detail:
      "TEST UNIT READY, then REQUEST SENSE, over an I_T nexus of the shell's own. A SCSI generic node has one nexus for everybody on this machine: while a job or a server uses it the verb is refused (DEVICE_IN_USE), since it would take a unit attention from them.",
    args: [NAME],
    role: "technician",
  },
  {
    words: "device log",
    help: "log pages (LOG SENSE) in words",
    detail:
      "Without a page: those that the device has. The TapeAlert page (2Eh) is `device alerts`, since reading it can deactivate its flags.",
    args: [NAME, { name: "page", help: "page in hexadecimal", optional: true }],
    role: "technician",
  },
  {
    words: "device alerts",
    help: "TapeAlert flags of a drive in words",
    detail:
      "Asks the TapeAlert Response page (12h), which leaves the flags as they are. A drive that has only the TapeAlert page (2Eh) deactivates what it has told (SSC-4 4.2.20), and backup software that looks later does not see it: such a drive is asked with `--take` only, by an administrator.",
    args: [{ ...NAME, complete: "drive" }],
    options: [{ name: "take", help: "also from a drive that deactivates what it tells" }],
    role: "technician",
  },
];
