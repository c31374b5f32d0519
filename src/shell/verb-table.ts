// The one table of verbs.
import type { Verb } from "./verb.js";
import { CARE_VERBS, CHANGE_VERBS } from "./verbs-change.js";
import { DEVICE_VERBS } from "./verbs-device.js";
import { SHOW_VERBS } from "./verbs-show.js";

export const VERBS: readonly Verb[] = [...SHOW_VERBS, ...DEVICE_VERBS, ...CHANGE_VERBS, ...CARE_VERBS];

/** What the first words of verbs of two words stand for. */
export const GROUPS: Readonly<Record<string, string>> = {
  show: "look, change nothing",
  device: "ask a device, in the words of the SCSI standards",
  trace: "record the commands of servers",
  job: "steer a job",
  tape: "cartridges of emulated drives",
  reservation: "what servers have reserved",
  privilege: "who writes on a disk that servers share",
  support: "for the makers",
  config: "the configuration file",
  update: "the machine's software",
};

const BY_WORDS: ReadonlyMap<string, Verb> = new Map(VERBS.map((verb) => [verb.words, verb]));

export const verbOf = (words: string): Verb | undefined => BY_WORDS.get(words);
