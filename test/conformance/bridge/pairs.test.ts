// Every pair of what one server holds and what another sends: table in, table out. The columns are written from SPC-4
// table 66, SPC-2 5.5.1, SBC-3 table 13 and SSC-4 table 9, not from the bridge's own table: "-" conflicts, "+" does not.
import test from "ava";
import { type Device, type Host, startRig } from "./rig.js";
import {
  CLEAR,
  filemarks,
  INQUIRY,
  locate10,
  PREEMPT,
  prIn,
  prOut,
  READ_FULL_STATUS,
  READ_KEYS,
  READ_POSITION,
  REGISTER,
  REGISTER_AND_IGNORE,
  RELEASE,
  RELEASE_6,
  REQUEST_SENSE,
  RESERVE,
  RESERVE_6,
  RESERVE_10,
  REWIND,
  read10,
  readVariable,
  space,
  TEST_UNIT_READY,
  write10,
  writeVariable,
} from "./words.js";

interface Command {
  readonly cdb: Uint8Array;
  readonly out?: Uint8Array;
  readonly in?: number;
}

const cdb = (...bytes: readonly number[]): Uint8Array => Uint8Array.from(bytes);
const BLOCK = new Uint8Array(512);

/**
 * Columns: RESERVE; then, by who is not registered, Write Exclusive, Exclusive Access, and each for registrants (only, or
 * all, which have to fare alike); then the same four by who is registered.
 */
type Row = readonly [name: string, columns: string, command: Command];

const COMMON: readonly Row[] = [
  ["INQUIRY", "+ ++++ ++++", { cdb: INQUIRY, in: 96 }],
  ["REPORT LUNS", "+ ++++ ++++", { cdb: cdb(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0), in: 256 }],
  ["REQUEST SENSE", "+ ++++ ++++", { cdb: REQUEST_SENSE, in: 96 }],
  ["LOG SENSE", "+ ++++ ++++", { cdb: cdb(0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0), in: 256 }],
  ["TEST UNIT READY", "- ++++ ++++", { cdb: TEST_UNIT_READY }],
  ["MODE SENSE(6)", "- +-+- +-++", { cdb: cdb(0x1a, 0, 0x3f, 0, 255, 0), in: 255 }],
  ["MODE SENSE(10)", "- +-+- +-++", { cdb: cdb(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0), in: 255 }],
  ["MODE SELECT(6), nothing", "- ---- --++", { cdb: cdb(0x15, 0x10, 0, 0, 0, 0) }],
  ["REPORT SUPPORTED OPERATION CODES", "- +-+- +-++", { cdb: cdb(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0), in: 512 }],
  ["PREVENT ALLOW, prevent 0", "+ ++++ ++++", { cdb: cdb(0x1e, 0, 0, 0, 0, 0) }],
  ["PREVENT ALLOW, prevent 1", "- ---- --++", { cdb: cdb(0x1e, 0, 0, 0, 1, 0) }],
  ["READ KEYS", "- ++++ ++++", { cdb: prIn(READ_KEYS), in: 64 }],
  ["READ FULL STATUS", "- ++++ ++++", { cdb: prIn(READ_FULL_STATUS), in: 512 }],
  ["RESERVE(6)", "- ---- --++", { cdb: RESERVE_6 }],
  ["RESERVE(10)", "- ---- --++", { cdb: RESERVE_10 }],
  ["RELEASE(6)", "+ ---- --++", { cdb: RELEASE_6 }],
  ["PR OUT RESERVE, own key", "- ---- ----", { ...prOut(RESERVE, { key: 0xb, type: 1 }) }],
  ["PR OUT RELEASE, own key", "- ---- ++++", { ...prOut(RELEASE, { key: 0xb, type: 1 }) }],
  ["PR OUT CLEAR, another's key", "- ---- ----", { ...prOut(CLEAR, { key: 0xa }) }],
  ["PR OUT PREEMPT of nobody", "- ---- ----", { ...prOut(PREEMPT, { key: 0xb, actionKey: 0x77, type: 1 }) }],
  ["PR OUT REGISTER, its own key again", "- ---- ++++", { ...prOut(REGISTER, { key: 0xb, actionKey: 0xb }) }],
  ["PR OUT REGISTER AND IGNORE, to unregister", "- ++++ ++++", { ...prOut(REGISTER_AND_IGNORE, { actionKey: 0 }) }],
];

const DISK: readonly Row[] = [
  ...COMMON,
  ["READ CAPACITY(10)", "+ ++++ ++++", { cdb: cdb(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), in: 8 }],
  ["READ CAPACITY(16)", "+ ++++ ++++", { cdb: cdb(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), in: 32 }],
  ["READ(6)", "- +-+- +-++", { cdb: cdb(0x08, 0, 0, 0, 1, 0), in: 512 }],
  ["READ(10)", "- +-+- +-++", { cdb: read10(0, 1), in: 512 }],
  ["READ(16)", "- +-+- +-++", { cdb: cdb(0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), in: 512 }],
  ["VERIFY(10)", "- +-+- +-++", { cdb: cdb(0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0) }],
  ["WRITE(6)", "- ---- --++", { cdb: cdb(0x0a, 0, 0, 0, 1, 0), out: BLOCK }],
  ["WRITE(10)", "- ---- --++", { cdb: write10(0, 1), out: BLOCK }],
  ["WRITE(16)", "- ---- --++", { cdb: cdb(0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), out: BLOCK }],
  ["WRITE SAME(10)", "- ---- --++", { cdb: cdb(0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0), out: BLOCK }],
  ["SYNCHRONIZE CACHE(10)", "- ---- --++", { cdb: cdb(0x35, 0, 0, 0, 0, 0, 0, 0, 1, 0) }],
  ["START STOP UNIT, start", "+ ++++ ++++", { cdb: cdb(0x1b, 0, 0, 0, 1, 0) }],
];

const TAPE: readonly Row[] = [
  ...COMMON,
  ["READ BLOCK LIMITS", "- ++++ ++++", { cdb: cdb(0x05, 0, 0, 0, 0, 0), in: 6 }],
  ["READ POSITION", "- ++++ ++++", { cdb: READ_POSITION, in: 20 }],
  ["READ(6)", "- ---- --++", { cdb: readVariable(512), in: 512 }],
  ["WRITE(6)", "- ---- --++", { cdb: writeVariable(512), out: BLOCK }],
  ["WRITE FILEMARKS(6)", "- ---- --++", { cdb: filemarks(1) }],
  ["REWIND", "- ---- --++", { cdb: REWIND }],
  ["SPACE(6)", "- ---- --++", { cdb: space(3, 0) }],
  ["LOCATE(10)", "- ---- --++", { cdb: locate10(0) }],
  ["ERASE(6)", "- ---- --++", { cdb: cdb(0x19, 0, 0, 0, 0, 0) }],
];

/** The types that a column stands for. */
const COLUMNS = [
  [1, 1],
  [3, 3],
  [5, 7],
  [6, 8],
] as const;

async function outcome(host: Host, { cdb: command, out, in: room }: Command): Promise<"+" | "-"> {
  const words = await host.says(command, {
    ...(out === undefined ? {} : { out }),
    ...(room === undefined ? {} : { in: room }),
  });
  if (words.startsWith("6/")) return outcome(host, { cdb: command, ...(out && { out }), ...(room && { in: room }) });
  return words === "conflict" ? "-" : "+";
}

async function column(device: Device, a: Host, b: Host, rows: readonly Row[], type: number, registered: boolean) {
  const found: string[] = [];
  for (const [, , command] of rows) {
    await a.put(prOut(REGISTER_AND_IGNORE, { actionKey: 0xa }));
    if (registered) await b.put(prOut(REGISTER_AND_IGNORE, { actionKey: 0xb }));
    const held = await a.put(prOut(RESERVE, { key: 0xa, type }));
    if (held !== "good") throw new Error(`${device}: type ${type} was not reserved: ${held}`);
    await b.attentions();
    if (device === "tape0") await a.says(REWIND);
    found.push(await outcome(b, command));
    await a.put(prOut(CLEAR, { key: 0xa }));
    await a.attentions();
    await b.attentions();
    // Whatever b registered meanwhile goes with it.
    await b.put(prOut(REGISTER_AND_IGNORE, { actionKey: 0 }));
  }
  return found;
}

for (const [device, rows] of [
  ["disk0", DISK],
  ["tape0", TAPE],
] as const) {
  test(`${device}: RESERVE and every command of another`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    const found: (readonly [string, string])[] = [];
    for (const [name, , command] of rows) {
      t.is(await a.says(RESERVE_6), "good");
      found.push([name, await outcome(b, command)]);
      t.is(await a.says(TEST_UNIT_READY), "good", `${name}: a holds all the same`);
      await a.says(RELEASE_6);
      await b.says(RELEASE_6);
    }
    t.deepEqual(
      found,
      rows.map(([name, columns]) => [name, columns.slice(0, 1)] as const),
    );
  });

  for (const registered of [false, true]) {
    COLUMNS.forEach((types, index) => {
      for (const type of new Set(types)) {
        test(`${device}: persistent reservation of type ${type} and every command of ${registered ? "another registrant" : "who is not registered"}`, async (t) => {
          const rig = await startRig(t);
          const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
          const found = await column(device, a, b, rows, type, registered);
          const place = registered ? 2 : 1;
          const expected = rows.map(([name, columns]) => [name, columns.split(" ")[place]?.[index]] as const);
          t.deepEqual(
            rows.map(([name], at) => [name, found[at]] as const),
            expected,
          );
        });
      }
    });
  }
}
