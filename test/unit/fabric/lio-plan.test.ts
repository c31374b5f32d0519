// What is made of the kernel target's configfs: in an order that a strict one takes, once, and taken away again.
import test from "ava";
import { ownerName, plan, unitName, type Wanted, type WantedUnit } from "../../../src/fabric/lio/plan.js";
import { HBA, look, type Step } from "../../../src/fabric/lio/tree.js";
import { MemoryTree } from "../../lib/configfs.js";

const OWNER = ownerName("bridge");
const A = "naa.2100001B321E9D60";
const B = "naa.2100001B321E9D61";
const FC = "naa.5001405000000002";
const LOOP = "naa.5001405000000001";

const unit = (more: Partial<WantedUnit>): WantedUnit => ({
  fabric: "loopback",
  target: LOOP,
  initiator: A,
  lun: 0,
  device: "disk0",
  sequential: false,
  ...more,
});
const loopback = { fabric: "loopback", name: LOOP, initiator: A, portals: [] } as const;
const fc = { fabric: "qla2xxx", name: FC, portals: [] } as const;
const iscsi = { fabric: "iscsi", name: "iqn.2024-01.org.example:lio", portals: ["127.0.0.1:3261"] } as const;

class Room {
  readonly tree = new MemoryTree();
  readonly attached = new Set<string>();

  async make(wanted: Omit<Wanted, "owner">, owner = OWNER): Promise<readonly Step[]> {
    const steps = plan(await look(this.tree, owner), { owner, ...wanted }, this.attached);
    for (const step of steps) await this.#do(step);
    return steps;
  }

  async #do(step: Step): Promise<void> {
    const { tree, attached } = this;
    if (step.kind === "attach") {
      if (tree.attributes.get(`${HBA}/${step.unit}/enable`) !== "1") throw new Error("a ring of nothing");
      attached.add(step.unit);
    } else if (step.kind === "detach") attached.delete(step.unit);
    else if (step.kind === "link") {
      // A LUN that nobody answers would hold up who asks it what it is.
      if (!attached.has(step.path.split("/").at(-1) ?? "")) throw new Error("a LUN before its ring");
      await tree.link(step.path, step.to);
    } else if (step.kind === "write") await tree.write(step.path, step.value);
    else if ("path" in step) await tree[step.kind as "mkdir" | "rmdir" | "unlink"](step.path);
  }
}

const FULL: Omit<Wanted, "owner"> = {
  targets: [loopback, fc, iscsi],
  units: [
    unit({}),
    unit({ lun: 2, device: "tape0", sequential: true }),
    unit({ fabric: "qla2xxx", target: FC, initiator: A, lun: 5 }),
    unit({ fabric: "qla2xxx", target: FC, initiator: B, lun: 5 }),
    unit({ fabric: "iscsi", target: iscsi.name, initiator: "iqn.2024-01.org.example:a" }),
  ],
};

test("all fabrics: made in an order that can be done, and nothing is left to do", async (t) => {
  const room = new Room();
  t.true((await room.make(FULL)).length > 40);
  t.deepEqual(await room.make(FULL), []);
  t.is(room.attached.size, 5);
  t.is(room.tree.attributes.get("loopback/naa.5001405000000001/tpgt_1/nexus"), "naa.2100001b321e9d60");
  t.true(room.tree.made.has("iscsi/iqn.2024-01.org.example:lio/tpgt_1/np/127.0.0.1:3261"));
});

test("two initiators of one target have LUNs of their own behind the same number", async (t) => {
  const room = new Room();
  await room.make(FULL);
  const group = "qla2xxx/50:01:40:50:00:00:00:02/tpgt_1";
  const to = (initiator: string): string | undefined =>
    [...room.tree.linked].find(([link]) => link.startsWith(`${group}/acls/${initiator}/lun_5/`))?.[1];
  const [a, b] = [to("21:00:00:1b:32:1e:9d:60"), to("21:00:00:1b:32:1e:9d:61")];
  t.true(a?.startsWith(`${group}/lun/lun_`));
  t.true(b?.startsWith(`${group}/lun/lun_`));
  t.not(a, b);
});

test("a unit has what keeps commands whole: no time-out of the kernel's, reservations passed on, large transfers", async (t) => {
  const room = new Room();
  await room.make(FULL);
  const tape = `${HBA}/${unitName(OWNER, unit({ lun: 2, device: "tape0", sequential: true }))}`;
  const at = (name: string): string | undefined => room.tree.attributes.get(`${tape}/${name}`);
  t.is(at("attrib/cmd_time_out"), "0");
  t.is(at("attrib/pgr_support"), "0");
  t.is(at("attrib/alua_support"), "0");
  t.is(at("attrib/tmr_notification"), "1");
  t.regex(at("control") ?? "", /hw_max_sectors=32768,.*data_pages_per_blk=256,.*nl_reply_supported=-1$/);
});

test("what is not wanted any more goes, with its target when that was ours alone", async (t) => {
  const room = new Room();
  await room.make(FULL);
  await room.make({ targets: [fc], units: [unit({ fabric: "qla2xxx", target: FC, initiator: B, lun: 5 })] });
  t.is(room.attached.size, 1);
  t.deepEqual(await room.tree.folders("loopback"), []);
  t.deepEqual(await room.tree.folders("iscsi"), []);
  t.deepEqual(await room.tree.folders("qla2xxx/50:01:40:50:00:00:00:02/tpgt_1/acls"), ["21:00:00:1b:32:1e:9d:61"]);
  await room.make({ targets: [], units: [] });
  t.deepEqual(await room.tree.folders(HBA), []);
  t.deepEqual([...room.tree.linked], []);
});

test("an initiator that comes later moves nobody's LUN", async (t) => {
  const room = new Room();
  const b = unit({ fabric: "qla2xxx", target: FC, initiator: B, lun: 5 });
  await room.make({ targets: [fc], units: [b] });
  const before = [...room.tree.linked];
  await room.make({ targets: [fc], units: [unit({ fabric: "qla2xxx", target: FC, initiator: A, lun: 5 }), b] });
  t.deepEqual([...room.tree.linked].slice(0, before.length), before);
});

test("after a crash what fits is taken over, and what does not is ended before it goes", async (t) => {
  const room = new Room();
  await room.make(FULL);
  room.attached.clear();
  const steps = await room.make(FULL);
  t.deepEqual(new Set(steps.map(({ kind }) => kind)), new Set(["attach"]));
  room.attached.clear();
  room.tree.log.length = 0;
  await room.make({ targets: [], units: [] });
  t.is(room.tree.log.filter((line) => /reset_ring 2$/.test(line)).length, 5);
  t.deepEqual(await room.tree.folders(HBA), []);
});

test("whatever step it breaks off at, the next try ends where it should", async (t) => {
  const whole = new Room();
  await whole.make(FULL);
  const end = [...whole.tree.linked].sort();
  for (let at = 1; at <= whole.tree.log.length; at++) {
    const room = new Room();
    room.tree.refuse = () => room.tree.log.length >= at;
    await room.make(FULL).catch(() => undefined);
    room.tree.refuse = () => false;
    room.attached.clear();
    await room.make(FULL);
    t.deepEqual(
      [...room.tree.linked].map(([link]) => link.split("/").at(-1)).sort(),
      end.map(([link]) => link.split("/").at(-1)).sort(),
      `broken off after ${at} steps`,
    );
    t.deepEqual(await room.make(FULL), [], `broken off after ${at} steps`);
  }
});

test("what another bridge has in the same kernel is left alone", async (t) => {
  const room = new Room();
  await room.make({ targets: [fc], units: [unit({ fabric: "qla2xxx", target: FC, lun: 5 })] }, ownerName("other"));
  const before = [...room.tree.linked];
  const attached = new Set(room.attached);
  await room.make({ targets: [loopback], units: [unit({})] });
  await room.make({ targets: [], units: [] });
  t.deepEqual([...room.tree.linked], before);
  t.deepEqual(room.attached, attached);
});
