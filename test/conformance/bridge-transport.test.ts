// The suite of the transports as a judge of the bridge: what a device answers must come through it whole, from an
// emulated device of its own, and through two bridges one behind the other. Its client is libiscsi.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE, type TestBridge } from "../lib/bridge.js";
import { startPlant } from "../lib/job-plant.js";
import { freePort } from "../lib/mosquitto.js";

const PROGRAM = `${process.env.GANTRY_C_TESTS ?? "build/asan"}/transport_conformance_test`;
const TARGET = "iqn.2024-01.org.example:behind";
/** What the program calls itself. */
const CLIENT = "iqn.2024-01.test.gantry:conformance";
const FRONT = "iqn.2024-01.org.example:front";

interface Served {
  readonly bridge: TestBridge;
  readonly portal: string;
}

/** A bridge that serves one device as LUN 1 to whoever has that name. */
async function serve(t: ExecutionContext, device: (directory: string) => string, initiator: string): Promise<Served> {
  const portal = `127.0.0.1:${await freePort()}`;
  const { bridge } = await startPlant(t, {
    devices: (directory) => `[[device]]
name = "device0"
${device(directory)}
[iscsi]
portals = ["${portal}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 1, device = "device0" }]
`,
  });
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${initiator}`,
    device: ["device0"],
    right: ["read", "write", "media-control", "exclusive"],
    priority: 1,
    lifeMs: 3_600_000,
  });
  await bridge.session.install(key);
  return { bridge, portal };
}

const EMULATED = {
  disk: (directory: string) =>
    `type = "disk"\ntransport = "virtual"\npath = "${join(directory, "disk0")}"\nsize_mib = 64`,
  tape: (directory: string) => {
    mkdirSync(join(directory, "tapes"), { recursive: true });
    return `type = "tape"\ntransport = "virtual"\npath = "${join(directory, "tapes")}"\ncartridge = "C00001"`;
  },
} as const;

async function conforms(t: ExecutionContext, type: "disk" | "tape", { bridge, portal }: Served): Promise<void> {
  const child = spawn(PROGRAM, ["bridge", portal, TARGET, "1", type, String(bridge.pid)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += String(data)));
  const [code] = (await once(child, "close")) as [number | null];
  for (const line of text.split("\n")) if (line.startsWith("SKIPPED")) t.log(line);
  if (code !== 0) t.log(text);
  t.is(code, 0);
  t.regex(text, /^\d+ checks, 0 failed$/m);
}

for (const type of ["disk", "tape"] as const) {
  test(`an emulated ${type} behind the bridge`, async (t) => {
    await conforms(t, type, await serve(t, EMULATED[type], CLIENT));
  });

  test(`a ${type} behind two bridges`, async (t) => {
    const back = await serve(t, EMULATED[type], FRONT);
    const through = `type = "${type}"\ntransport = "iscsi"\nportal = "${back.portal}"\ntarget = "${TARGET}"\nlun = 1\ninitiator = "${FRONT}"`;
    await conforms(t, type, await serve(t, () => through, CLIENT));
  });
}
