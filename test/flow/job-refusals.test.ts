// Jobs that are refused: before they are accepted, or before anything has moved. Keys decide first of all.
import { existsSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import type { KeyRequest, Signed } from "../../src/admit/issuer.js";
import type { Key } from "../../src/admit/key.js";
import { Glist } from "../../tools/agent/glist.js";
import { failedWith, type Plant, tapFile } from "../lib/job-plant.js";
import { rawList, VOLUME } from "../lib/raw-disk.js";
import { MIB, type Submit, slowJob, slowPlant, startJob, until } from "../lib/slow-bridge.js";

const DISK_BLOCKS = (8 * MIB) / 512;

/** Submits, expects this refusal, and that nothing is known of the job afterwards. */
async function refused(t: ExecutionContext, { bridge }: Plant, spec: Submit, code: string, words: RegExp) {
  const { client } = bridge.session;
  const error = await t.throwsAsync(client.send("job.submit", spec), { code }, spec.jobId);
  const refusals = (error as { details?: { refusals?: unknown } } | undefined)?.details?.refusals;
  t.regex(`${error?.message} ${JSON.stringify(refusals ?? "")}`, words, spec.jobId);
  await t.throwsAsync(client.send("job.get", { jobId: spec.jobId }), { code: "JOB_UNKNOWN" });
}

test("a job whose devices, list or volume do not fit is not accepted", async (t) => {
  const plant = await slowPlant(t);
  const { bridge, directory } = plant;
  const job = (jobId: string, more: Partial<Submit>): Promise<Submit> => slowJob(bridge, jobId, more);
  const tape = (device: string) => ({ device, cartridges: ["never"] });

  await refused(
    t,
    plant,
    await job("a", { disk: { device: "disk9" } }),
    "DEVICE_UNKNOWN",
    /disk9.*disk0, spare, tape0/,
  );
  await refused(t, plant, await job("b", { tape: tape("tape9") }), "DEVICE_UNKNOWN", /tape9/);
  await refused(t, plant, await job("c", { disk: { device: "tape0" } }), "JOB_INVALID", /tape0 is a tape/);
  await refused(t, plant, await job("d", { tape: tape("disk0") }), "JOB_INVALID", /disk0 is a disk/);
  await refused(t, plant, await job("e", { listId: "nobody-sent-it" }), "LIST_NOT_WHOLE", /nobody-sent-it/);
  for (const [jobId, volume] of [
    ["f", { ...VOLUME, id: "another" }],
    ["g", { ...VOLUME, generation: "g2" }],
    ["h", { ...VOLUME, sequence: 2n }],
  ] as const)
    await refused(t, plant, await job(jobId, { volume }), "LIST_VOLUME_MISMATCH", /make a new list/);
  await refused(t, plant, await job("i", { options: { startObject: 3n } }), "JOB_INVALID", /startObject/);

  await bridge.sendList(await rawList(directory, "of-spare", [{ name: "f", at: [[0, 0, 8]] }]), "spare");
  await refused(t, plant, await job("l", { listId: "of-spare" }), "JOB_INVALID", /is of blocks of spare, not of disk0/);

  // A list that was opened, and of which nothing came.
  const half = await rawList(directory, "half", [{ name: "f", at: [[0, 0, 8]] }]);
  const glist = await Glist.open(half);
  const { shared: _shared, ...header } = glist.header;
  await bridge.session.client.send("list.open", { ...header, device: "disk0" });
  await glist.close();
  await refused(t, plant, await job("j", { listId: "half" }), "LIST_NOT_WHOLE", /not here whole/);
  t.false(existsSync(tapFile(directory, "never")));
});

test("a list that does not fit the disk ends the job before the tape is touched", async (t) => {
  const { bridge, directory } = await slowPlant(t);
  const extents = {
    past: [[0, DISK_BLOCKS - 7, 8]],
    "far-past": [[0, 4_000_000_000, 1]],
    within: [
      [0, 100, 10],
      [10, 105, 1],
    ],
    between: [[0, 300, 10]],
  } as const;
  const other = { name: "other", at: [[0, 309, 2]] as const };
  for (const [listId, at] of Object.entries(extents)) {
    const members = [{ name: "f", at }, ...(listId === "between" ? [other] : [])];
    await bridge.sendList(await rawList(directory, listId, members), "disk0");
  }
  const report = async (listId: string, more: Partial<Submit> = {}) =>
    bridge.session.run(await slowJob(bridge, `job-${listId}`, { listId, ...more }));
  failedWith(
    t,
    await report("past"),
    "LIST_EXTENT_INVALID",
    /LBA 16377, 8 blocks\) lies outside disk0, which has 16384/,
  );
  failedWith(t, await report("far-past"), "LIST_EXTENT_INVALID", /outside disk0/);
  failedWith(t, await report("within"), "LIST_EXTENT_INVALID", /share block 105/);
  failedWith(t, await report("between"), "LIST_EXTENT_INVALID", /share block 309/);
  for (const listId of Object.keys(extents)) t.false(existsSync(tapFile(directory, `job-${listId}`)), listId);

  const allowed = await bridge.session.run(
    await slowJob(bridge, "allowed", { listId: "between", options: { overlap: "allow", bytesPerS: 0n } }),
  );
  t.is(allowed.state, "succeeded", "shared blocks, where that is meant");
});

test("a job without a key for every leg is not admitted, and the refusal says which leg lacks what", async (t) => {
  const plant = await slowPlant(t);
  const { bridge, directory } = plant;
  const all = ["disk0", "tape0"];
  const with_ = async (jobId: string, keys: readonly Uint8Array[], more: Partial<Submit> = {}) =>
    slowJob(bridge, jobId, { ...more, keys: [...keys] });

  await refused(t, plant, await with_("a", [new Uint8Array(16)]), "GATE_REFUSED", /GATE_NO_KEY/);
  await refused(
    t,
    plant,
    await with_("b", [await bridge.key("b", ["disk0"])]),
    "GATE_REFUSED",
    /write cartridge.*tape0/,
  );
  await refused(t, plant, await with_("c", [await bridge.key("c", ["tape0"])]), "GATE_REFUSED", /read disk.*disk0/);
  await refused(t, plant, await with_("d", [await bridge.key("another-job", all)]), "GATE_REFUSED", /GATE_HOLDER/);
  const reads = await bridge.key("e", all, { right: ["read", "media-control"] });
  await refused(t, plant, await with_("e", [reads]), "GATE_REFUSED", /GATE_RIGHT/);
  const noLoading = await bridge.key("f", all, { right: ["read", "write"] });
  await refused(t, plant, await with_("f", [noLoading]), "GATE_REFUSED", /load or unload/);
  const cartridges = await bridge.key("g", all, { cartridge: ["A*"] });
  await refused(t, plant, await with_("g", [cartridges]), "GATE_REFUSED", /GATE_MEDIA/);
  const low = await bridge.key("h", all, { priority: 50 });
  await refused(t, plant, await with_("h", [low], { priority: 51 }), "GATE_REFUSED", /GATE_PRIORITY/);
  const short = await bridge.key("i", all, { lifeMs: 4000 });
  await new Promise((resolve) => setTimeout(resolve, 4100));
  await refused(t, plant, await with_("i", [short]), "GATE_REFUSED", /KEY_EXPIRED/);
  const revoked = await bridge.key("j", all);
  await revoke(plant, revoked);
  await refused(t, plant, await with_("j", [revoked]), "GATE_REFUSED", /KEY_REVOKED/);
  for (const jobId of "abcdefghij") t.false(existsSync(tapFile(directory, jobId)), jobId);

  // Two keys, one for each device, are as good as one; and a pattern that covers the cartridge is as good as its name.
  const two = [await bridge.key("k", ["disk0"]), await bridge.key("k", ["tape0"], { cartridge: ["k*"] })];
  const report = await bridge.session.run(await with_("k", two, { options: { bytesPerS: 0n } }));
  t.is(report.state, "succeeded");
});

async function revoke({ bridge }: Plant, id: Uint8Array): Promise<void> {
  const order = bridge.home.issuer().revoke({ audience: ["test-bridge"], ids: [id] }, Date.now());
  await bridge.session.client.send("key.revoke", { order: order.token });
}

test("a key that is revoked ends its running job at once, be it paused or not; a waiting one never starts", async (t) => {
  const plant = await slowPlant(t);
  const { bridge } = plant;
  for (const paused of [false, true]) {
    const jobId = paused ? "paused" : "running";
    const key = await bridge.key(jobId, ["disk0", "tape0"]);
    const { report } = await startJob(bridge, await slowJob(bridge, jobId, { keys: [key] }));
    if (paused) await bridge.session.client.send("job.pause", { jobId });
    const waitingKey = await bridge.key(`${jobId}-next`, ["disk0", "tape0"]);
    const waiting = bridge.session.run(await slowJob(bridge, `${jobId}-next`, { keys: [waitingKey] }));
    await until(async () =>
      (await bridge.session.client.send("job.list", {})).jobs.some((job) => job.state === "queued"),
    );
    await revoke(plant, waitingKey);
    const sent = performance.now();
    await revoke(plant, key);
    const ended = await report;
    t.log(`from sending the revocation to the report: ${Math.round(performance.now() - sent)} ms`);
    failedWith(t, ended, "KEY_REVOKED");
    t.true(ended.bytesDone < 6n * BigInt(MIB));
    const never = await waiting;
    t.is(never.state, "failed");
    t.is(never.bytesDone, 0n);
    t.regex(JSON.stringify(never.failure), /KEY_REVOKED/);
  }
});

/** A key made by hand, for what TestBridge.key() does not offer. */
function grant({ bridge }: Plant, jobId: string, devices: readonly string[], more: Partial<KeyRequest>): Signed<Key> {
  return bridge.home.issuer().issue(
    {
      holder: { kind: "job", id: jobId },
      audience: ["test-bridge"],
      devices: devices.map((name) => ({ kind: "device", name })),
      rights: ["read", "write", "media-control"],
      expiresMs: Date.now() + 600_000,
      epoch: bridge.home.facts().epoch,
      ...more,
    },
    Date.now(),
  );
}

test("a key that expires ends its running job; that of one whose key was renewed goes on", async (t) => {
  const plant = await slowPlant(t);
  const { bridge } = plant;
  const soon = { expiresMs: Date.now() + 7000 };
  const renewed = grant(plant, "renewed", ["disk0", "tape1"], soon);
  const short = grant(plant, "short", ["disk0", "tape0"], soon);
  for (const key of [renewed, short]) await bridge.session.install(key);
  const tape = { device: "tape1", cartridges: ["renewed"] };
  const [goesOn, ends] = await Promise.all([
    startJob(bridge, await slowJob(bridge, "renewed", { keys: [renewed.content.id], tape })),
    startJob(bridge, await slowJob(bridge, "short", { keys: [short.content.id] })),
  ]);
  await bridge.session.install(bridge.home.issuer().renew(renewed.content, Date.now() + 600_000, Date.now()));
  failedWith(t, await ends.report, "KEY_EXPIRED", /expired/);
  const { client } = bridge.session;
  t.is((await client.send("job.get", { jobId: "renewed" })).progress.state, "running");
  await client.send("job.rate", { jobId: "renewed", bytesPerS: 0n });
  t.is((await goesOn.report).state, "succeeded");
});

test("a job that would move more than its key allows is not admitted", async (t) => {
  const plant = await slowPlant(t);
  const { bridge } = plant;
  const install = async (jobId: string, maxBytes: bigint): Promise<Uint8Array> => {
    const key = grant(plant, jobId, ["disk0", "tape0"], { media: { cartridges: [jobId], maxBytes } });
    await bridge.session.install(key);
    return key.content.id;
  };
  const list = 6n * BigInt(MIB);
  const small = await install("small", list - 1n);
  await refused(t, plant, await slowJob(bridge, "small", { keys: [small] }), "GATE_REFUSED", /GATE_LIMIT/);
  const enough = await install("enough", list);
  const options = { bytesPerS: 0n };
  t.is((await bridge.session.run(await slowJob(bridge, "enough", { keys: [enough], options }))).state, "succeeded");
});
