// The verbs that ask a device, and those that listen to what goes to it. They send only commands that change nothing.
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
  {
    words: "trace on",
    help: "record the commands of a server or to a device",
    detail:
      "CDB, status, sense data, lengths and times of every command of that I_T nexus, or to that device, whether servers send it or the bridge itself does, for copy jobs above all; never a byte of data. The last 4096 are kept. It ends by itself after 10 minutes, or when so many seconds are given, after those.",
    args: [{ name: "what", help: "a device, or an initiator's name", complete: "device-or-initiator" }],
    options: [{ name: "seconds", value: "seconds", help: "1 to 86400 (default 600)" }],
    role: "technician",
  },
  {
    words: "trace off",
    help: "stop recording; what was recorded stays to be shown",
    args: [
      { name: "what", help: "a device or initiator (default: all)", optional: true, complete: "device-or-initiator" },
    ],
    role: "technician",
  },
  {
    words: "trace show",
    help: "what was recorded, decoded, on the console or as a pcap file",
    detail:
      "The file holds, for each command, an iSCSI SCSI Command PDU and its SCSI Response PDU in TCP segments of raw IPv4 (LINKTYPE_RAW), so that Wireshark and tshark decode CDBs and sense data; addresses, ports and sequence numbers are made up, one connection for each nexus, and one for what the bridge itself sent to each device. Wireshark takes every device for a disk until it is told otherwise (preference scsi.decode_scsi_messages_as: Sequential Device, Medium Changer Device).",
    options: [
      { name: "last", value: "commands", help: "so many (default: all)" },
      { name: "follow", help: "go on with what comes, until Ctrl-C" },
      { name: "file", value: "file", help: "write a pcap file instead", complete: "file" },
    ],
    role: "technician",
  },
];
