import test from "ava";
import fc from "fast-check";
import { decode, encode } from "../../../src/control/codec.js";
import { ReplyMemory } from "../../../src/control/dedupe.js";
import { read } from "../../../src/control/fields.js";
import { COMMANDS } from "../../../src/control/messages/commands.js";
import { replySchema } from "../../../src/control/messages/envelope.js";
import { type Received, Router } from "../../../src/control/router.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { GantryError } from "../../../src/sys/errors.js";

const REPLY = "gantry/1/b1/reply/broker";

interface Bench {
  readonly router: Router;
  readonly problems: unknown[];
}

function bench(memory?: ReplyMemory): Bench {
  const problems: unknown[] = [];
  let id = 0;
  const router = new Router({
    bridgeId: "b1",
    clock: new ManualClock(1_700_000_000_000),
    newId: () => `r${++id}`,
    onProblem: (error) => problems.push(error),
    ...(memory === undefined ? {} : { memory }),
  });
  return { router, problems };
}

function command(kind: string, fields: object = {}, more: Partial<Received> = {}): Received {
  return {
    topic: `gantry/1/b1/cmd/${kind}`,
    payload: encode({ v: 1, kind, id: "m1", reply: REPLY, sentMs: 1, ...fields }),
    ...more,
  };
}

async function answered(router: Router, received: Received): Promise<Record<string, unknown>> {
  const reply = await router.answer(received);
  return reply === undefined ? {} : (decode(reply.payload) as Record<string, unknown>);
}

test("an accepted command: envelope, result, and correlation given back", async (t) => {
  const { router } = bench();
  router.on("job.get", async ({ jobId }, { messageId }) => {
    throw new GantryError("INTERNAL", `${jobId} ${messageId}`);
  });
  router.on("list.drop", async ({ listId }) => ({ listId }));
  const reply = await router.answer(command("list.drop", { listId: "l", correlation: new Uint8Array([1, 2]) }));
  t.is(reply?.topic, REPLY);
  t.deepEqual(reply?.correlation, new Uint8Array([1, 2]));
  t.deepEqual(decode(reply?.payload ?? new Uint8Array()), {
    v: 1,
    kind: "accepted",
    id: "r1",
    to: "m1",
    correlation: new Uint8Array([1, 2]),
    sentMs: 1_700_000_000_000,
    result: { listId: "l" },
  });
  t.like(await answered(router, command("job.get", { jobId: "j" })), {
    kind: "rejected",
    error: { code: "INTERNAL", message: "j m1" },
  });
});

test("MQTT 5's Response Topic and Correlation Data serve where the message has none", async (t) => {
  const { router } = bench();
  router.on("status.get", async () => ({}));
  const other = "gantry/1/b1/reply/five";
  const properties = { responseTopic: other, correlation: new Uint8Array([9]) };
  const bare = await router.answer(command("status.get", { reply: undefined }, properties));
  t.is(bare?.topic, other);
  t.deepEqual(bare?.correlation, new Uint8Array([9]));
  const own = await router.answer(command("status.get", { correlation: new Uint8Array([1]) }, properties));
  t.is(own?.topic, REPLY);
  t.deepEqual(own?.correlation, new Uint8Array([1]));
});

test("a command without a reply address is carried out without a reply", async (t) => {
  const { router, problems } = bench();
  let done = 0;
  router.on("job.forget", async ({ jobId }) => {
    done += 1;
    return { jobId };
  });
  t.is(await router.answer(command("job.forget", { jobId: "j", reply: undefined })), undefined);
  t.is(done, 1);
  t.deepEqual(problems, []);
});

const rejected = test.macro({
  async exec(t, received: Received, code: string, message: RegExp, to = "m1") {
    const { router } = bench();
    router.on("job.get", async () => {
      t.fail("must not be carried out");
      throw new Error();
    });
    router.on("list.chunk", async () => {
      t.fail("must not be carried out");
      throw new Error();
    });
    const reply = await answered(router, received);
    t.like(reply, { v: 1, kind: "rejected", to });
    const { error } = reply;
    t.like(error, { code });
    t.regex((error as { message: string }).message, message);
  },
  title: (name) => `rejected with a reply: ${name}`,
});
test("an unknown kind", rejected, command("job.explode"), "MESSAGE_KIND_UNKNOWN", /"job.explode"/);
test(
  "a kind of the protocol that nobody handles",
  rejected,
  command("media.list"),
  "MESSAGE_KIND_UNKNOWN",
  /"media.list"/,
);
test("a kind that every object has", rejected, command("constructor"), "MESSAGE_KIND_UNKNOWN", /"constructor"/);
test("a wrong field", rejected, command("job.get", { jobId: 5 }), "MESSAGE_INVALID", /job.get: `jobId`/);
test("another version", rejected, command("job.get", { jobId: "j", v: 2 }), "MESSAGE_INVALID", /`v`/);
test("no id", rejected, command("job.get", { jobId: "j", id: undefined }), "MESSAGE_INVALID", /`id` is missing/, "");
test(
  "a kind on the topic of another",
  rejected,
  command("job.get", { jobId: "j" }, { topic: "gantry/1/b1/cmd/status.get" }),
  "MESSAGE_TOPIC_WRONG",
  /job.get.*cmd\/status.get/,
);
test(
  "a chunk on the topic of another list",
  rejected,
  command("list.chunk", { listId: "l1", index: 0, data: new Uint8Array(1) }, { topic: "gantry/1/b1/list/l2" }),
  "MESSAGE_TOPIC_WRONG",
  /list\/l2/,
);
test(
  "a chunk on a command topic",
  rejected,
  command("list.chunk", { listId: "l1", index: 0, data: new Uint8Array(1) }),
  "MESSAGE_TOPIC_WRONG",
  /list.chunk/,
);
test(
  "bytes that are no CBOR, when MQTT 5 says where to reply",
  rejected,
  { topic: "gantry/1/b1/cmd/job.get", payload: new Uint8Array([0xff]), responseTopic: REPLY },
  "MESSAGE_MALFORMED",
  /CBOR/,
  "",
);
test(
  "a message that is no map, when MQTT 5 says where to reply",
  rejected,
  { topic: "gantry/1/b1/cmd/job.get", payload: encode([1]), responseTopic: REPLY },
  "MESSAGE_INVALID",
  /missing/,
  "",
);

test("a reply address outside of the bridge's reply topics: not carried out, not answered, told as a problem", async (t) => {
  const { router, problems } = bench();
  router.on("status.get", async () => {
    t.fail("must not be carried out");
    return {};
  });
  t.is(await router.answer(command("status.get", { reply: "gantry/1/b1/cmd/job.submit" })), undefined);
  t.is(await router.answer(command("status.get", { reply: undefined }, { responseTopic: "x" })), undefined);
  t.is(problems.length, 2);
});

test("what a handler throws becomes a rejection; what is not ours is INTERNAL and told as a problem", async (t) => {
  const { router, problems } = bench();
  router.on("key.list", async () => {
    throw new GantryError("LIST_LIMIT", "full", { details: { limit: 5n } });
  });
  router.on("media.list", async () => {
    throw new TypeError(`x is not a function \ud800${"y".repeat(9999)}`);
  });
  t.like(await answered(router, command("key.list")), {
    kind: "rejected",
    error: { code: "LIST_LIMIT", message: "full", details: { limit: 5 } },
  });
  t.is(problems.length, 0);
  t.like(await answered(router, command("media.list")), { kind: "rejected", error: { code: "INTERNAL" } });
  t.is(problems.length, 1);
});

test("details or results that cannot be encoded still give a reply", async (t) => {
  const { router } = bench();
  router.on("key.list", async () => {
    throw new GantryError("LIST_LIMIT", "full", { details: { date: new Date() } });
  });
  router.on("media.list", async () => ({ media: [{ big: "x".repeat(2 << 20) }] }));
  router.on("status.get", async () => ({ made: new Date() }));
  t.like(await answered(router, command("key.list")), {
    kind: "rejected",
    error: { code: "LIST_LIMIT", message: "full" },
  });
  t.like(await answered(router, command("media.list")), { kind: "rejected", error: { code: "MESSAGE_TOO_LARGE" } });
  t.like(await answered(router, command("status.get")), { kind: "rejected", error: { code: "MESSAGE_UNENCODABLE" } });
});

test("a command that is delivered twice is carried out once and gets the same reply, also while it runs", async (t) => {
  const { router } = bench();
  let done = 0;
  let finish = (): void => {};
  router.on("job.forget", async ({ jobId }) => {
    done += 1;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { jobId };
  });
  const once = command("job.forget", { jobId: "j" });
  const later = command("job.forget", { jobId: "j", sentMs: 2 });
  const both = [answered(router, once), answered(router, later)];
  await new Promise(setImmediate);
  finish();
  const [a, b] = await Promise.all(both);
  t.deepEqual(a, b);
  t.deepEqual(await answered(router, once), a);
  t.is(done, 1);
});

test("the same id for another command is refused, for another reply address it is another command", async (t) => {
  const { router } = bench();
  let done = 0;
  router.on("job.forget", async ({ jobId }) => {
    done += 1;
    return { jobId };
  });
  await router.answer(command("job.forget", { jobId: "j" }));
  t.like(await answered(router, command("job.forget", { jobId: "k" })), { error: { code: "MESSAGE_ID_REUSED" } });
  t.is(done, 1);
  t.like(await answered(router, command("job.forget", { jobId: "k", reply: `${REPLY}2` })), { kind: "accepted" });
});

test("a rejection is remembered too", async (t) => {
  const { router } = bench();
  let calls = 0;
  router.on("job.forget", async () => {
    calls += 1;
    throw new GantryError("LIST_IN_USE", "no");
  });
  t.deepEqual(
    await answered(router, command("job.forget", { jobId: "j" })),
    await answered(router, command("job.forget", { jobId: "j" })),
  );
  t.is(calls, 1);
});

test("commands that change jobs run in the order in which they came; reading ones do not wait", async (t) => {
  const { router } = bench();
  const order: string[] = [];
  let finish = (): void => {};
  router.on("job.pause", async ({ jobId }) => {
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    order.push("pause");
    return { jobId, state: "paused" };
  });
  router.on("job.resume", async ({ jobId }) => {
    order.push("resume");
    return { jobId, state: "running" };
  });
  router.on("status.get", async () => {
    order.push("status");
    return {};
  });
  const pause = router.answer(command("job.pause", { jobId: "j" }));
  const resume = router.answer(command("job.resume", { jobId: "j", id: "m2" }));
  await router.answer(command("status.get", { id: "m3" }));
  await new Promise(setImmediate);
  t.deepEqual(order, ["status"]);
  finish();
  await Promise.all([pause, resume]);
  t.deepEqual(order, ["status", "pause", "resume"]);
});

test("a command that fails does not hold up the next of its lane", async (t) => {
  const { router } = bench();
  router.on("job.pause", async () => {
    throw new Error("defect");
  });
  router.on("job.resume", async ({ jobId }) => ({ jobId, state: "running" }));
  const both = [
    router.answer(command("job.pause", { jobId: "j" })),
    router.answer(command("job.resume", { jobId: "j", id: "m2" })),
  ];
  t.is((await Promise.all(both)).length, 2);
});

test("whatever comes in, answer() gives a reply or nothing, and never throws", async (t) => {
  const { router } = bench();
  router.on("status.get", async () => ({}));
  router.on("job.submit", async ({ jobId }) => ({ jobId, state: "queued" }));
  const kinds = fc.constantFrom(...Object.keys(COMMANDS), "x", "__proto__", "");
  const field = fc.oneof(
    fc.anything({ withBigInt: true, withTypedArray: true }),
    fc.constant(REPLY),
    fc.constant("m1"),
    fc.constant(1),
  );
  const message = fc.record({
    v: field,
    kind: kinds,
    id: field,
    reply: field,
    correlation: field,
    sentMs: field,
    jobId: field,
    keys: field,
    type: field,
  });
  const payload = fc.oneof(
    fc.uint8Array(),
    message.map((fields) => {
      try {
        return encode(fields);
      } catch {
        return new Uint8Array();
      }
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      payload,
      fc.option(fc.oneof(fc.string(), fc.constant(REPLY))),
      kinds,
      async (bytes, responseTopic, kind) => {
        const reply = await router.answer({
          topic: `gantry/1/b1/cmd/${kind}`,
          payload: bytes,
          ...(responseTopic === null ? {} : { responseTopic }),
        });
        if (reply === undefined) return;
        t.is(reply.topic, REPLY);
        read("reply", replySchema, decode(reply.payload));
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test("the memory of replies is bounded by number and bytes, oldest first, and never forgets what still runs", async (t) => {
  const memory = new ReplyMemory({ replies: 3, bytes: 100 });
  let runs = 0;
  const run = (bytes: number) => async (): Promise<Uint8Array> => {
    runs += 1;
    return new Uint8Array(bytes);
  };
  let finish = (): void => {};
  const slow = memory.once("slow", "f", async () => {
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return new Uint8Array(1);
  });
  for (const key of ["a", "b", "c", "d"]) await memory.once(key, "f", run(10));
  t.is(memory.size, 3);
  await memory.once("d", "f", run(10));
  t.is(runs, 4);
  await memory.once("a", "f", run(10));
  t.is(runs, 5);
  await memory.once("large", "f", run(95));
  t.is(memory.size, 2);
  const again = memory.once("slow", "f", run(1));
  finish();
  t.is(await again, await slow);
});

test("taking a key back does not wait for keys that are being installed", async (t) => {
  const { router } = bench();
  let stored = (): void => {};
  router.on("key.install", async () => {
    await new Promise<void>((resolve) => (stored = resolve));
    return { keyId: new Uint8Array(8) };
  });
  router.on("key.revoke", async () => ({ revoked: 1 }));
  const order: string[] = [];
  const one = Uint8Array.of(1);
  const installing = answered(router, command("key.install", { key: one })).then(() => order.push("installed"));
  const revoking = answered(router, command("key.revoke", { order: one, id: "m2" })).then(() => order.push("revoked"));
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  stored();
  await Promise.all([installing, revoking]);
  t.deepEqual(order, ["revoked", "installed"]);
});
