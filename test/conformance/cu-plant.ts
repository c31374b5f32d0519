// What the suite is run on: a gantryd with emulated disks and one behind it, each the LUN of a target of its own, and
// a tgtd whose two equal disks are that one and its twin, which is reached without the bridge.
import { join } from "node:path";
import { native } from "../../src/native/index.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE, TestBridge } from "../lib/bridge.js";
import { freePort, startMosquitto } from "../lib/mosquitto.js";
import { startTgtd } from "../lib/tgtd.js";
import { INITIATORS } from "./cu-run.js";

const DISK_MIB = 64;
/** Makes a SANITIZE take eight seconds. */
const PACE_KIB_S = (DISK_MIB * 1024) / 8;
const READY_MS = 30_000;
const LOOK_MS = 50;
const KEY_LIFE_MS = 3_600_000;
const TEST_UNIT_READY = new Uint8Array(6);

/** Names of disks, in the lists and in the report. */
export const DISKS = {
  small: "disk-512",
  large: "disk-4096",
  /** Eight logical blocks in a physical one. */
  emulation: "disk-512e",
  /** So slow that a SANITIZE is still under way when a test looks. */
  paced: "disk-paced",
  /** An emulated one that the keys let nobody write. */
  readKey: "read-key",
  through: "pass-through",
  alone: "tgtd-alone",
} as const;
const EMULATED = [DISKS.small, DISKS.large, DISKS.emulation, DISKS.paced, DISKS.readKey] as const;
const OURS = [...EMULATED, DISKS.through] as const;
/** Tests that need a disk of their own; the other emulated disks leave them out. */
const SPECIAL: Readonly<Record<string, readonly string[]>> = {
  [DISKS.emulation]: [
    "CompareAndWrite.InvalidDataOutSize",
    "WriteSame10.InvalidDataOutSize",
    "WriteSame10.UnmapUnaligned",
    "WriteSame16.InvalidDataOutSize",
    "WriteSame16.UnmapUnaligned",
  ],
  [DISKS.paced]: ["Sanitize.Reset"],
  [DISKS.readKey]: ["ReadOnly.ReadOnlySBC"],
};

export function runsOn(disk: string, test: string): boolean {
  const special = SPECIAL[disk];
  if (special !== undefined) return special.includes(test);
  return disk === DISKS.through || disk === DISKS.alone || !Object.values(SPECIAL).flat().includes(test);
}

export interface CuPlant {
  url(disk: string): string;
  close(): Promise<void>;
}

const targetName = (disk: string): string => `iqn.2024-01.test.gantry:${disk}`;

export async function startCuPlant(directory: string): Promise<CuPlant> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const tgtd = await startTgtd({ disks: [DISK_MIB, DISK_MIB] });
    undo.push(() => tgtd.close());
    const mosquitto = await startMosquitto();
    undo.push(() => mosquitto.close());
    const port = await freePort();
    const bridge = new TestBridge({
      directory: join(directory, "bridge"),
      mqttPort: mosquitto.port,
      memory: "arena_mib = 8",
      devices: devicesToml(directory, tgtd) + fabricToml(port),
    });
    undo.push(() => bridge.close());
    await bridge.start();
    for (const initiator of INITIATORS) await grant(bridge, initiator);
    await Promise.all(OURS.map((disk) => ready(`127.0.0.1:${port}`, disk)));
    const direct = `iscsi://${tgtd.portal}/${tgtd.target}/${tgtd.units[1]?.lun ?? 0}`;
    return {
      url: (disk) => (disk === DISKS.alone ? direct : `iscsi://127.0.0.1:${port}/${targetName(disk)}/0`),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The program logs in by two names, and both write. */
function devicesToml(
  directory: string,
  { portal, target }: { readonly portal: string; readonly target: string },
): string {
  const emulated = (name: string, more: string): string => `[[device]]
name = "${name}"
type = "disk"
transport = "virtual"
path = "${join(directory, `${name}.img`)}"
size_mib = ${DISK_MIB}
removable = true
${more}
writers = "many"
`;
  const disks = [
    emulated(DISKS.small, "physical_block_bytes = 512"),
    emulated(DISKS.large, "block_bytes = 4096"),
    emulated(DISKS.emulation, "physical_block_bytes = 4096"),
    emulated(DISKS.paced, `pace_kib_s = ${PACE_KIB_S}`),
    emulated(DISKS.readKey, ""),
  ];
  return `${disks.join("")}[[device]]
name = "${DISKS.through}"
type = "disk"
transport = "iscsi"
portal = "${portal}"
target = "${target}"
lun = 1
writers = "many"
`;
}

const fabricToml = (port: number): string =>
  `[iscsi]
portals = ["127.0.0.1:${port}"]
${OURS.map((disk) => `[[target]]\nname = "${targetName(disk)}"\nluns = [{ lun = 0, device = "${disk}" }]\n`).join("")}`;

async function grant({ home, session }: TestBridge, initiator: string): Promise<void> {
  const holder = `initiator:${initiator}`;
  const all = ["read", "write", "exclusive", "media-control"];
  for (const device of OURS) {
    const right = device === DISKS.readKey ? ["read"] : all;
    await session.install(
      issueKey(home, { bridge: BRIDGE, holder, device: [device], right, priority: 100, lifeMs: KEY_LIFE_MS }),
    );
  }
}

/** Waits until the disk behind the LUN is there and a keyed initiator reaches it. */
async function ready(portal: string, disk: string): Promise<void> {
  const give = Date.now() + READY_MS;
  const place = { transport: "iscsi", portal, target: targetName(disk), lun: 0, initiator: INITIATORS[0] } as const;
  for (let said = ""; ; ) {
    try {
      const lu = await native.openLu(place);
      try {
        while (Date.now() < give) {
          const { outcome, status, sense } = await lu.execute(TEST_UNIT_READY);
          if (outcome === "delivered" && status === 0) return;
          said = `${outcome}, status ${status}, sense ${Buffer.from(sense).toString("hex")}`;
          await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        }
      } finally {
        await lu.close();
      }
    } catch (error) {
      said = String(error);
    }
    if (Date.now() >= give) throw new Error(`${disk} does not become ready: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
