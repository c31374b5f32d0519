// What a disk acknowledged is put on its medium (SBC-3 5.22), whoever wrote it.

import { synchronizeCache10 } from "../wire/cdb.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { senseOf } from "./failure.js";
import type { DeviceRegistry } from "./registry.js";

const INVALID_OPCODE = 0x20;

/** Rejects with DEVICE_… when it is not certain that everything is there. */
export async function flushDisk(devices: Pick<DeviceRegistry, "openUnit">, name: string): Promise<void> {
  const unit = await devices.openUnit(name);
  try {
    await unit.command(synchronizeCache10(), {
      // A disk that does not know the command has no cache that it could empty.
      accept: (answer) => {
        const sense = answer.status === STATUS.CHECK_CONDITION ? senseOf(answer) : undefined;
        return sense?.key === SENSE_KEY.ILLEGAL_REQUEST && sense.asc === INVALID_OPCODE;
      },
    });
  } finally {
    await unit.close();
  }
}
