// Every error that Gantry makes: one class, a stable code, a sentence that says what is wrong and what to
// do, the cause kept. Code is API: messages may be reworded, codes may not. The table is pinned by a test
// and is the reference for people who match on `error.code`.

/** What the receiver should do: mend the input, try again later, or call somebody. */
export type ErrorKind = "input" | "refused" | "state" | "device" | "system";

interface ErrorRow {
  readonly kind: ErrorKind;
  /** What it means and what to do about it; for the reference. */
  readonly meaning: string;
}

const row = (kind: ErrorKind, meaning: string): ErrorRow => ({ kind, meaning });

/** Code → meaning. Keep the rows of one room together and in alphabetical order. */
export const ERRORS = {
  // native
  NATIVE_CLOSED: row("state", "The handle was closed before or during the call; open it again."),
  NATIVE_FAILED: row("system", "The data plane could not do what was asked; the errno name is in `details.errno`."),
  // control
  COMMAND_REJECTED: row(
    "refused",
    "The bridge refused the command with a code that is not known here; see `details.code`.",
  ),
  COMMAND_TIMED_OUT: row(
    "state",
    "No reply came in time; the command may or may not have been carried out: ask, or send it again with the same id.",
  ),
  LINK_BUSY: row("state", "Too much is waiting to be sent to the MQTT server; try again when it has drained."),
  LINK_CLOSED: row("state", "The link to the MQTT server was stopped before this was acknowledged."),
  LINK_REFUSED: row("refused", "The MQTT server refused a publication or subscription; check its access rules."),
  LIST_CHUNK_CONFLICT: row(
    "input",
    "A chunk with this index and other bytes is stored already; drop the list and send it again.",
  ),
  LIST_DIGEST_WRONG: row(
    "input",
    "The stored chunks do not have the digest of the header; the list is dropped, send it again.",
  ),
  LIST_EXISTS: row("input", "A list with this id and another header exists; choose another id or drop the list."),
  LIST_IN_USE: row("state", "A job needs the list; cancel the job or wait for its end."),
  LIST_INCOMPLETE: row(
    "state",
    "Not all chunks of the list are stored; ask for `list.status` and send those that are missing.",
  ),
  LIST_INVALID: row("input", "The list contradicts itself or its header; the list is dropped, make it again."),
  LIST_LIMIT: row(
    "refused",
    "The list, or all lists together, would be larger than the bridge takes; drop others or make it smaller.",
  ),
  LIST_UNKNOWN: row(
    "input",
    "There is no list with this id; open it first. Incomplete and unused lists are dropped after a time.",
  ),
  MESSAGE_ID_REUSED: row("input", "The message id was used for another message; every command needs an id of its own."),
  MESSAGE_INVALID: row(
    "input",
    "A field of the message is missing or wrong; the message says which and what it must be.",
  ),
  MESSAGE_KIND_UNKNOWN: row("input", "This bridge knows no message of this kind; see PROTOCOL.md."),
  MESSAGE_MALFORMED: row(
    "input",
    "The payload is not CBOR as it is used here (definite lengths, text keys that occur once, known tags).",
  ),
  MESSAGE_TOO_LARGE: row("input", "The message is larger than the limit; send less at once."),
  MESSAGE_TOPIC_WRONG: row(
    "refused",
    "The message came on a topic that is not for its kind, or asks for replies where they may not go.",
  ),
  MESSAGE_UNENCODABLE: row("system", "A value cannot be written as CBOR; a defect of the caller."),
  // fabric
  ISCSI_LOGIN_REFUSED: row(
    "refused",
    "An initiator's login was refused; `details.status` is the Status-Class and Status-Detail that it was told (RFC 7143 11.13.5).",
  ),
  ISCSI_TEXT_INVALID: row(
    "input",
    "The text of a login or text request breaks the rules of RFC 7143 6.1; the connection is closed.",
  ),
  PREEMPT_UNWANTED: row(
    "refused",
    "Nobody of that name waits for the device, or another holds it by now; see the event `preempt.wanted`.",
  ),
  PORTAL_UNUSABLE: row(
    "system",
    "The bridge cannot listen at a portal; the message says which and why. Mend `iscsi.portals` or free the port.",
  ),
  // keys and gate
  CLOCK_UNTRUSTED: row(
    "refused",
    "The bridge does not know the time, so it takes no key; set the clock, or tell it that the clock is right.",
  ),
  GATE_DEVICE: row("refused", "No key named by the job covers this device; ask the broker for one that does."),
  GATE_HOLDER: row("refused", "The key was issued to another holder than this job."),
  GATE_LIMIT: row("refused", "The job would move more bytes than its key allows."),
  GATE_MEDIA: row("refused", "The key does not cover this cartridge, or names cartridges while the job names none."),
  GATE_NO_KEY: row("refused", "The job names no key that is installed here; install the key first, then send the job."),
  GATE_PRIORITY: row("refused", "The job asks for a higher priority than its key allows."),
  GATE_REFUSED: row("refused", "At least one leg of the job is not admitted; `details.refusals` says which and why."),
  GATE_RIGHT: row("refused", "The key covers the device but not what the job wants to do with it."),
  GATE_ZONE: row("refused", "No zone has both the device and the copy engine; add `mover` to one that has the device."),
  KEY_ALGORITHM: row("refused", "The key is signed with an algorithm that is not taken; sign with EdDSA over Ed25519."),
  KEY_AUDIENCE_WRONG: row("refused", "The key was issued for another bridge."),
  KEY_CHAP_WRONG: row(
    "refused",
    "The CHAP name and secret beside the key are missing, not those that the issuer sealed in it, or of a wrong length.",
  ),
  KEY_CRITICAL_UNKNOWN: row(
    "refused",
    "The key says that something must be understood which this version does not know.",
  ),
  KEY_EPOCH_OLD: row("refused", "The key is of an epoch that was revoked; ask the broker for a new one."),
  KEY_EXPIRED: row("refused", "The key's time is over; ask the broker for a renewal."),
  KEY_HOLDER_WRONG: row("refused", "The key was presented by another initiator than the one that it is for."),
  KEY_ISSUER_INVALID: row(
    "input",
    "An issuer key is not a usable Ed25519 key; give the PEM or the 32 bytes in hexadecimal.",
  ),
  KEY_ISSUER_UNKNOWN: row("refused", "The key is signed by nobody whom the configuration trusts."),
  KEY_LIFETIME_TOO_LONG: row("refused", "The key is valid for longer than the configuration allows."),
  KEY_MALFORMED: row("input", "The bytes are not a key or a revocation order; the message says what is wrong."),
  KEY_NOT_STORED: row(
    "system",
    "The key or order could not be put on stable storage, so it is not acknowledged; try again.",
  ),
  KEY_NOT_YET_VALID: row("refused", "The key's time has not come yet; check both clocks."),
  KEY_RENEWAL_WRONG: row("refused", "A renewal must have the issuer and the holder of the key that it replaces."),
  KEY_REPLAYED: row("refused", "Another key with this id was seen before; every key needs an id of its own."),
  KEY_REVOKED: row("refused", "The key was revoked by its issuer."),
  KEY_RING_CORRUPT: row(
    "system",
    "What was revoked cannot be read from the state directory, so no key is taken; restore it or clear the keys.",
  ),
  KEY_RING_FULL: row(
    "refused",
    "As many keys are installed as the configuration allows; revoke some or raise the limit.",
  ),
  KEY_SIGNATURE_WRONG: row("refused", "The signature does not match: the key was changed on the way or is forged."),
  // copy-manager
  COPY_INTERRUPTED: row(
    "state",
    "The daemon ended while a third-party copy ran, by a stop or a loss of power; the server that asked for it was told, or lost its session, and has to ask again.",
  ),
  // wire
  CBOR_INVALID: row("input", "The bytes are not CBOR in the strict form that keys use."),
  COPY_REFUSED: row(
    "input",
    "A third-party copy breaks a rule of SPC-4 or SBC-3, or was aborted; the message says which and where, `details` has the sense code.",
  ),
  HEX_INVALID: row("input", "The text is not hexadecimal."),
  SCSI_DATA_INVALID: row("device", "A device's answer contradicts the standard; the message says where."),
  SCSI_DATA_TRUNCATED: row("device", "A device's answer is shorter than what it says or must have."),
  SCSI_FIELD_RANGE: row("input", "A value does not fit into its field of a command or parameter list."),
  // sys
  INTERNAL: row("system", "A defect of Gantry itself; please report it with the log."),
  BOARD_FAILED: row("system", "A program of the board (`[board]`) did not do what it was asked; its output says why."),
  BOARD_MISSING: row(
    "state",
    "This machine has no program for that: `[board]` in the configuration names what updates and restarts it.",
  ),
  CONFIG_INVALID: row(
    "input",
    "Keys of the configuration are missing, unknown or wrong; each problem has its line in `details.problems`.",
  ),
  CONFIG_NOT_APPLIED: row(
    "system",
    "The new configuration could not be written or taken over; the one before is in force and in its place.",
  ),
  CONFIG_SYNTAX: row("input", "The configuration is no valid TOML; the line is in `details.line`."),
  CONFIG_UNREADABLE: row("input", "The configuration file cannot be read; check the path and its permissions."),
  SHELL_CONFIRM: row("input", "The verb wants the name of what it hits once more: `--confirm NAME`."),
  SHELL_ROLE: row("refused", "The verb is for administrators, and the shell was asked over the socket of technicians."),
  SHELL_SOCKET: row("state", "The local socket of the shell cannot be made, or another daemon answers on it."),
  SHELL_VERB: row("input", "The shell does not know this verb, or an argument is missing or wrong."),
  TRACE_FULL: row("state", "As many traces are on as there can be; end one of them first (`trace off`)."),
  STATE_IN_USE: row("state", "Another daemon has the state directory; stop it, or give each a directory of its own."),
  STORE_CORRUPT: row(
    "system",
    "A record in the state directory cannot be read; restore the directory or start with an empty one.",
  ),
  STORE_UNUSABLE: row(
    "system",
    "The state directory cannot be read or written; the message says whether it is certain that nothing of the write was kept.",
  ),
  // broker tool
  PRIVILEGE_HOLDER_WRONG: row(
    "refused",
    "The write privilege is not where the command takes it from; `privilege.list` says who has it.",
  ),
  PRIVILEGE_NO_KEY: row("refused", "Who is to write has no key that allows it; install one, then move the privilege."),
  PRIVILEGE_NOT_MOVED: row(
    "state",
    "Writes could not be brought to an end, the cache not be emptied, or the change not be stored; it is as before.",
  ),
  PRIVILEGE_NOT_SHARED: row(
    "refused",
    "Only a disk with one writer, in a bridge that servers log in to, has a write privilege.",
  ),
  KEY_UNKNOWN_HERE: row(
    "input",
    "This broker did not issue such a key; `gantry-broker key list` shows those of a bridge.",
  ),
  BROKER_HOME_EXISTS: row("state", "The broker's folder holds a key pair already; it is never overwritten."),
  BROKER_HOME_MISSING: row("input", "There is no key pair in the broker's folder; make one with `gantry-broker init`."),
  // jobs
  DEVICE_ERROR: row(
    "device",
    "A device ended a command with a status that cannot be mended; its sense is in words in the report.",
  ),
  DEVICE_CHANGED: row(
    "device",
    "A device said that it, its medium or its capacity may be another now, or is not the one that the job began with; it is opened anew and looked at, and the job goes on only on the same one.",
  ),
  DEVICE_IN_USE: row("device", "A job or a server uses the drive; change its cartridge when they are done."),
  DEVICE_MEDIUM_ERROR: row(
    "device",
    "The medium cannot be read or written at the place named; replace it, or allow zero-fill for the source.",
  ),
  DEVICE_PATH_FAILED: row(
    "device",
    "No trustworthy answer came from the device; the job goes on from its checkpoint when the path is back.",
  ),
  DEVICE_POSITION_LOST: row(
    "device",
    "The tape drive was reset or its medium changed in mid-job; the job goes on from its checkpoint.",
  ),
  DEVICE_RESERVED: row(
    "device",
    "Another initiator has the device reserved; see who, and try again when it is released.",
  ),
  DEVICE_SHRUNK: row(
    "device",
    "A disk no longer has blocks that it had when it was opened (LBA OUT OF RANGE); see what became of the volume, and make a new list.",
  ),
  DEVICE_UNKNOWN: row("input", "No device of that name is in the bridge's configuration."),
  DEVICE_UNUSABLE: row("device", "The device cannot be opened, is not ready, or is of another type than configured."),
  DEVICE_WRITES_LOST: row(
    "device",
    "A device could not keep what it had accepted before (deferred error); the job goes back to its checkpoint and writes that again, a limited number of times.",
  ),
  JOB_CANCEL_REFUSED: row("state", "The job has ended or is writing its end; there is nothing left to cancel."),
  JOB_CANCELLED: row("state", "The job was cancelled while it was being prepared."),
  JOB_ID_REUSED: row("input", "A job with this id exists and is not the same; use a new id."),
  JOB_INVALID: row(
    "input",
    "The job's particulars contradict each other, its list or its devices; the message says which.",
  ),
  JOB_NOT_ENDED: row("state", "The job has not ended, so it cannot be forgotten; cancel it or wait."),
  JOB_NOT_RUNNING: row("state", "Only a running job can be paused, resumed or slowed down."),
  JOB_UNKNOWN: row("input", "There is no job of that id on this bridge."),
  LIST_NOT_WHOLE: row("input", "The block list is unknown or not yet received whole; send it, then submit the job."),
  LIST_VOLUME_MISMATCH: row(
    "input",
    "The list was made from another volume, generation or sequence than the job names; make a new list.",
  ),
  LIST_EXTENT_INVALID: row(
    "input",
    "An extent lies outside the device, shares blocks with another, or does not fit its member.",
  ),
  MANIFEST_TOO_LARGE: row(
    "refused",
    "The manifest on the tape is larger than `jobs.max_manifest_mib`; raise that if the tape is to be trusted.",
  ),
  MANIFEST_UNKNOWN: row(
    "input",
    "No manifest of this job is kept; only restores and verifications read one, and the newest are kept.",
  ),
  MEDIA_CHANGED: row(
    "state",
    "The tape in the drive is not the one that the job was writing when it was interrupted; nothing was written on it. Submit the job anew with the right tape.",
  ),
  MEDIA_INCOMPATIBLE: row(
    "device",
    "The cartridge in the drive cannot be used there: of another format or generation, or a cleaning cartridge.",
  ),
  MEDIA_MISSING: row("device", "A cartridge cannot be loaded: it is not there, or the drive has nobody to load it."),
  MEDIA_NOT_BLANK: row(
    "state",
    "The tape holds data that is not ours to overwrite; ask for append, or for overwrite by name.",
  ),
  MEDIA_TOO_SMALL: row(
    "device",
    "The cartridges named by the job are full before the archive is whole; name more of them.",
  ),
  TAPE_BLOCK_TOO_LARGE: row(
    "device",
    "The tape holds blocks larger than the job expects; name the right tape block size.",
  ),
  TAPE_ENDED_EARLY: row("device", "The tape ends before the archive does; it is not whole."),
  VERIFY_DIFFERS: row("device", "What was read from tape is not what the manifest says; the report lists where."),
  TAPE_WRITE_PROTECTED: row("device", "The cartridge or drive is write-protected."),
  // agent
  AGENT_ALIGNMENT: row(
    "input",
    "A file's blocks do not fall on blocks of the device; give the device's real block size, or its offset.",
  ),
  AGENT_CHANGED: row("state", "Files changed while they were listed; use --freeze or a snapshot and list again."),
  AGENT_EXISTS: row("refused", "A member to be restored is there already; remove it or use --overwrite."),
  AGENT_EXTENT: row(
    "refused",
    "A file's data does not lie in blocks of its own that may be read (inline, encrypted, unwritten); leave it out.",
  ),
  AGENT_FREEZE: row("state", "The file system could not be frozen, or did not stay frozen until the end."),
  AGENT_FS_UNCLEAN: row("state", "The file system is mounted or its journal is not replayed; unmount it, run e2fsck."),
  AGENT_FS_UNSUPPORTED: row("refused", "Block lists are made of ext4 and xfs only, without the named feature."),
  AGENT_HELPER: row("system", "The program gantry-fsmap is missing or failed; build it, or set GANTRY_FSMAP."),
  AGENT_KEY_REFUSED: row("refused", "The device that the key was presented to did not take it; the message says why."),
  AGENT_LIST_FILE: row("input", "The file is no block list, or not a whole one; make it again."),
  AGENT_NAME: row("input", "A name cannot stand in a list or an archive; names must be UTF-8 and relative."),
  AGENT_NO_SPACE: row("refused", "The file system has too few free blocks or inodes for what is to be restored."),
  AGENT_PATH: row("input", "A path cannot be used: it is missing, or lies on another file system."),
  AGENT_RESTORE_MAP: row("system", "The prepared blocks are not those that the restore needs; nothing may be written."),
  AGENT_TOOL: row("system", "A program of e2fsprogs is missing or reported an error; see `details.output`."),
  // xcopy
  XCOPY_FAILED: row(
    "device",
    "A copy manager refused a command, or a copy ended with an error; the message explains it, `details` has it in parts.",
  ),
  XCOPY_INPUT: row(
    "input",
    "What `gantry-xcopy` was given cannot be used: a file, an option, or bytes that are nothing it knows.",
  ),
  XCOPY_MISSING: row(
    "system",
    "The program gantry-xcopy is not on this machine; it comes with the npm package gantry, not with the bridge's bundle.",
  ),
  XCOPY_SYNTAX: row(
    "input",
    "A word of a segment or device is not understood; `details` has its place, XCOPY.md the grammar.",
  ),
  XCOPY_UNANSWERED: row("device", "The logical unit that a copy was sent to cannot be reached, or did not answer."),
  // archive
  ARCHIVE_INVALID: row(
    "input",
    "What was read is not a Gantry archive or is damaged; the message says where. Try `tar`, or another copy of the tape.",
  ),
  ARCHIVE_LIST_INVALID: row(
    "input",
    "A member or extent of the block list cannot be put into an archive; the message names it. Make the list again.",
  ),
  ARCHIVE_OPTION_INVALID: row("input", "An option of the archive is out of its range; the message says which."),
  ARCHIVE_RESTORE_REFUSED: row(
    "input",
    "The restore list does not fit the archive; nothing was moved. `details.problems` names the first members.",
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  readonly cause?: unknown;
  /** Facts for machines: field names, limits, sense data. Plain values only; it travels in CBOR and JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class GantryError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  /** @param message a sentence: what is wrong, with the value, and what to do. */
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GantryError";
    this.code = code;
    this.details = options.details ?? {};
  }

  get kind(): ErrorKind {
    return ERRORS[this.code].kind;
  }
}

export function isGantryError(error: unknown): error is GantryError {
  return error instanceof GantryError;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
