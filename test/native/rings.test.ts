// Rings of the kernel's target through the addon: what is none is refused in words, and one that goes is told of and
// given back. A file in memory stands for the device: it can be mapped, and nothing ever happens on it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";

import type { PlaneEvents } from "../../src/plane.js";
import { tmpDir } from "../lib/tmp.js";
import { native } from "./support.js";

const RING_BYTES = 4096;
const WHOLE = 128 + RING_BYTES + 4096;

function mailbox(version: number): Buffer {
  const memory = Buffer.alloc(WHOLE);
  memory.writeUInt16LE(version, 0);
  memory.writeUInt16LE(0b111, 2);
  memory.writeUInt32LE(128, 4);
  memory.writeUInt32LE(RING_BYTES, 8);
  return memory;
}

test("a ring is attached, told of when it goes, and given back; what is none is refused in words", async (t) => {
  const directory = await tmpDir(t);
  const [good, bad] = [join(directory, "good"), join(directory, "bad")];
  writeFileSync(good, mailbox(2));
  writeFileSync(bad, mailbox(3));
  const told: [number, string][] = [];
  const notes: string[] = [];
  const unexpected = (): never => {
    throw new Error("nobody logs in here");
  };
  const events: PlaneEvents = {
    onLogin: unexpected,
    onGone: unexpected,
    onColdReset: unexpected,
    onPunt: unexpected,
    onNote: ({ kind }) => notes.push(kind),
    onRing: (ring, state) => told.push([ring, state]),
  };
  const plane = native.openPlane({}, events);
  t.teardown(() => plane.close());
  const nexus = plane.rings.openNexus();
  t.not(nexus, undefined);
  if (nexus === undefined) return;
  const place = { bytes: BigInt(WHOLE), sequential: false };
  t.throws(() => plane.rings.attach(nexus, 0, { ...place, node: bad }), { message: /version/ });
  t.throws(() => plane.rings.attach(nexus, 256, { ...place, node: good }), { message: /lun/ });
  t.throws(() => plane.rings.attach(nexus, 0, { ...place, node: join(directory, "none") }), {
    message: /No such file/,
  });
  const ring = plane.rings.attach(nexus, 0, { ...place, node: good });
  // A file of no device cannot be waited on, as that of a device that was taken away.
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.deepEqual(told, [[ring, "gone"]]);
  await plane.rings.detach(ring);
  await plane.rings.detach(ring);
  t.is(plane.rings.stats().rings, 0);
  plane.rings.closeNexus(nexus);
  while (notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.deepEqual(notes, ["nexus-closed"]);
});
