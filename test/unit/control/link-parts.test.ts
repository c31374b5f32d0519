import test from "ava";
import fc from "fast-check";
import { Backoff } from "../../../src/control/backoff.js";
import { FrameGuard } from "../../../src/control/frame-guard.js";
import { Outbox, type Publication, type Waiting } from "../../../src/control/outbox.js";

test("back-off doubles to its maximum, each wait from the upper half of it", (t) => {
  const lowest = new Backoff({ minMs: 100, maxMs: 1000 }, () => 0);
  t.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => lowest.next()),
    [50, 100, 200, 400, 500, 500],
  );
  const highest = new Backoff({ minMs: 100, maxMs: 1000 }, () => 0.999999);
  t.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => Math.round(highest.next())),
    [100, 200, 400, 800, 1000, 1000],
  );
  highest.reset();
  t.is(Math.round(highest.next()), 100);
});

/** An MQTT control packet with so many body bytes. */
function packet(body: number): Uint8Array {
  const digits: number[] = [];
  let rest = body;
  do {
    digits.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([0x30, ...digits]), Buffer.alloc(body, 0xff)]);
}

test("packets up to the limit pass, however the bytes are cut", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1 }),
      fc.integer({ min: 1, max: 300 }),
      (bodies, cut) => {
        const guard = new FrameGuard(1000);
        const bytes = Buffer.concat(bodies.map(packet));
        for (let at = 0; at < bytes.length; at += cut) t.true(guard.accept(bytes.subarray(at, at + cut)));
      },
    ),
  );
});

test("a packet over the limit is seen in its header, wherever it stands", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 200 })),
      fc.integer({ min: 201, max: 2 ** 28 - 1 }),
      (bodies, large) => {
        const guard = new FrameGuard(200);
        const before = Buffer.concat([...bodies.map(packet)]);
        t.true(guard.accept(before));
        const header = packet(0).slice(0, 1);
        t.true(guard.accept(header));
        const digits: number[] = [];
        for (let rest = large; rest > 0; rest = Math.floor(rest / 128))
          digits.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
        t.false(guard.accept(new Uint8Array(digits)));
      },
    ),
  );
});

test("a length of five bytes is malformed (MQTT 5.0 1.5.5)", (t) => {
  t.false(new FrameGuard(2 ** 30).accept(new Uint8Array([0x30, 0x80, 0x80, 0x80, 0x80, 0x01])));
});

interface Item extends Waiting {
  outcome?: unknown;
}

function item(priority: Publication["priority"], topic: string, bytes = 1): Item {
  const made: Item = {
    publication: { topic, payload: new Uint8Array(bytes), qos: 1, retain: false, priority },
    settle: (error) => {
      made.outcome = error ?? "settled";
    },
  };
  return made;
}

function taken(outbox: Outbox): string[] {
  const topics: string[] = [];
  for (let next = outbox.take(); next !== undefined; next = outbox.take()) topics.push(next.publication.topic);
  return topics;
}

test("vital before normal before progress, each in its order", (t) => {
  const outbox = new Outbox({ messages: 10, bytes: 1000 });
  for (const [priority, topic] of [
    ["progress", "p"],
    ["normal", "n1"],
    ["vital", "v1"],
    ["normal", "n2"],
    ["vital", "v2"],
  ] as const) {
    t.true(outbox.push(item(priority, topic)));
  }
  t.deepEqual(taken(outbox), ["v1", "v2", "n1", "n2", "p"]);
});

test("of progress only the newest per topic waits; the older is settled", (t) => {
  const outbox = new Outbox({ messages: 10, bytes: 1000 });
  const old = item("progress", "p1");
  outbox.push(old);
  outbox.push(item("progress", "p2"));
  outbox.push(item("progress", "p1"));
  t.is(old.outcome, "settled");
  t.deepEqual(taken(outbox), ["p2", "p1"]);
});

test("when it is full: normal is refused, progress is dropped, vital is taken", (t) => {
  const outbox = new Outbox({ messages: 2, bytes: 1000 });
  outbox.push(item("normal", "n1"));
  outbox.push(item("normal", "n2"));
  t.false(outbox.push(item("normal", "n3")));
  const progress = item("progress", "p");
  t.true(outbox.push(progress));
  t.is(progress.outcome, "settled");
  for (let i = 0; i < 100; i++) t.true(outbox.push(item("vital", `v${i}`)));
  t.is(outbox.length, 102);
  const bytes = new Outbox({ messages: 100, bytes: 10 });
  t.true(bytes.push(item("normal", "n", 10)));
  t.false(bytes.push(item("normal", "n", 1)));
  bytes.take();
  t.true(bytes.push(item("normal", "n", 10)));
});

test("what was under way goes back to the front, in its order", (t) => {
  const outbox = new Outbox({ messages: 10, bytes: 1000 });
  for (const topic of ["n1", "n2", "n3"]) outbox.push(item("normal", topic));
  const underWay = [outbox.take(), outbox.take()].filter((one) => one !== undefined);
  outbox.push(item("vital", "v"));
  outbox.putBack(underWay);
  t.deepEqual(taken(outbox), ["v", "n1", "n2", "n3"]);
});

test("giving up settles everything with the error", (t) => {
  const outbox = new Outbox({ messages: 10, bytes: 1000 });
  const items = [item("normal", "a"), item("progress", "b"), item("vital", "c")];
  for (const one of items) outbox.push(one);
  outbox.giveUp("why");
  t.deepEqual(
    items.map(({ outcome }) => outcome),
    ["why", "why", "why"],
  );
  t.is(outbox.length, 0);
});
