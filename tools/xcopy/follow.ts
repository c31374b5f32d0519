// A copy that goes on behind its status (IMMED): asked about until it has ended. The first interrupt asks the copy manager
// to abort it, the second ends the program.
import { GantryError } from "../../src/sys/errors.js";
import { type CopyCommandKind, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import type { StatusLid4 } from "../../src/wire/xcopy/copy-results.js";
import { faultText } from "./fault.js";
import { EXIT, type Io } from "./io.js";
import type { CopyPlan } from "./plan.js";
import { CopyBar } from "./progress.js";
import { type Outcome, outcomeLid4, outcomeText } from "./result-words.js";
import type { Session } from "./unit.js";

const ASK_MS = { least: 100, most: 2000, unknown: 500 } as const;

export interface Followed<T extends StatusLid4> {
  readonly listId: number;
  /** What is asked: RECEIVE COPY STATUS(LID4), or RECEIVE ROD TOKEN INFORMATION. */
  readonly ask: CopyCommandKind;
  readonly decode: (data: Uint8Array) => T;
  /** Of the list; 0: none. */
  readonly segments: number;
  readonly plan?: CopyPlan;
  readonly silent: boolean;
}

/** @throws GantryError XCOPY_FAILED when it ended with errors */
export async function follow<T extends StatusLid4>(io: Io, session: Session, what: Followed<T>): Promise<T> {
  const bar = new CopyBar(what.segments, what.silent);
  let interrupts = 0;
  let aborted = false;
  const stopListening = io.onInterrupt(() => {
    if (++interrupts > 1) process.exit(EXIT.failed);
  });
  try {
    for (;;) {
      if (interrupts > 0 && !aborted) {
        aborted = true;
        await abortCopy(session, what.listId);
      }
      const status = what.decode(await session.ask(what.ask, what.listId));
      const outcome = outcomeLid4(status, what.plan);
      bar.update(outcome);
      if (outcome.state !== "running") {
        bar.stop();
        return settled(status, outcome);
      }
      const { delayMs = ASK_MS.unknown } = outcome;
      await io.sleep(Math.min(ASK_MS.most, Math.max(ASK_MS.least, delayMs)));
    }
  } finally {
    stopListening();
    bar.stop();
  }
}

/** The status, or the failure that it tells of. @throws GantryError XCOPY_FAILED */
export function settled<T extends StatusLid4>(status: T, outcome: Outcome): T {
  const { state, fault } = outcome;
  if (state === "done" || state === "residual" || state === "partial") return status;
  const text = fault === undefined ? outcomeText(outcome) : faultText(fault);
  throw new GantryError("XCOPY_FAILED", `The copy ${outcome.words}: ${text}`, { details: { ...outcome, ...fault } });
}

/** Best effort: what became of it is told by the status that is asked for next. */
async function abortCopy(session: Session, listId: number): Promise<void> {
  await session.execute(encodeCopyCommand({ kind: "abort", listId, length: 0 }));
}
