// Logins over the wire, against the bridge's real front end: an initiator that is not ours (libiscsi), and
// attacks at the level of PDUs.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { DeviceRegistry } from "../../src/device/registry.js";
import { Bridge } from "../../src/fabric/bridge.js";
import { native } from "../../src/native/index.js";
import { systemClock, systemTimers } from "../../src/sys/clock.js";
import { parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { DISK_ROWS, OpenKeeper } from "../lib/bridge-rows.js";
import { challengeIn, chapResponse, loginRequest, text } from "../lib/iscsi-initiator.js";
import { Wire } from "../lib/iscsi-wire.js";
import { freePort } from "../lib/mosquitto.js";
import { tmpDir } from "../lib/tmp.js";

const run = promisify(execFile);
const TARGET = "iqn.2024-01.org.example:disks";
const SERVER = "iqn.2024-01.org.example:server";
const SECRET = "server-secret-1234";
const OWN_SECRET = "bridge-secret-5678";
const CLAIMS = [`InitiatorName=${SERVER}`, `TargetName=${TARGET}`];

async function start(t: ExecutionContext, authentication = "chap") {
  const directory = await tmpDir(t, "login");
  const port = await freePort();
  await writeFile(join(directory, "server"), `${SECRET}\n`);
  await writeFile(join(directory, "own"), `${OWN_SECRET}\n`);
  const config = parseConfig(
    `[bridge]
id = "b1"
state_dir = "/s"
[control]
url = "mqtt://127.0.0.1:1883"
[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "${join(directory, "disk0")}"
size_mib = 4
[iscsi]
portals = ["127.0.0.1:${port}"]
authentication = "${authentication}"
credentials = [{ initiator = "${SERVER}", user = "server", secret_file = "${join(directory, "server")}" }]
target_user = "bridge"
target_secret_file = "${join(directory, "own")}"
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }]
`,
    "gantry.toml",
  );
  const { iscsi, target, zone } = config;
  if (iscsi === undefined) throw new Error("no [iscsi]");
  const devices = new DeviceRegistry(native, config.device);
  devices.start();
  const bridge = await Bridge.start({
    native,
    devices,
    settings: { iscsi, target, zone },
    classes: DISK_ROWS,
    keeper: (plane) => new OpenKeeper(plane),
    clock: systemClock,
    timers: systemTimers,
    log: silentLogger(),
  });
  t.teardown(async () => {
    await bridge.stop();
    await devices.stop();
  });
  const wires: Wire[] = [];
  t.teardown(() => {
    for (const wire of wires) wire.close();
  });
  const open = async (): Promise<Wire> => {
    const wire = await Wire.open(port);
    wires.push(wire);
    return wire;
  };
  /** INQUIRY by libiscsi, as this initiator; "" when it does not get in. */
  const inquiry = async (credentials: string, query = "", initiator = SERVER): Promise<string> => {
    const url = `iscsi://${credentials}127.0.0.1:${port}/${TARGET}/0${query}`;
    try {
      return (await run("iscsi-inq", ["-i", initiator, url], { timeout: 20_000 })).stdout;
    } catch {
      return "";
    }
  };
  return { directory, port, bridge, open, inquiry };
}

/** A wrong proof on a connection of its own; the status that comes back, undefined when the connection just ends. */
async function guess(wire: Wire, secret: string): Promise<number | undefined> {
  await wire.ask(loginRequest({ stage: 0 }), text(...CLAIMS, "AuthMethod=CHAP"));
  const asked = await wire.ask(loginRequest({ stage: 0 }), text("CHAP_A=5"));
  const { id, challenge } = challengeIn(asked?.pairs ?? []);
  const proof = text("CHAP_N=server", `CHAP_R=${chapResponse(id, secret, challenge)}`);
  return (await wire.ask(loginRequest({ transit: true, stage: 0, nextStage: 1 }), proof))?.answer.status;
}

test("libiscsi logs in with CHAP, one-way and mutual, and not with a wrong secret or name, nor without", async (t) => {
  const { inquiry } = await start(t);
  t.regex(await inquiry(`server%${SECRET}@`), /Vendor:GANTRY/);
  t.regex(await inquiry(`server%${SECRET}@`, `?target_user=bridge&target_password=${OWN_SECRET}`), /Vendor:GANTRY/);
  t.is(await inquiry(`server%${SECRET}@`, "?target_user=bridge&target_password=not-the-bridge"), "");
  t.is(await inquiry(""), "");
  t.is(await inquiry("server%wrong-secret-99@"), "");
  t.is(await inquiry(`nobody%${SECRET}@`), "");
  t.is(await inquiry(`server%${SECRET}@`, "", "iqn.2024-01.org.example:other"), "", "the secret is another's");
});

test("a name that has a secret must prove it also where nobody else has to", async (t) => {
  const { inquiry } = await start(t, "none-on-loopback");
  t.regex(await inquiry("", "", "iqn.2024-01.org.example:other"), /Vendor:GANTRY/);
  t.is(await inquiry(""), "");
  t.regex(await inquiry(`server%${SECRET}@`), /Vendor:GANTRY/);
});

test("three hundred half-open logins and as many silent connections keep nobody out", async (t) => {
  const { open, inquiry, bridge } = await start(t);
  for (let count = 0; count < 300; count++) {
    const wire = await open();
    // One third says nothing, one third begins, one third stops in the middle of a header.
    if (count % 3 === 1) await wire.ask(loginRequest({ stage: 0 }), text(...CLAIMS, "AuthMethod=CHAP"));
    if (count % 3 === 2) wire.raw(loginRequest({ stage: 0 }).subarray(0, 30));
  }
  t.regex(await inquiry(`server%${SECRET}@`), /Vendor:GANTRY/);
  t.true(bridge.sessions().length <= 1);
});

test("wrong proofs from many connections at once are slowed down, and none gets in", async (t) => {
  const { open, bridge } = await start(t);
  const wires = await Promise.all(Array.from({ length: 30 }, open));
  const statuses = await Promise.all(wires.map((wire, index) => guess(wire, `guess-number-${index}`)));
  // Each is refused: looked at (0201), or turned away unseen (0301) because too many stand before it.
  t.true(
    statuses.every((status) => status === 0x0201 || status === 0x0301),
    JSON.stringify(statuses),
  );
  t.true(statuses.filter((status) => status === 0x0301).length >= 20);
  t.is(bridge.sessions().length, 0);
});

test("PDUs out of order in login end the connection, and nothing is carried out", async (t) => {
  const { open, bridge, inquiry } = await start(t);
  const command = (): Buffer => {
    const header = Buffer.alloc(48);
    header[0] = 0x01;
    header[1] = 0xc1;
    header.writeUInt32BE(36, 20);
    header.set([0x12, 0, 0, 0, 36, 0], 32);
    return header;
  };
  for (const first of [false, true]) {
    const wire = await open();
    if (first) await wire.ask(loginRequest({ stage: 0 }), text(...CLAIMS, "AuthMethod=CHAP"));
    wire.send(command());
    const told = await wire.receive();
    t.true(told === undefined || told.answer.status === 0x020b, "refused or closed");
    t.is(await wire.receive(), undefined);
  }
  // The final stage without a proof, a proof without a challenge, a second login on top of the first.
  const straight = await open();
  t.is(
    (await straight.ask(loginRequest({ transit: true, stage: 1, nextStage: 3 }), text(...CLAIMS)))?.answer.status,
    0x0201,
  );
  const early = await open();
  await early.ask(loginRequest({ stage: 0 }), text(...CLAIMS, "AuthMethod=CHAP"));
  t.is((await early.ask(loginRequest({ stage: 0 }), text("CHAP_N=server", "CHAP_R=0x00")))?.answer.status, 0x0201);
  const twice = await open();
  await twice.ask(loginRequest({ stage: 0 }), text(...CLAIMS, "AuthMethod=CHAP"));
  t.is((await twice.ask(loginRequest({ stage: 0 }), text(...CLAIMS)))?.answer.status, 0x0200);
  t.is(bridge.sessions().length, 0);
  t.regex(await inquiry(`server%${SECRET}@`), /Vendor:GANTRY/);
});

test("lengths that lie in login end the connection", async (t) => {
  const { open, inquiry } = await start(t);
  for (const claimed of [8193, 65_536, 0xffffff]) {
    const wire = await open();
    wire.send(loginRequest({ stage: 0 }), text(...CLAIMS), claimed);
    wire.raw(Buffer.alloc(20_000));
    const told = await wire.receive();
    t.true(told === undefined || told.answer.status >= 0x0200);
    t.is(await wire.receive(), undefined);
  }
  t.regex(await inquiry(`server%${SECRET}@`), /Vendor:GANTRY/);
});

test("text of 64 KiB over many PDUs is answered over many PDUs", async (t) => {
  const { open } = await start(t, "none-anywhere");
  const wire = await open();
  const name = "iqn.2024-01.org.example:other";
  const odd = Array.from({ length: 260 }, (_, index) => `X-com.example.${index}=${"v".repeat(220)}`);
  const whole = text(`InitiatorName=${name}`, `TargetName=${TARGET}`, ...odd);
  let told = await wire.ask(loginRequest({ stage: 1, continued: true }), whole.subarray(0, 8192));
  for (let at = 8192; at < whole.length; at += 8192) {
    const last = at + 8192 >= whole.length;
    const fields = last ? { transit: true, stage: 1, nextStage: 3 } : { stage: 1, continued: true };
    told = await wire.ask(loginRequest(fields), whole.subarray(at, at + 8192));
  }
  let answers = 1;
  for (; told?.answer.continued === true; answers++)
    told = await wire.ask(loginRequest({ transit: true, stage: 1, nextStage: 3 }), Buffer.alloc(0));
  t.true(answers > 1);
  t.like(told?.answer, { status: 0, transit: true, nextStage: 3 });
});
