// The ring over the real store: what was acknowledged is there when another process would open it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { KeyRing } from "../../../src/admit/key-ring.js";
import { TrustedClock } from "../../../src/admit/trusted-clock.js";
import { openStore } from "../../../src/sys/store.js";
import { HOUR_MS, request, START_MS, scene } from "./helpers.js";

test("keys, renewals, revocations and the remembered time outlive the process", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "gantry-ring-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const { broker, clock, options } = scene();
  const kept = broker.issue(request(), START_MS);
  const revoked = broker.issue(request(), START_MS);
  const renewal = broker.renew(kept.content, START_MS + 2 * HOUR_MS, START_MS);

  const first = openStore(directory);
  const time = new TrustedClock(clock, { mode: "assume", builtMs: 0 }, first, () => false);
  const ring = KeyRing.open({ ...options, store: first, time });
  await Promise.all([kept, revoked, renewal].map(({ token }) => ring.install(token)));
  await ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [revoked.content.id], epoch: 1 }, START_MS).token);
  await first.close();

  const second = openStore(directory);
  t.teardown(() => second.close());
  const policy = { mode: "synchronised", builtMs: 0 } as const;
  const after = new TrustedClock(clock, policy, second, () => false);
  t.is(after.lastKnownMs(), START_MS);
  t.is(after.fault(), undefined, "the time at which a key was taken is remembered, and a reason to trust the clock");
  const again = KeyRing.open({ ...options, store: second, time: after });
  t.deepEqual(again.lookup(kept.content.id), { state: "installed", key: renewal.content });
  t.is(again.lookup(revoked.content.id).state, "revoked");
  await t.throwsAsync(again.install(broker.issue(request({ epoch: 0 }), START_MS).token), { code: "KEY_EPOCH_OLD" });
  clock.advance(2 * HOUR_MS);
  t.is(await again.prune(), 3);
});
