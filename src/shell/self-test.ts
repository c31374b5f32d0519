// Whether everything is as it should be: checks that change nothing, each with what to do about it.
import type { ScsiUnit } from "../device/scsi-unit.js";
import { messageOf } from "../sys/errors.js";
import { byteSize } from "../sys/units.js";
import * as cdb from "../wire/cdb.js";
import { decodeInquiry } from "../wire/inquiry.js";
import { inquiring, LOOK_MS, onlyInquiry, readiness, sourceOf } from "./device-look.js";
import type { ShellRoom } from "./room.js";

export interface Check {
  readonly check: string;
  readonly result: "pass" | "FAIL" | "skip";
  /** What was found, and when it is wrong what to do. */
  readonly said: string;
}

/** RFC 3720 B.4 and everybody else: CRC32C of the digits. */
const CRC_OF = "123456789";
const CRC_IS = 0xe3069283;
const ROOM_LEAST = 64 << 20;
const RSS_MOST = 1 << 30;
const TYPES: Readonly<Record<string, number>> = { disk: 0, tape: 1, changer: 8 };
/** A device that does not even refuse is given up for the test. */
const DEVICE_MS = 30_000;

const pass = (check: string, said: string): Check => ({ check, result: "pass", said });
const fail = (check: string, said: string): Check => ({ check, result: "FAIL", said });

export async function selfTest(room: ShellRoom): Promise<readonly Check[]> {
  const devices = room.devices.all().map(({ name }) => within(`device ${name}`, deviceCheck(room, name)));
  return Promise.all([
    Promise.resolve(crc(room)),
    store(room),
    Promise.resolve(freeRoom(room)),
    Promise.resolve(memory(room)),
    Promise.resolve(clock(room)),
    Promise.resolve(keys(room)),
    Promise.resolve(broker(room)),
    ...portals(room).map((check) => Promise.resolve(check)),
    ...devices,
  ]);
}

function crc({ plant }: ShellRoom): Check {
  const found = plant.crc32c(Buffer.from(CRC_OF));
  if (found === CRC_IS) return pass("data plane", "counts as it should (CRC32C)");
  return fail(
    "data plane",
    `CRC32C of "${CRC_OF}" is ${found.toString(16)}; the program or the processor is damaged: install it anew`,
  );
}

async function store({ plant }: ShellRoom): Promise<Check> {
  try {
    await plant.probeStore();
    return pass("store", "writes are on stable storage and come back");
  } catch (error) {
    return fail("store", `${messageOf(error)}`);
  }
}

function freeRoom({ plant, config }: ShellRoom): Check {
  const folder = config().bridge.state_dir;
  try {
    const free = plant.freeBytes(folder);
    const said = `${byteSize(free)} free below ${folder}`;
    return free >= ROOM_LEAST ? pass("room", said) : fail("room", `${said}; make room, or nothing new is accepted`);
  } catch (error) {
    return fail("room", messageOf(error));
  }
}

function memory({ status }: ShellRoom): Check {
  const { rssBytes, arenaFreeBytes } = status() as { readonly rssBytes: number; readonly arenaFreeBytes: bigint };
  const said = `${byteSize(rssBytes)} in use, ${byteSize(Number(arenaFreeBytes))} of the arena free`;
  return rssBytes <= RSS_MOST
    ? pass("memory", said)
    : fail("memory", `${said}: far more than usual; make a support bundle`);
}

function clock({ status }: ShellRoom): Check {
  const said = String(status().clock);
  if (said === "trusted") return pass("clock", new Date().toISOString());
  return fail("clock", `${said}; while it is not trusted every key is refused: set it, or reach a time server`);
}

function keys({ ring, config, status }: ShellRoom): Check {
  const fault = ring.fault();
  if (fault !== undefined) return fail("keys", fault);
  const issuers = config().keys.issuers.length;
  if (issuers === 0)
    return fail("keys", "no broker's keys are believed; `keys.issuers` in the configuration names them");
  return pass("keys", `${String(status().keys)} in force, of ${issuers} issuers`);
}

function broker({ broker: facts }: ShellRoom): Check {
  const { connected, sinceMs, reason } = facts();
  const since = new Date(sinceMs).toISOString();
  if (connected) return pass("broker", `connected since ${since}`);
  return fail(
    "broker",
    `away since ${since}${reason === undefined ? "" : `: ${reason}`}; what the bridge was told goes on, reports wait`,
  );
}

function portals({ config, servers }: ShellRoom): Check[] {
  if (config().iscsi === undefined) return [];
  return servers
    .units()
    .map(({ device, ready, problem }) =>
      ready ? pass(`for servers: ${device}`, "reachable") : fail(`for servers: ${device}`, problem ?? "being opened"),
    );
}

async function deviceCheck(room: ShellRoom, name: string): Promise<Check> {
  const check = `device ${name}`;
  const { type } = room.devices.config(name);
  const users = onlyInquiry(room, name);
  return inquiring(room, name, async (unit) => {
    const { vendor, product, deviceType } = await identity(unit);
    const who = `${vendor} ${product}`;
    if (deviceType !== TYPES[type])
      return fail(check, `${who} is no ${type}; look at what it is connected to, and at the configuration`);
    if (users !== undefined)
      return { check, result: "skip", said: `${who}; in use by ${users}, so not asked whether it is ready` };
    const ready = await readiness(unit, sourceOf(type));
    // A drive without a cartridge is in order.
    if (ready === "ready" || /\(3Ah\//.test(ready)) return pass(check, `${who}: ${ready}`);
    return fail(check, `${who}: ${ready}`);
  });
}

async function identity(unit: ScsiUnit) {
  const { data } = await unit.command(cdb.inquiry(96), { dataIn: 96, timeoutMs: LOOK_MS });
  return decodeInquiry(data);
}

async function within(check: string, work: Promise<Check>): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(() => resolve(fail(check, `no answer within ${DEVICE_MS / 1000} s`)), DEVICE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    return fail(check, messageOf(error));
  } finally {
    clearTimeout(timer);
  }
}
