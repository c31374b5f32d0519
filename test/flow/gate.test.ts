// The gate at the whole daemon: what the refused see, keys that end in the middle, keys presented in-band, one writer
// among several, and what readers are told. Initiators are ours (C), libiscsi's and QEMU's.
import { execFile, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import test from "ava";
import type { ScsiAnswer } from "../../src/native/types.js";
import { STATUS } from "../../src/wire/names.js";
import {
  asc,
  attentions,
  events,
  GOOD,
  grant,
  keyFor,
  modeByte,
  ONE,
  read,
  revoke,
  startGate,
  TARGET,
  TWO,
  until,
  write,
  write10,
} from "../lib/gate-plant.js";

const run = promisify(execFile);
const TIMEOUT_MS = 30_000;
const ABORTED_OR_GONE = /write failed/;

test.serial(
  "a read-only key: WRITE PROTECTED for writes, WP in MODE SENSE; every refusal is counted and told",
  async (t) => {
    const { bridge, open } = await startGate(t);
    const heard = events(t, bridge.options.mqttPort);
    await grant(bridge, ONE, { right: ["read"] });
    const lu = await open(ONE);
    await attentions(lu);
    t.is((await read(lu, 0)).status, GOOD);
    for (let turn = 0; turn < 5; turn++) t.deepEqual(asc(await write(lu, 0)), [0x07, 0x27, 0x00]);
    t.is((await modeByte(lu)) & 0x80, 0x80);
    const { refusals } = await until(
      () => bridge.session.client.send("refusal.list", {}),
      ({ refusals: found }) => found.some(({ count }) => Number(count) === 5),
    );
    t.like(refusals[0], { initiator: ONE, device: "disk0", why: "read-only", command: "WRITE(10) (2Ah)" });
    t.is(Number(refusals[0]?.count), 5);
    const told = await until(
      async () => heard.find(({ event }) => event === "refused"),
      (event) => event !== undefined,
    );
    t.like(told?.details, { initiator: ONE, device: "disk0", why: "read-only" });
  },
);

test.serial(
  "a key that ends by itself takes its device away, aborts nothing of others, and leaves a unit attention",
  async (t) => {
    const { bridge, open } = await startGate(t);
    await grant(bridge, ONE, { device: ["disk1"] });
    const [zero, three] = [await open(ONE, 0), await open(ONE, 3)];
    await attentions(three);
    // Last, so that it lives while it is looked at.
    await grant(bridge, ONE, { lifeMs: 10_000 });
    await attentions(zero);
    await attentions(three);
    t.is((await write(zero, 0)).status, GOOD);
    const ended = await until(
      () => write(zero, 0),
      ({ status }) => status === STATUS.CHECK_CONDITION, // What was under way ends with TASK ABORTED.
    );
    t.true([0x25, 0x3f].includes(ended.sense[12] ?? 0), "LOGICAL UNIT NOT SUPPORTED, or told of it first");
    const told = await until(
      () => attentions(three),
      (found) => found.length > 0,
    );
    t.deepEqual(told, ["3f/e"], "REPORTED LUNS DATA HAS CHANGED");
    t.is((await write(three, 0)).status, GOOD);
  },
);

test.serial("a write right that ends before the read right goes alone", async (t) => {
  const { bridge, open } = await startGate(t);
  await grant(bridge, ONE, { right: ["read"] });
  const lu = await open(ONE);
  await grant(bridge, ONE, { lifeMs: 10_000 });
  await attentions(lu);
  t.is((await write(lu, 0)).status, GOOD);
  const outcomes = new Set<string>();
  await until(
    async () => {
      const [first, second] = [await read(lu, 0), await write(lu, 0)];
      // What ran in the very moment was broken off, and says so.
      for (const { status, sense } of [first, second])
        if (status !== STATUS.TASK_ABORTED) outcomes.add(status === GOOD ? "good" : `${sense[2]}/${sense[12]}`);
      return second;
    },
    ({ sense }) => sense[2] === 7,
  );
  // UNIT ATTENTION 2Ah, DATA PROTECT 27h; never LOGICAL UNIT NOT SUPPORTED in between.
  t.deepEqual([...outcomes].sort(), ["6/42", "7/39", "good"]);
  t.is((await read(lu, 0)).status, GOOD);
});

test.serial("a key that is revoked in the middle of QEMU's writes ends them", async (t) => {
  const { bridge, portal } = await startGate(t);
  const id = await grant(bridge, ONE);
  const image = `driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=${portal},file.target=${TARGET},file.lun=0,file.initiator-name=${ONE}`;
  const child = spawn("qemu-io", ["--image-opts", image], { stdio: ["pipe", "pipe", "pipe"] });
  t.teardown(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const wrote = () => (said.match(/wrote 65536\/65536/g) ?? []).length;
  const feed = setInterval(() => child.stdin.write("write 0 64k\n"), 5);
  await until(
    async () => wrote(),
    (count) => count >= 20,
  );
  await revoke(bridge, id);
  await until(
    async () => said,
    (text) => ABORTED_OR_GONE.test(text),
  );
  clearInterval(feed);
  const before = wrote();
  child.stdin.write("write 0 64k\n");
  child.stdin.end("quit\n");
  await new Promise((resolve) => child.once("exit", resolve));
  t.regex(said, ABORTED_OR_GONE);
  t.is(wrote(), before, "nothing is written under a key that is revoked");
});

test.serial("zones and keys decide what REPORT LUNS shows; what is outside is not there", async (t) => {
  const zones = `[[zone]]
name = "z1"
initiators = ["${ONE}"]
devices = ["disk1"]
[[zone]]
name = "z2"
initiators = ["${TWO}"]
devices = ["disk0", "disk1"]`;
  const { bridge, portal, open } = await startGate(t, { tables: zones });
  for (const initiator of [ONE, TWO]) await grant(bridge, initiator, { device: ["class:disk"] });
  const list = async (initiator: string): Promise<readonly string[]> => {
    const { stdout } = await run("iscsi-ls", ["-i", initiator, "-s", `iscsi://${portal}`], { timeout: TIMEOUT_MS });
    return stdout.match(/Lun:\d+/g) ?? [];
  };
  t.deepEqual(await list(ONE), ["Lun:3"]);
  t.deepEqual(await list(TWO), ["Lun:0", "Lun:3"]);
  const lu = await open(ONE, 0);
  t.deepEqual(asc(await write(lu, 0)), [0x05, 0x25, 0x00]);
  const inquiry = await lu.execute(Uint8Array.of(0x12, 0, 0, 0, 96, 0), { dataIn: 96 });
  t.is(inquiry.data[0], 0x3f, "no device is connected here, but there is a place");
});

test.serial("a server brings its key itself, and only its own", async (t) => {
  const { bridge, portal, open } = await startGate(t);
  const file = join(bridge.options.directory, "key");
  const agent = (initiator: string) =>
    run(
      process.execPath,
      [
        "dist/tools/agent/main.js",
        "key",
        "present",
        file,
        "--device",
        `iscsi://${portal}/${TARGET}/0`,
        "--initiator",
        initiator,
        "--json",
      ],
      { timeout: TIMEOUT_MS },
    ).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
  const key = keyFor(bridge, ONE);
  const lu = await open(ONE);
  writeFileSync(file, key.token);
  t.regex(await agent(TWO), /KEY_HOLDER_WRONG/, "another's key");
  const changed = Uint8Array.from(key.token);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  writeFileSync(file, changed);
  t.regex(await agent(ONE), /KEY_SIGNATURE_WRONG/);
  t.deepEqual((await bridge.session.client.send("key.list", {})).keys, []);

  writeFileSync(file, Buffer.from(key.token).toString("hex"));
  t.regex(await agent(ONE), /INSTALLED/);
  t.true((await attentions(lu)).length > 0);
  t.is((await write(lu, 0)).status, GOOD);
  t.regex(await agent(ONE), /INSTALLED/, "the same again changes nothing");

  await revoke(bridge, key.content.id);
  t.regex(await agent(ONE), /KEY_REVOKED/, "replayed after it was taken back");
  await attentions(lu);
  t.deepEqual(asc(await write(lu, 0)), [0x05, 0x25, 0x00]);
  const { refusals } = await bridge.session.client.send("refusal.list", {});
  t.true(refusals.some(({ why, initiator }) => why === "KEY_HOLDER_WRONG" && initiator === TWO));
});

test.serial(
  "of two with keys to write the older one writes, until the broker moves it; that holds over kill -9",
  async (t) => {
    const { bridge, open } = await startGate(t);
    await grant(bridge, ONE);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await grant(bridge, TWO);
    const [one, two] = [await open(ONE), await open(TWO)];
    for (const lu of [one, two]) await attentions(lu);
    t.is((await write(one, 0)).status, GOOD);
    t.deepEqual(asc(await write(two, 0)), [0x07, 0x27, 0x00]);
    t.is((await modeByte(two)) & 0x80, 0x80);
    const { client } = bridge.session;
    const list = async () => (await client.send("privilege.list", {})).privileges;
    t.like((await list())[0], { device: "disk0", writer: ONE, waiting: [TWO], moving: false });
    await t.throwsAsync(
      client
        .send("privilege.move", { device: "disk0", from: TWO, to: ONE })
        .then(() => client.send("privilege.move", { device: "disk0", from: "x", to: TWO })),
      {
        code: "PRIVILEGE_HOLDER_WRONG",
      },
    );
    await t.throwsAsync(client.send("privilege.move", { device: "disk0", from: ONE, to: "x" }), {
      code: "PRIVILEGE_NO_KEY",
    });

    // Writes are on their way while it moves: every one is answered, and none lands after the move.
    let going = true;
    const answers: ScsiAnswer[] = [];
    const writer = (async () => {
      while (going) answers.push(await write(one, 64));
    })();
    const { privilege } = await client.send("privilege.move", { device: "disk0", from: ONE, to: TWO });
    t.like(privilege, { writer: TWO, waiting: [ONE] });
    t.deepEqual(await attentions(two), ["2a/1"]);
    t.is((await two.execute(write10(64, 8), { dataOut: new Uint8Array(4096).fill(0x11) })).status, GOOD);
    going = false;
    await writer;
    t.true(answers.every(({ status, sense }) => status === GOOD || [0x2a, 0x27].includes(sense[12] ?? 0)));
    t.deepEqual(asc(await write(one, 64)), [0x07, 0x27, 0x00]);
    t.deepEqual(await attentions(one), ["2a/1"]);
    t.is((await read(one, 64)).data[0], 0x11, "what the new one wrote is there");

    await bridge.kill();
    await bridge.start();
    const again = await open(TWO);
    await attentions(again);
    t.is((await write(again, 0)).status, GOOD);
    const other = await open(ONE);
    await attentions(other);
    t.deepEqual(asc(await write(other, 0)), [0x07, 0x27, 0x00]);
  },
);

test.serial("readers are told what another server wrote, over MQTT and by unit attention", async (t) => {
  const { bridge, open } = await startGate(t, { more: "tell_readers = true" });
  const heard = events(t, bridge.options.mqttPort);
  await grant(bridge, ONE);
  await grant(bridge, TWO, { right: ["read"] });
  const [one, two] = [await open(ONE), await open(TWO)];
  for (const lu of [one, two]) await attentions(lu);
  await write(one, 16);
  await write(one, 24);
  await write(one, 1000);
  const covered = (): readonly (readonly bigint[])[] =>
    heard
      .filter(({ event }) => event === "volume.changed")
      .flatMap(({ details }) => (details?.extents ?? []) as readonly (readonly (number | bigint)[])[])
      .map((extent) => extent.map(BigInt));
  const holds = (lba: bigint): boolean =>
    covered().some(([first = 0n, blocks = 0n]) => first <= lba && lba < first + blocks);
  await until(async () => [16n, 31n, 1007n].every(holds), Boolean);
  t.true([16n, 31n, 1000n, 1007n].every(holds));
  t.false([15n, 32n, 999n, 1008n].some(holds), "and nothing else");
  t.deepEqual(
    [
      ...new Set(
        await until(
          () => attentions(two),
          (told) => told.length > 0,
        ),
      ),
    ],
    ["28/0"],
  );
  t.deepEqual(await attentions(one), [], "who writes is not told");
});
