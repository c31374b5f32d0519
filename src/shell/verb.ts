// What a verb of the shell is. The table of verbs (verb-table.ts) is data: the daemon takes roles from it, the client its
// arguments and help, the interactive shell its completion, and SHELL.md is made from it.

/** A technician looks and runs self-tests; an administrator changes things, too. The daemon decides who is who. */
export const ROLES = ["technician", "administrator"] as const;
export type Role = (typeof ROLES)[number];

/** What completion offers: names that the daemon knows, files of this machine, or words. */
export const NAME_KINDS = ["device", "drive", "cartridge", "job", "initiator", "device-or-initiator"] as const;
export type NameKind = (typeof NAME_KINDS)[number];
export type Completer = NameKind | "file" | readonly string[];

export interface VerbArgument {
  readonly name: string;
  readonly help: string;
  readonly optional?: boolean;
  readonly complete?: Completer;
}

export interface VerbOption {
  /** Without the two dashes. */
  readonly name: string;
  /** Name of its value; absent: it has none. */
  readonly value?: string;
  readonly help: string;
  readonly complete?: Completer;
}

export interface Verb {
  /** "show jobs": also its name between client and daemon. */
  readonly words: string;
  /** One line. */
  readonly help: string;
  /** More, for the reference. */
  readonly detail?: string;
  readonly args?: readonly VerbArgument[];
  readonly options?: readonly VerbOption[];
  /** Who may, at least. */
  readonly role: Role;
  /** What has to be said once more before it is done: the value of this argument, or the bridge's id. */
  readonly confirm?: string;
  /** Of a list: the columns that matter; everything is in --json. */
  readonly columns?: readonly string[];
  /** The client does it, and asks the daemon by other verbs or not at all. */
  readonly local?: boolean;
}

/** In place of an argument's name: the id of the bridge. */
export const CONFIRM_BRIDGE = "bridge";

export const mayDo = (role: Role, verb: Pick<Verb, "role">): boolean => ROLES.indexOf(role) >= ROLES.indexOf(verb.role);
