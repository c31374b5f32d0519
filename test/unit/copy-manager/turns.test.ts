// Copies under one list identifier wait for one another where their initiator wants nothing kept, and nobody waits for ever.
import test from "ava";
import { ActiveCopy } from "../../../src/copy-manager/active.js";
import { COPY_LIMITS } from "../../../src/copy-manager/limits.js";
import { Operation } from "../../../src/copy-manager/operation.js";
import { Turns } from "../../../src/copy-manager/turns.js";
import { LIST_ID_USAGE } from "../../../src/wire/xcopy/copy-list.js";

const FACTS = { nexus: "a", lun: 0, listId: 1, usage: LIST_ID_USAGE.DISCARD as number };

function active(more: Partial<typeof FACTS> = {}): ActiveCopy {
  const home = { nowMs: () => 0, roomToHold: () => 0, ended: () => undefined };
  const rest = { device: "disk0", kind: "copy-lid1", background: false, segments: 1 } as const;
  const operation = new Operation({ ...FACTS, ...more, ...rest }, home);
  return new ActiveCopy(operation, { nexus: 1, lun: 0, paths: () => new Map(), streams: false }, 1n);
}

test("a copy waits for one of the same nexus, unit and identifier, if neither is to be asked for afterwards", (t) => {
  const turns = new Turns();
  const running = active();
  t.is(turns.before(FACTS, [active({ listId: 2 }), running]), running);
  for (const other of [{ nexus: "b" }, { lun: 1 }, { listId: 2 }, { usage: LIST_ID_USAGE.HOLD }])
    t.is(turns.before(FACTS, [active(other)]), undefined, JSON.stringify(other));
  // Operations.begin refuses it.
  t.is(turns.before({ ...FACTS, usage: LIST_ID_USAGE.HOLD }, [active({ usage: LIST_ID_USAGE.HOLD })]), undefined);
});

test("those that wait begin in the order of asking; one that was aborted does not", async (t) => {
  const turns = new Turns();
  const running = active();
  const order: string[] = [];
  const waits = [2n, 3n, 4n].map(async (punt) => order.push(`${punt} ${await turns.wait(punt, "a", running)}`));
  await Promise.resolve();
  t.deepEqual(order, []);
  turns.gone(3n);
  running.settle();
  await Promise.all(waits);
  t.deepEqual(order, ["2 begin", "3 gone", "4 begin"]);
});

test("a nexus has only so many that wait, whatever others have; of a closed manager nothing begins", async (t) => {
  const turns = new Turns();
  const running = active();
  const waits = Array.from({ length: COPY_LIMITS.copiesOfNexus }, (_, at) => turns.wait(BigInt(at), "a", running));
  t.is(await turns.wait(100n, "a", running), "full");
  const other = turns.wait(101n, "b", running);
  turns.close();
  running.settle();
  t.deepEqual(new Set(await Promise.all([...waits, other])), new Set(["gone"]));
});
