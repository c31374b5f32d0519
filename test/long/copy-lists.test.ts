// A million parameter lists for the copy manager, nearly right, several to one after the other, among models of engine and
// devices. The short form is the target copy-manager of test/fuzz.
import test from "ava";
import fc from "fast-check";
import { carryOut, knownToken } from "../lib/copy-order-run.js";
import { ordersWith } from "../lib/copy-orders.js";
import { Room } from "../lib/copy-room.js";

const LISTS = Number(process.env.GANTRY_COPY_LISTS ?? 1_000_000);
/** GANTRY_FUZZ_SEED repeats a run. */
const SEED = Number(process.env.GANTRY_FUZZ_SEED ?? Date.now() % 2 ** 31);
/** Of some four lists each. */
const ROUND = 5000;

test("of a million lists each is answered once, touches nothing that its asker may not, and leaves nothing behind", async (t) => {
  t.timeout(90 * 60_000);
  // Most lists are refused somewhere, and a stack for each takes longer than all else.
  Error.stackTraceLimit = 0;
  const token = await knownToken();
  const answers = new Map<string, number>();
  let [lists, runs] = [0, 0];
  for (let seed = SEED; lists < LISTS; seed++) {
    const orders = fc.array(ordersWith(token), { minLength: 1, maxLength: 8 });
    const property = fc.asyncProperty(orders, async (some) => {
      const room = new Room();
      for (const order of some) {
        const { problem, words, runs: begun } = await carryOut(order, room);
        if (problem !== undefined) throw new Error(problem);
        answers.set(words, (answers.get(words) ?? 0) + 1);
        lists++;
        runs += begun;
      }
    });
    const result = await fc.check(property, { seed, numRuns: ROUND });
    if (result.failed) {
      t.fail(`GANTRY_FUZZ_SEED=${seed}: ${result.errorInstance}\n${shown(result.counterexample)}`);
      return;
    }
    t.log(`${lists} lists, ${runs} runs of the engine`);
  }
  t.log(
    [...answers]
      .sort(([, a], [, b]) => b - a)
      .map(([words, count]) => `${count} ${words}`)
      .join(", "),
  );
  t.true(lists >= LISTS);
  // A test whose lists are all refused looks at nothing.
  t.true((answers.get("good") ?? 0) > LISTS / 20);
  t.true(runs > LISTS / 20);
});

const shown = (value: unknown): string =>
  JSON.stringify(value, (_key, inner) => (inner instanceof Uint8Array ? Buffer.from(inner).toString("hex") : inner));
