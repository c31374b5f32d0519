// How rows of the opcode table are written: name by type of device, class, handling, flags.
import type { DeviceClass } from "./key.js";
import type { CommandClassName, OpcodeRow } from "./opcodes.js";

type Names = OpcodeRow["names"];
type Flag = "attention" | "writes" | "slow" | "patient";

export const disk = (name: string): Names => ({ disk: name });
export const tape = (name: string): Names => ({ tape: name });
export const changer = (name: string): Names => ({ changer: name });
/** What copies go from and to. */
export const copying = (name: string): Names => ({ disk: name, tape: name });
export const all = (name: string): Names => ({ disk: name, tape: name, changer: name });
export const named = (by: Partial<Record<DeviceClass, string>>): Names => by;

/** "attention": carried out with a unit attention pending. "patient": a punt that may be answered hours later. */
export const row = (
  opcode: number,
  action: number | "all",
  names: Names,
  commandClass: CommandClassName,
  handling: OpcodeRow["handling"],
  flags: readonly Flag[],
): OpcodeRow => ({
  opcode,
  action,
  names,
  class: commandClass,
  handling,
  passesAttention: flags.includes("attention"),
  writes: flags.includes("writes"),
  slow: flags.includes("slow"),
  patient: flags.includes("patient"),
});
