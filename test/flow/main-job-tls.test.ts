// The main job over an MQTT server that takes only TLS with client certificates.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { TestBridge } from "../lib/bridge.js";
import { deviceTables, succeeded } from "../lib/job-plant.js";
import { startMosquitto } from "../lib/mosquitto.js";
import { rawDisk, rawList } from "../lib/raw-disk.js";
import { tmpDir } from "../lib/tmp.js";

test("backup and verify over TLS, bridge and broker each with a certificate; without one nobody gets in", async (t) => {
  const directory = await tmpDir(t, "tls");
  const mosquitto = await startMosquitto({ tls: true });
  t.teardown(() => mosquitto.close());
  const { pki } = mosquitto;
  if (pki === undefined) throw new Error("no certificates were made");
  mkdirSync(directory, { recursive: true });
  const own = await pki.issue("bridge");
  const files = { ca: pki.ca, cert: own.cert, key: own.key };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, `${name}.pem`), text);
  const broker = await pki.issue("broker");
  rawDisk(join(directory, "disk.img"), 4);
  const url = `url = "mqtts://localhost:${mosquitto.port}"`;
  const certificates = `ca_file = "${join(directory, "ca.pem")}"
cert_file = "${join(directory, "cert.pem")}"
key_file = "${join(directory, "key.pem")}"`;
  const make = (control: string): TestBridge =>
    new TestBridge({
      directory,
      mqttPort: mosquitto.port,
      devices: deviceTables({
        disks: { disk0: { path: join(directory, "disk.img") } },
        tapes: { tape0: { path: join(directory, "tapes") } },
      }),
      control,
      server: { host: "localhost", tls: { ca: pki.ca, cert: broker.cert, key: broker.key } },
    });

  const bridge = make(`${url}\n${certificates}`);
  t.teardown(() => bridge.close());
  await bridge.start();
  const list = await rawList(directory, "list", [{ name: "f", at: [[0, 8, 4000]] }]);
  const tape = { device: "tape0", cartridges: ["A00001"] };
  const backup = await bridge.run(
    { jobId: "backup", type: "backup", disk: { device: "disk0" }, tape },
    { file: list, device: "disk0" },
  );
  succeeded(t, backup);
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape }));
  t.regex(mosquitto.log(), /u'bridge'/, "the server knows the bridge by its certificate");
  t.is(await bridge.stop(), 0);

  const nobody = make(`${url}\nca_file = "${join(directory, "ca.pem")}"`);
  t.teardown(() => nobody.stop());
  const refusals = (): number => mosquitto.log().split("peer did not return a certificate").length;
  const before = refusals();
  nobody.launch();
  for (let tries = 0; tries < 400 && refusals() === before; tries++) await new Promise((go) => setTimeout(go, 25));
  t.true(refusals() > before, "a bridge without a certificate is turned away");
});
