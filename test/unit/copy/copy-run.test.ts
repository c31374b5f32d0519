import test from "ava";
import { type MidEvent, RunControl, runCopy } from "../../../src/copy/copy-run.js";
import type { Copy, CopyEvent, CopyOptions, CopyStats, Native } from "../../../src/native/types.js";

const NOWHERE = { streamOffset: 0n, object: 0n, digest: new Uint8Array() };
const checkpoint = (streamOffset: bigint): CopyEvent => ({
  ...NOWHERE,
  type: "checkpoint",
  streamOffset,
  final: false,
});
const done = (result: "ok" | "cancelled"): CopyEvent => ({ ...NOWHERE, type: "done", result, error: 0 });

/** An engine that tells what it is told to tell, and throws on every call once it is closed, as the real one does. */
function engine() {
  const events: CopyEvent[] = [];
  let raise = (): void => {};
  let closed = false;
  const open = (): void => {
    if (closed) throw new Error("the copy was closed");
  };
  const tell = (...more: CopyEvent[]): void => {
    events.push(...more);
    raise();
  };
  const copy: Partial<Copy> = {
    append: () => true,
    finish: open,
    cancel: () => {
      open();
      tell(done("cancelled"));
    },
    take: () => events.splice(0),
    stats: () => ({}) as CopyStats,
    close: async () => {
      closed = true;
    },
  };
  const startCopy = (_options: CopyOptions, onEvents: () => void): Copy => {
    raise = onEvents;
    return copy as Copy;
  };
  return { native: { startCopy } as unknown as Native, tell };
}

test("once a checkpoint could not be journalled no later one is: it would lack what the first should have brought", async (t) => {
  const { native, tell } = engine();
  const seen: bigint[] = [];
  const running = runCopy({
    native,
    copy: {} as CopyOptions,
    control: new RunControl(),
    next: () => new Promise(() => {}),
    onEvent: async (event: MidEvent) => {
      if (event.type !== "checkpoint") return;
      seen.push(event.streamOffset);
      if (event.streamOffset === 1n) throw new Error("no room");
    },
  });
  tell(checkpoint(1n), checkpoint(2n));
  await t.throwsAsync(running, { message: "no room" });
  t.deepEqual(seen, [1n]);
});

test("a piece that cannot be made any more after the copy has ended ends nothing else", async (t) => {
  const { native, tell } = engine();
  let fail = (_error: Error): void => {};
  const rejections: unknown[] = [];
  const note = (error: unknown): void => void rejections.push(error);
  process.on("unhandledRejection", note);
  t.teardown(() => process.off("unhandledRejection", note));
  const running = runCopy({
    native,
    copy: {} as CopyOptions,
    control: new RunControl(),
    next: () => new Promise((_resolve, reject) => (fail = reject)),
    onEvent: () => {},
  });
  tell(done("ok"));
  await running;
  fail(new Error("the list is gone"));
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(rejections, []);
});
