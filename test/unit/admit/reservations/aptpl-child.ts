// A process with an arbiter on a real store that is killed: registers two servers with APTPL, reserves, and says
// "answered N" when command N was; then it changes the key for ever.
import { ReservationRoom } from "../../../../src/admit/reservations/room.js";
import { systemClock, systemTimers } from "../../../../src/sys/clock.js";
import { silentLogger } from "../../../../src/sys/log.js";
import { openStore } from "../../../../src/sys/store.js";
import { PR_OUT } from "../../../../src/wire/persistent-reserve.js";
import { PORT_A, prOut } from "./parts.js";

const room = new ReservationRoom({
  plane: {
    attention: () => undefined,
    abort: () => Promise.resolve(),
    drain: () => Promise.resolve(),
    answer: (id, status) => process.stdout.write(`answered ${id} ${status}\n`),
    pass: () => undefined,
  },
  store: openStore(process.argv[2] ?? ""),
  clock: systemClock,
  log: silentLogger(),
  policy: () => ({ reading: "shared", leaseMs: 0, preempt: "off" }),
  timers: systemTimers,
  priorityOf: () => 0,
  onWanted: () => undefined,
  onChange: () => undefined,
  deviceType: () => 1,
  changed: () => undefined,
});
room.arbiter.load();
room.opened({ nexus: 1, initiator: PORT_A, port: 1, luns: [{ lun: 0, device: "tape", unit: 0 }] });

async function send(id: bigint, action: 0 | 1 | 6, fields: Parameters<typeof prOut>[1]): Promise<void> {
  const { cdb, list } = prOut(action, fields);
  await room.arbiter.punt({ id, nexus: 1, lun: 0, unit: 0, cdb, data: list, room: 0 });
}

await send(1n, PR_OUT.REGISTER, { actionKey: 1n, aptpl: true });
await send(2n, PR_OUT.RESERVE, { key: 1n, type: 3 });
for (let key = 3n; ; key++) await send(key, PR_OUT.REGISTER_AND_IGNORE, { actionKey: key, aptpl: true });
