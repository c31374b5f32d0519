// File names as lists and archives take them: UTF-8, relative, no odd parts.
import { isMemberName, NAME_BYTES_MAX } from "../../src/control/list-chunk.js";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text of raw bytes, or undefined when they are no UTF-8. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Raw bytes as something that can be shown: what is no UTF-8 becomes \xNN. */
export function shown(bytes: Uint8Array): string {
  return (
    utf8(bytes) ??
    Buffer.from(bytes)
      .toString("latin1")
      .replace(/[^ -~]/g, hex)
  );
}

function hex(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** Why a name cannot be used, or undefined. */
export function nameFault(name: string | undefined): string | undefined {
  if (name === undefined) return "its name is not UTF-8";
  if (isMemberName(name)) return undefined;
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) return `its name is longer than ${NAME_BYTES_MAX} bytes`;
  return "its name cannot stand in an archive";
}

/** Why the text of a symbolic link cannot be used, or undefined. */
export function linkFault(text: string | undefined): string | undefined {
  if (text === undefined) return "the text of the symbolic link is not UTF-8";
  if (text === "") return "the symbolic link has no text";
  if (Buffer.byteLength(text) > NAME_BYTES_MAX) return `the symbolic link is longer than ${NAME_BYTES_MAX} bytes`;
  return undefined;
}
