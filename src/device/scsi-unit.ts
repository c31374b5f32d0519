// A logical unit as the supervisor uses it: commands that are not payload, with the retries that every
// initiator owes a device (unit attention, becoming ready, busy), and failures in words.
import type { ExecuteOptions, Lu, ScsiAnswer } from "../native/types.js";
import { GantryError } from "../sys/errors.js";
import * as cdb from "../wire/cdb.js";
import { decodeInquiry } from "../wire/inquiry.js";
import { deviceTypeName, SENSE_KEY, STATUS } from "../wire/names.js";
import { deviceFailure, senseOf } from "./failure.js";

const UNIT_ATTENTIONS_MAX = 8;
const READY_POLL_MS = 250;
const INQUIRY_BYTES = 96;
/** How long a command may go on when nobody wants its answer any more, and one that is sent after that. */
const ABORT_GRACE_MS = 5000;
const LAST_GRACE_MS = 60_000;

export interface CommandOptions extends ExecuteOptions {
  /** Answers that the caller looks at itself instead of having them thrown. */
  readonly accept?: (answer: ScsiAnswer) => boolean;
  /** Not to be repeated when the device was reset or its medium may have changed (unit attention 28h, 29h). */
  readonly steady?: boolean;
}

/** Who uses a unit may not want it any more (a cancelled job): a device that does not answer then is given up. */
export interface Wanted {
  readonly cancelled: boolean;
  /** Runs the listener when it is cancelled, at once if it was; returns how to take it off. */
  onCancel(listener: () => void): () => void;
}

export class ScsiUnit {
  readonly name: string;
  readonly lu: Lu;
  readonly #wanted: Wanted | undefined;

  constructor(name: string, lu: Lu, wanted?: Wanted) {
    this.name = name;
    this.lu = lu;
    this.#wanted = wanted;
  }

  /** A command that outlives the wish for it by too long is aborted by closing the unit. */
  async #execute(command: Uint8Array, options?: ExecuteOptions): Promise<ScsiAnswer> {
    const wanted = this.#wanted;
    if (wanted === undefined) return this.lu.execute(command, options);
    const graceMs = wanted.cancelled ? LAST_GRACE_MS : ABORT_GRACE_MS;
    let timer: NodeJS.Timeout | undefined;
    const off = wanted.onCancel(() => {
      timer = setTimeout(() => void this.lu.close().catch(() => undefined), graceMs);
    });
    try {
      return await this.lu.execute(command, options);
    } finally {
      off();
      clearTimeout(timer);
    }
  }

  /** Runs a command to GOOD. Unit attentions before it are taken note of and passed over. Throws DEVICE_… */
  async command(command: Uint8Array, options: CommandOptions = {}): Promise<ScsiAnswer> {
    for (let attentions = 0; ; attentions++) {
      const answer = await this.#execute(command, options);
      if (answer.outcome === "delivered" && answer.status === STATUS.GOOD) return answer;
      if (options.accept?.(answer) === true) return answer;
      const sense = senseOf(answer);
      // SPC-4 4.5.5: behind a deferred error the command at hand has not been carried out.
      if (sense?.key === SENSE_KEY.RECOVERED_ERROR && !sense.deferred) return answer;
      const moved = options.steady === true && (sense?.asc === 0x28 || sense?.asc === 0x29);
      if (sense?.key === SENSE_KEY.UNIT_ATTENTION && !moved && attentions < UNIT_ATTENTIONS_MAX) continue;
      throw deviceFailure(this.name, { ...answer, cdb: command });
    }
  }

  /**
   * Waits until TEST UNIT READY is GOOD: through unit attentions, busy, and "becoming ready" (04h/01h) up to
   * waitMs. Throws what the device says when it is not going to be ready, and JOB_CANCELLED when nobody waits any more.
   */
  async ready(waitMs: number): Promise<void> {
    const deadline = performance.now() + waitMs;
    for (let attentions = 0; ; ) {
      const answer = await this.#execute(cdb.testUnitReady());
      if (answer.outcome === "delivered" && answer.status === STATUS.GOOD) return;
      const sense = senseOf(answer);
      if (sense?.key === SENSE_KEY.UNIT_ATTENTION && attentions++ < UNIT_ATTENTIONS_MAX) continue;
      const busy = answer.status === STATUS.BUSY || answer.status === STATUS.TASK_SET_FULL;
      const becoming = sense?.key === SENSE_KEY.NOT_READY && sense.asc === 0x04 && sense.ascq === 0x01;
      if (!(busy || becoming) || performance.now() > deadline) {
        throw deviceFailure(this.name, { ...answer, cdb: cdb.testUnitReady() });
      }
      if (this.#wanted?.cancelled === true) throw new GantryError("JOB_CANCELLED", "The job was cancelled.");
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  /** Throws DEVICE_UNUSABLE when INQUIRY says another peripheral device type. */
  async expectType(type: 0 | 1): Promise<void> {
    const { deviceType } = decodeInquiry(
      (await this.command(cdb.inquiry(INQUIRY_BYTES), { dataIn: INQUIRY_BYTES })).data,
    );
    if (deviceType === type) return;
    throw new GantryError(
      "DEVICE_UNUSABLE",
      `${this.name} is configured as ${deviceTypeName(type)} but says that it is ${deviceTypeName(deviceType)}.`,
      { details: { device: this.name } },
    );
  }

  close(): Promise<void> {
    return this.lu.close();
  }
}
