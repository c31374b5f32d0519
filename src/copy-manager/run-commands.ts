// Steps that move no data through the bridge: a command or two to one device, between runs of the engine; and those about
// reservations, which go to the arbiter as the asker's own PERSISTENT RESERVE OUT would.

import { isIllegalRequest, senseOf } from "../device/failure.js";
import type { ScsiAnswer } from "../native/types.js";
import { putUint } from "../wire/bytes.js";
import { locate10, rewind, space6, testUnitReady, writeFilemarks } from "../wire/cdb.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { encodeTransportId } from "../wire/transport-id.js";
import { joined } from "../wire/xcopy/layout.js";
import { deviceSaid, failureOf } from "./resolver.js";
import type { CommandStep } from "./steps.js";
import type { CopyUnits } from "./units.js";

const MOTION_MS = 3_600_000;
const PERSISTENT_RESERVE_OUT = 0x5f;
const REGISTER = 0x00;
const REGISTER_AND_MOVE = 0x07;

/** Answers a PERSISTENT RESERVE OUT of the asker to a device. */
export type ReserveOut = (
  device: string,
  cdb: Uint8Array,
  list: Uint8Array,
) => Promise<{ readonly status: number; readonly sense: Uint8Array }>;

/** @throws CopyRefusal COPY ABORTED with what the device said */
export async function runCommand(step: CommandStep, units: CopyUnits, reserveOut: ReserveOut): Promise<void> {
  if (step.kind === "register" || step.kind === "move-registration") return reserve(step, reserveOut);
  const cdb = cdbOf(step);
  try {
    const leased = await units.lease(step.device);
    let sound = false;
    try {
      const isRewind = step.kind === "locate" && step.object === 0;
      const accept = (answer: ScsiAnswer): boolean => isWarning(answer) || (isRewind && isIllegalRequest(answer));
      const answer = await leased.unit.command(cdb, { timeoutMs: MOTION_MS, accept });
      // A drive without LOCATE finds the beginning of its tape all the same.
      if (isIllegalRequest(answer)) await leased.unit.command(rewind(), { timeoutMs: MOTION_MS });
      sound = true;
    } finally {
      await units.giveBack(leased, sound);
    }
  } catch (error) {
    throw failureOf(error, step.kind === "test-ready" ? "source" : "destination", step.segment);
  }
}

function cdbOf(step: Exclude<CommandStep, { kind: "register" | "move-registration" }>): Uint8Array {
  switch (step.kind) {
    case "test-ready":
      return testUnitReady();
    case "filemarks":
      return writeFilemarks(step.count, step.immediate);
    case "space":
      return space6(step.code, (step.count << 8) >> 8);
    case "locate":
      return locate10(step.object);
  }
}

/** Early warning: what was asked for is done (SSC-4 4.2.8). */
const isWarning = (answer: ScsiAnswer): boolean => {
  const sense = senseOf(answer);
  return sense?.key === SENSE_KEY.NO_SENSE && sense.eom === true && !sense.deferred;
};

async function reserve(
  step: Extract<CommandStep, { kind: "register" | "move-registration" }>,
  reserveOut: ReserveOut,
): Promise<void> {
  const list = step.kind === "register" ? registerList(step) : moveList(step);
  const cdb = new Uint8Array(10);
  cdb[0] = PERSISTENT_RESERVE_OUT;
  cdb[1] = step.kind === "register" ? REGISTER : REGISTER_AND_MOVE;
  putUint(cdb, 5, 4, list.length, "parameter list length");
  const answer = await reserveOut(step.device, cdb, list);
  if (answer.status !== STATUS.GOOD)
    throw deviceSaid(answer, "destination", step.segment, `${step.device} does not take the registration`);
}

/** SPC-4 table 217. */
function registerList({ key, actionKey }: Extract<CommandStep, { kind: "register" }>): Uint8Array {
  const list = new Uint8Array(24);
  putUint(list, 0, 8, key, "reservation key");
  putUint(list, 8, 8, actionKey, "service action reservation key");
  return list;
}

/** SPC-4 table 219. */
function moveList(step: Extract<CommandStep, { kind: "move-registration" }>): Uint8Array {
  const head = new Uint8Array(24);
  const id = encodeTransportId(step.transportId);
  putUint(head, 0, 8, step.key, "reservation key");
  putUint(head, 8, 8, step.actionKey, "service action reservation key");
  head[17] = (step.unregister ? 0x02 : 0) | (step.aptpl ? 0x01 : 0);
  putUint(head, 18, 2, step.port, "relative target port identifier");
  putUint(head, 20, 4, id.length, "TransportID length");
  return joined(head, id);
}
