// Copy jobs and the readers of a shared disk: what a clone writes is told over MQTT and in-band when the job ends.
import { join } from "node:path";
import test from "ava";
import { attentions, events, grant, ONE, read, startGate, TWO, until } from "../lib/gate-plant.js";
import { succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList, VOLUME } from "../lib/raw-disk.js";

test.serial("servers are told what a clone wrote on their disk, who writes there too", async (t) => {
  let content: Buffer = Buffer.alloc(0);
  const { bridge, directory, open } = await startGate(t, {
    more: "tell_readers = true",
    prepare: (dir) => {
      content = rawDisk(join(dir, "disk1"), 16, "from");
    },
  });
  const heard = events(t, bridge.options.mqttPort);
  await grant(bridge, ONE);
  await grant(bridge, TWO, { right: ["read"] });
  const [one, two] = [await open(ONE), await open(TWO)];
  for (const lu of [one, two]) await attentions(lu);
  const members = [
    {
      name: "m",
      at: [
        [0, 100, 50],
        [50, 3000, 8],
        [60, 150, 10],
      ],
    },
  ] as const;
  const file = await rawList(directory, "blocks", members);
  const job = { type: "clone", disk: { device: "disk1" }, toDisk: { device: "disk0" }, volume: VOLUME } as const;
  succeeded(t, await bridge.run({ ...job, jobId: "c1" }, { file, device: "disk1" }));
  const told = await until(
    async () => heard.find(({ event }) => event === "volume.changed"),
    (event) => event !== undefined,
  );
  t.is(told?.details?.device, "disk0");
  t.deepEqual(
    ((told?.details?.extents ?? []) as readonly (readonly (number | bigint)[])[]).map((extent) => extent.map(Number)),
    [
      [100, 60],
      [3000, 8],
    ],
  );
  for (const lu of [one, two]) t.deepEqual(await attentions(lu), ["28/0"]);
  t.deepEqual((await read(two, 120)).data, new Uint8Array(content.subarray(120 * 512, 121 * 512)));
});
