// Third-party copy commands on their way through iSCSI to the supervisor and back: who judges them is not asked here.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { CLASS_ROWS } from "../../src/admit/opcodes.js";
import { DeviceRegistry } from "../../src/device/registry.js";
import { Bridge } from "../../src/fabric/bridge.js";
import { type Lu, native, type ScsiAnswer } from "../../src/native/index.js";
import type { Plane, PlaneNote, Punt } from "../../src/plane.js";
import { systemClock, systemTimers } from "../../src/sys/clock.js";
import { parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { decodeSupportedPages } from "../../src/wire/inquiry.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { OpenKeeper } from "../lib/bridge-rows.js";
import { freePort } from "../lib/mosquitto.js";
import { until } from "../lib/slow-bridge.js";
import { tmpDir } from "../lib/tmp.js";

const TARGET = "iqn.2024-01.org.example:disks";
const MOST = 98_304;
const [PARAMETER_LIST_LENGTH_ERROR, INVALID_FIELD] = [0x1a00, 0x2400];

/** Everybody may do everything; punts and notes are the test's. */
class CopyKeeper extends OpenKeeper {
  readonly notes: PlaneNote[] = [];
  override onPunt(punt: Punt): void {
    this.punts.push(punt);
  }
  override onNote(note: PlaneNote): void {
    this.notes.push(note);
  }
  async next(): Promise<Punt> {
    await until(() => this.punts.length > 0);
    const punt = this.punts.shift();
    if (punt === undefined) throw new Error("no punt came");
    return punt;
  }
}

interface Rig {
  readonly plane: Plane;
  readonly keeper: CopyKeeper;
  lu(): Promise<Lu>;
}

async function start(t: ExecutionContext): Promise<Rig> {
  const directory = await tmpDir(t, "copies");
  const port = await freePort();
  const config = parseConfig(
    `[bridge]\nid = "b1"\nstate_dir = "/s"\n[control]\nurl = "mqtt://127.0.0.1:1883"
[[device]]\nname = "disk0"\ntype = "disk"\ntransport = "virtual"\npath = "${join(directory, "disk0")}"\nsize_mib = 1
[iscsi]\nportals = ["127.0.0.1:${port}"]
[[target]]\nname = "${TARGET}"\nluns = [{ lun = 0, device = "disk0" }]\n`,
    "gantry.toml",
  );
  if (config.iscsi === undefined) throw new Error("no [iscsi]");
  const devices = new DeviceRegistry(native, config.device);
  devices.start();
  let made: { readonly plane: Plane; readonly keeper: CopyKeeper } | undefined;
  const bridge = await Bridge.start({
    native,
    devices,
    settings: { iscsi: config.iscsi, target: config.target, zone: config.zone },
    classes: CLASS_ROWS,
    keeper: (plane) => {
      made = { plane, keeper: new CopyKeeper(plane) };
      return made.keeper;
    },
    clock: systemClock,
    timers: systemTimers,
    log: silentLogger(),
  });
  t.teardown(async () => {
    await bridge.stop();
    await devices.stop();
  });
  if (made === undefined) throw new Error("no keeper was made");
  const { plane, keeper } = made;
  const initiator = "iqn.2024-01.org.example:server-7";
  const lu = async (): Promise<Lu> => {
    const opened = await native.openLu({
      transport: "iscsi",
      portal: `127.0.0.1:${port}`,
      target: TARGET,
      lun: 0,
      initiator,
    });
    await opened.execute(new Uint8Array(6));
    return opened;
  };
  return { plane, keeper, lu };
}

const codeOf = ({ sense }: ScsiAnswer): number => ((sense[12] ?? 0) << 8) | (sense[13] ?? 0);

test("the longest parameter list of a copy comes whole, parameter data as long go back, and no more than that", async (t) => {
  const { plane, keeper, lu } = await start(t);
  const unit = await lu();
  const list = Uint8Array.from({ length: MOST }, (_, at) => (at * 7 + (at >> 8)) & 0xff);
  const copied = unit.execute(encodeCopyCommand({ kind: "copy-lid4", listId: 0, length: MOST }), { dataOut: list });
  const copy = await keeper.next();
  t.deepEqual(Buffer.from(copy.data), Buffer.from(list));
  plane.answer(copy.id, 0);
  t.is((await copied).status, 0);
  const held = unit.execute(encodeCopyCommand({ kind: "data-lid4", listId: 1, length: MOST }), { dataIn: MOST });
  const question = await keeper.next();
  t.is(question.room, MOST);
  plane.answer(question.id, 0, undefined, list);
  t.deepEqual(Buffer.from((await held).data), Buffer.from(list));
  const over = new Uint8Array(MOST + 4);
  const refused = await unit.execute(encodeCopyCommand({ kind: "copy-lid1", listId: 0, length: over.length }), {
    dataOut: over,
  });
  t.is(codeOf(refused), PARAMETER_LIST_LENGTH_ERROR);
  t.is(keeper.punts.length, 0);
  await unit.close();
});

test("a service action that the table does not know is a wrong field, in either direction", async (t) => {
  const { keeper, lu } = await start(t);
  const unit = await lu();
  for (const [opcode, action] of [
    [0x83, 0x02],
    [0x84, 0x02],
  ] as const) {
    const cdb = new Uint8Array(16);
    cdb.set([opcode, action]);
    t.is(codeOf(await unit.execute(cdb)), INVALID_FIELD);
  }
  t.is(keeper.punts.length, 0);
  await unit.close();
});

test("INQUIRY tells of the copy manager; what it can do is the supervisor's to say", async (t) => {
  const { plane, keeper, lu } = await start(t);
  const unit = await lu();
  const standard = await unit.execute(Uint8Array.of(0x12, 0, 0, 0, 96, 0), { dataIn: 96 });
  t.is((standard.data[5] ?? 0) & 0x08, 0x08);
  const pages = await unit.execute(Uint8Array.of(0x12, 1, 0, 0, 255, 0), { dataIn: 255 });
  t.deepEqual(decodeSupportedPages(pages.data), [0x00, 0x80, 0x83, 0x85, 0x86, 0x8f, 0xb0, 0xb1, 0xb2]);
  const short = await unit.execute(Uint8Array.of(0x12, 1, 0, 0, 4, 0), { dataIn: 4 });
  t.deepEqual([...short.data], [0, 0, 0, 9]);
  t.is(short.residual, 0);
  const asked = unit.execute(Uint8Array.of(0x12, 1, 0x8f, 0, 64, 0), { dataIn: 64 });
  const page = Uint8Array.of(0, 0x8f, 0, 4, 1, 2, 3, 4);
  plane.answer((await keeper.next()).id, 0, undefined, page);
  const answer = await asked;
  t.deepEqual([...answer.data], [...page]);
  t.is(answer.residual, 56);
  await unit.close();
});

test("a server that leaves while its copy runs is told of; what comes too late hurts nobody", async (t) => {
  const { plane, keeper, lu } = await start(t);
  const unit = await lu();
  const copied = unit.execute(encodeCopyCommand({ kind: "copy-lid4", listId: 0, length: 0 }));
  const copy = await keeper.next();
  await unit.close();
  t.not((await copied).outcome, "delivered");
  await until(() => keeper.notes.some(({ kind }) => kind === "punt-gone"));
  t.deepEqual(
    keeper.notes.filter(({ kind }) => kind === "punt-gone"),
    [{ kind: "punt-gone", punt: copy.id }],
  );
  t.notThrows(() => plane.answer(copy.id, 0));
});
