// What becomes of a file that cannot be listed: it ends the list, or is left out and reported.
import { type ErrorCode, GantryError } from "../../src/sys/errors.js";
import { type ListTotals, noteSkipped } from "./list-source.js";

export class Refusals {
  constructor(
    readonly policy: "fail" | "skip",
    readonly totals: ListTotals,
  ) {}

  /** Of a file whose data should be in the list. Throws, or returns undefined after noting it. */
  refuse(code: ErrorCode, name: string, reason: string): undefined {
    if (this.policy === "fail") {
      throw new GantryError(code, `${name} cannot be listed: ${reason}.`, { details: { name, reason } });
    }
    this.leaveOut(name, reason);
  }

  /** Of something that no list can hold and nobody expects in one. */
  leaveOut(name: string, reason: string): undefined {
    noteSkipped(this.totals, name, reason);
  }
}
