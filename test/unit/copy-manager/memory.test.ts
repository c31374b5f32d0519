// Memory for the rings of copies: in the order of asking, within its bounds, and given back when nobody wants it.
import test from "ava";
import { CopyMemory, RING_BLOCKS } from "../../../src/copy-manager/memory.js";
import type { Arena } from "../../../src/native/types.js";
import { ManualClock } from "../../../src/sys/clock.js";

function memoryOf(bytes: number) {
  const clock = new ManualClock();
  const arenas: { bytes: bigint; open: boolean }[] = [];
  const createArena = (size: bigint): Arena => {
    const one = { bytes: size, open: true };
    arenas.push(one);
    return {
      bytes: size,
      freeBytes: () => size,
      close: () => {
        one.open = false;
      },
    };
  };
  const memory = new CopyMemory({ native: { createArena }, timers: clock, bytes });
  const order: string[] = [];
  /** Holds that many bytes until it is let go. */
  const hold = (name: string, size: number) => {
    let letGo = (_error?: Error): void => undefined;
    const held = memory.use(size, () => {
      order.push(name);
      return new Promise<void>((resolve, reject) => {
        letGo = (error) => (error === undefined ? resolve() : reject(error));
      });
    });
    return { held, letGo: (error?: Error) => letGo(error) };
  };
  return { clock, memory, arenas, order, hold };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("whoever came first is served first, also where a smaller one behind would fit", async (t) => {
  const { hold, order } = memoryOf(100);
  const [a, b, c] = [hold("a", 60), hold("b", 60), hold("c", 30)];
  await turn();
  t.deepEqual(order, ["a"]);
  a.letGo();
  await a.held;
  await turn();
  t.deepEqual(order, ["a", "b", "c"]);
  b.letGo();
  c.letGo();
  await Promise.all([b.held, c.held]);
});

test("no more is in use at a time than there is, and all of it may be", async (t) => {
  const { hold, order } = memoryOf(100);
  const all = ["a", "b", "c", "d", "e"].map((name) => hold(name, 50));
  await turn();
  t.deepEqual(order, ["a", "b"]);
  for (const [index, one] of all.entries()) {
    one.letGo();
    await one.held;
    await turn();
    t.is(order.length, Math.min(5, index + 3));
  }
  const whole = hold("whole", 100);
  await turn();
  t.is(order.at(-1), "whole");
  whole.letGo();
  await whole.held;
});

test("work that fails gives its part back", async (t) => {
  const { hold, order } = memoryOf(100);
  const [a, b] = [hold("a", 100), hold("b", 100)];
  await turn();
  a.letGo(new Error("no luck"));
  await t.throwsAsync(a.held, { message: "no luck" });
  await turn();
  t.deepEqual(order, ["a", "b"]);
  b.letGo();
  await b.held;
});

test("the arena is made for the first, kept for those that follow soon, and given back after ten seconds", async (t) => {
  const { clock, arenas, hold } = memoryOf(100);
  t.is(arenas.length, 0);
  const use = async (): Promise<void> => {
    const one = hold("one", 10);
    await turn();
    one.letGo();
    await one.held;
  };
  await use();
  clock.advance(9_999);
  await use();
  t.deepEqual(arenas, [{ bytes: 100n, open: true }]);
  clock.advance(9_999);
  t.true(arenas[0]?.open);
  clock.advance(1);
  t.deepEqual(arenas, [{ bytes: 100n, open: false }]);
  await use();
  t.is(arenas.length, 2);
});

test("an arena in use outlives the time, and the end", async (t) => {
  const { clock, arenas, memory, hold } = memoryOf(100);
  const long = hold("long", 10);
  const short = hold("short", 10);
  await turn();
  short.letGo();
  await short.held;
  clock.advance(60_000);
  t.true(arenas[0]?.open);
  memory.stop();
  t.true(arenas[0]?.open);
  long.letGo();
  await long.held;
  t.false(arenas[0]?.open);
});

test("a ring holds four of the largest tape blocks that are taken", (t) => {
  const { memory } = memoryOf(8 << 20);
  t.is(memory.tapeBlockBytes, 2 << 20);
  t.true(memory.tapeBlockBytes * RING_BLOCKS <= memory.bytes);
  t.is(memoryOf(1003).memory.tapeBlockBytes, 250);
});
