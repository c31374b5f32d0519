// Two servers and one copy manager: nobody copies from what he may not read, or to what he may not write, by whatever
// segment, name of a device or token. Tables over every kind of segment; the tests say what each of them is answered with.
import test, { type ExecutionContext } from "ava";
import type { Right } from "../../src/admit/key.js";
import { inquiry, writeFilemarks } from "../../src/wire/cdb.js";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeDataLid1 } from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import { type BinaryDesignator, decodeDesignators } from "../../src/wire/xcopy/designator.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type KindRow, VARIANTS, type Wants } from "../lib/copy-kinds.js";
import { type CopyHost, type CopyPlant, type Name, pattern, startCopyPlant, words } from "../lib/copy-plant.js";

const REWIND = Uint8Array.of(1, 0, 0, 0, 0, 0);
const THIS_UNIT = 0xffff;
const NULL_DISK = 0xc000;
const NULL_TAPE = 0xc001;
const ALL: readonly Right[] = ["read", "write", "exclusive", "media-control"];

/** Where a copy goes from and to. Every copy is ordered of `entry`, which its orderer may use as he likes. */
const ENTRY = "big0";
const FROM = { disk: "disk0", tape: "tape0" } as const;
const TO = { disk: "disk1", tape: "tape1" } as const;
type Role = "source" | "destination";

const UNREACHABLE = "a/8/4";
const DEVICE_SAID = "a/d/1";
const NO_ACCESS = "5/20/2";

/** Rights that do not suffice, and what the device says then; "good": they do. None at all: it is not there. */
const TOO_LITTLE: Readonly<Record<Wants, readonly (readonly [readonly Right[], string])[]>> = {
  read: [
    [[], UNREACHABLE],
    [["write"], NO_ACCESS],
    [["exclusive", "media-control"], NO_ACCESS],
  ],
  write: [
    [[], UNREACHABLE],
    [["read"], "7/27/0"],
    [["read", "exclusive", "media-control"], "7/27/0"],
  ],
  position: [
    [[], UNREACHABLE],
    [["exclusive", "media-control"], NO_ACCESS],
  ],
  look: [[[], UNREACHABLE]],
  reserve: [
    [[], UNREACHABLE],
    [["read", "write", "media-control"], NO_ACCESS],
  ],
};

/** Tape 0 has blocks and filemarks; both are at their beginning. */
async function prepare(host: CopyHost): Promise<void> {
  for (let block = 0; block < 20; block++) {
    const cdb = Uint8Array.of(0x0a, 0, 0, 2, 0, 0);
    await host.send("tape0", cdb, { out: pattern(512, block) });
  }
  await host.send("tape0", writeFilemarks(2));
  await rewind(host);
}

async function rewind(host: CopyHost): Promise<void> {
  for (const name of ["tape0", "tape1"] as const) await host.send(name, REWIND);
}

/** All names of a logical unit that VPD page 83h gives, as who may ask gets them. */
async function names(host: CopyHost, name: Name): Promise<readonly BinaryDesignator[]> {
  const { data } = await host.send(name, inquiry(1020, 0x83), { in: 1020 });
  return decodeDesignators(data).filter(({ association, value }) => association === 0 && value.length <= 20);
}

/** Words of what the failing device said, as far as the sense data tell of it. */
function said(sense: Uint8Array, role: Role): string | undefined {
  const answer = decodeCopySense(sense)[role];
  return answer && words({ status: answer.status, sense: answer.sense });
}

const devicesOf = (row: KindRow): Partial<Record<Role, Name>> => ({
  ...(row.source && { source: FROM[row.source[0]] }),
  ...(row.destination && { destination: TO[row.destination[0]] }),
});

/** The descriptors of a segment of this kind, with the device of one role by a name of its own. */
function cscdsOf(
  all: ReadonlyMap<Name, IdentificationCscd>,
  devices: Partial<Record<Role, Name>>,
  role: Role,
  designator: BinaryDesignator,
): readonly IdentificationCscd[] {
  return (["source", "destination"] as const).map((one) => {
    const cscd = all.get(devices[one] ?? ENTRY);
    if (cscd === undefined) throw new Error("no such device");
    return one === role ? { ...cscd, designator } : cscd;
  });
}

interface Scene {
  readonly plant: CopyPlant;
  readonly owner: CopyHost;
  readonly cscds: ReadonlyMap<Name, IdentificationCscd>;
}

async function start(t: ExecutionContext<unknown>): Promise<Scene> {
  const plant = await startCopyPlant(t);
  const owner = await plant.host("a");
  await prepare(owner);
  const cscds = new Map<Name, IdentificationCscd>();
  for (const name of ["disk0", "disk1", "big0", "tape0", "tape1"] as const) cscds.set(name, await owner.cscd(name));
  return { plant, owner, cscds };
}

/** Who has these rights on the device of one role, and all on every other. */
function poorly({ plant }: Scene, device: Name, rights: readonly Right[]): Promise<CopyHost> {
  const others = (["disk0", "disk1", "big0", "tape0", "tape1"] as const).map((name) => [name, ALL] as const);
  const given = Object.fromEntries(others) as Partial<Record<Name, readonly Right[]>>;
  delete given[device];
  return plant.host(`${device}-${rights.join("-") || "none"}`, {
    ...given,
    ...(rights.length > 0 && { [device]: rights }),
  });
}

const inlineOf = (): { readonly inline: Uint8Array } => ({ inline: new Uint8Array(512) });

test("every kind of segment does what it does for who may", async (t) => {
  const { owner, cscds } = await start(t);
  for (const { words: kind, row, hold } of VARIANTS) {
    await rewind(owner);
    const devices = devicesOf(row);
    const list = (["source", "destination"] as const).map((role) => cscds.get(devices[role] ?? ENTRY));
    const segment = row.make(0, 1, hold);
    const answer = await owner.copy(ENTRY, list as IdentificationCscd[], [segment], inlineOf());
    // The registration of the segment before is moved only with a reservation (SPC-4 5.13.8).
    const wanted = kind === "source-nexus" ? DEVICE_SAID : "good";
    t.is(words(answer), wanted, kind);
    if (wanted !== "good") t.is(said(answer.sense, "destination"), "5/24/0");
  }
});

for (const role of ["source", "destination"] as const) {
  test(`a ${role} that the server may not use so, by every name, for every kind of segment, in both forms of lists`, async (t) => {
    const scene = await start(t);
    const { plant, owner, cscds } = scene;
    const hosts = new Map<string, CopyHost>();
    const before = plant.media();
    let tried = 0;
    for (const { words: kind, row, hold } of VARIANTS) {
      const [type, wants] = row[role] ?? [];
      if (type === undefined || wants === undefined) continue;
      const device = (role === "source" ? FROM : TO)[type];
      for (const [rights, answer] of TOO_LITTLE[wants]) {
        const key = `${device} ${rights}`;
        const host = hosts.get(key) ?? (await poorly(scene, device, rights));
        hosts.set(key, host);
        for (const designator of await names(owner, device))
          for (const form of ["LID1", "LID4"] as const) {
            const list = cscdsOf(cscds, devicesOf(row), role, designator);
            const [source, destination] = form === "LID1" ? [0, 1] : [1, 2];
            // What comes before it is done, what comes behind it is not.
            const segments: Segment[] = [{ kind: "verify", source, testUnitReady: false }];
            const asked = role === "source" ? [] : segments;
            asked.push(row.make(source, destination, hold));
            const got = await host.copy(ENTRY, list, asked, { form, ...inlineOf() });
            const what = `${kind} ${form} designator ${designator.type} with [${rights}]`;
            t.is(words(got), answer === UNREACHABLE ? UNREACHABLE : DEVICE_SAID, what);
            t.is(decodeCopySense(got.sense).segment, asked.length - 1, what);
            t.is(said(got.sense, role), answer === UNREACHABLE ? undefined : answer, what);
            const data = encodeCopyCommand({ kind: "data-lid1", listId: 1, length: 8192 });
            t.is(decodeDataLid1((await host.send(ENTRY, data, { in: 8192 })).data).length, 0, `${what}: held data`);
            tried++;
          }
      }
    }
    t.true(tried > 80, `${tried} lists`);
    t.is(plant.media(), before, "not one byte is another");
  });

  test(`"this unit" as a ${role} is judged as by its name, for every kind of segment`, async (t) => {
    const scene = await start(t);
    const { plant, cscds } = scene;
    const hosts = new Map<string, CopyHost>();
    const before = plant.media();
    for (const { words: kind, row, hold } of VARIANTS) {
      const [type, wants] = row[role] ?? [];
      if (type === undefined || wants === undefined) continue;
      const device = (role === "source" ? FROM : TO)[type];
      for (const [rights, answer] of TOO_LITTLE[wants]) {
        const key = `${device} ${rights}`;
        const host = hosts.get(key) ?? (await poorly(scene, device, rights));
        hosts.set(key, host);
        const devices = devicesOf(row);
        const list = (["source", "destination"] as const).map((one) => cscds.get(devices[one] ?? ENTRY));
        const segment = role === "source" ? row.make(THIS_UNIT, 1, hold) : row.make(0, THIS_UNIT, hold);
        const got = await host.copy(device, list as IdentificationCscd[], [segment], inlineOf());
        const what = `${kind} with [${rights}]`;
        // Without any right there is no such LUN.
        if (rights.length === 0) t.is(words(got), "5/25/0", what);
        else t.deepEqual([words(got), said(got.sense, role)], [DEVICE_SAID, answer], what);
      }
    }
    t.is(plant.media(), before, "not one byte is another");
  });
}

test("null devices give nothing, and what is held on the way to them is what the server may read", async (t) => {
  const scene = await start(t);
  const { plant, cscds } = scene;
  const host = await poorly(scene, "disk0", ["write"]);
  const before = plant.media();
  const [disk0, disk1] = [cscds.get("disk0"), cscds.get("disk1")] as [IdentificationCscd, IdentificationCscd];
  const receive = encodeCopyCommand({ kind: "data-lid1", listId: 1, length: 8192 });
  for (const { words: kind, row, hold } of VARIANTS) {
    if (row.source?.[1] !== "read") continue;
    // As a source: by its number, and as the descriptor of a device with NUL.
    for (const source of [NULL_DISK, NULL_TAPE, 0]) {
      const nul = { ...disk0, nul: true, deviceType: row.source[0] === "disk" ? 0 : 1, blockBytes: 0 };
      const got = await host.copy(ENTRY, [nul, disk1], [row.make(source, NULL_DISK, hold)]);
      t.is(words(got), "a/26/c", `${kind} from ${source.toString(16)}`);
    }
    if (row.source[0] !== "disk") continue;
    const nowhere = row.destination?.[0] === "tape" ? NULL_TAPE : NULL_DISK;
    const got = await host.copy(ENTRY, [disk0], [row.make(0, nowhere, hold)]);
    t.deepEqual([words(got), said(got.sense, "source")], [DEVICE_SAID, NO_ACCESS], kind);
    t.is(decodeDataLid1((await host.send(ENTRY, receive, { in: 8192 })).data).length, 0, `${kind}: held data`);
  }
  t.is(plant.media(), before);
});

test("RODs are not made by segments, whoever asks", async (t) => {
  const { owner, cscds } = await start(t);
  const list = [cscds.get("disk0"), cscds.get("disk1")] as IdentificationCscd[];
  const ranges = [{ lba: 0n, blocks: 8 }];
  for (const segment of [
    { kind: "rod-ranges", source: THIS_UNIT, destination: 1, ranges },
    { kind: "rod-range", source: THIS_UNIT, destination: 1, lba: 0n, blocks: 8 },
  ] as const)
    t.is(words(await owner.copy("disk0", list, [segment])), "5/26/9", segment.kind);
});

test("a device that no zone shows the server is not there, whatever its keys; who has no key has no LUN", async (t) => {
  const zone = (name: string, devices: readonly Name[]): string =>
    `[[zone]]\nname = "${name}"\ninitiators = ["iqn.2024-01.org.example:host-${name}"]\ndevices = ${JSON.stringify(devices)}\n`;
  const every = ["disk0", "disk1", "big0", "tape0", "tape1"] as const;
  const tables = zone("a", every) + zone("b", [ENTRY, "disk1", "tape1"]) + zone("c", every);
  const plant = await startCopyPlant(t, { tables });
  const owner = await plant.host("a");
  await prepare(owner);
  const host = await plant.host("b");
  const before = plant.media();
  const list = new Map<Name, IdentificationCscd>();
  for (const name of every) list.set(name, await owner.cscd(name));
  for (const { words: kind, row, hold } of VARIANTS) {
    if (row.source === undefined) continue;
    const devices = devicesOf(row);
    const cscds = (["source", "destination"] as const).map((role) => list.get(devices[role] ?? ENTRY));
    const got = await host.copy(ENTRY, cscds as IdentificationCscd[], [row.make(0, 1, hold)]);
    t.is(words(got), UNREACHABLE, kind);
  }
  const none = await plant.host("c", {});
  const cscds = [list.get("disk0"), list.get("disk1")] as IdentificationCscd[];
  const [block] = VARIANTS.filter(({ words: kind }) => kind === "block-block");
  for (const name of every) {
    const got = await none.copy(name, cscds, [(block as (typeof VARIANTS)[number]).row.make(0, 1, false)]);
    t.is(words(got), "5/25/0", name);
  }
  t.is(plant.media(), before);
});
