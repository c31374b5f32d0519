import test from "ava";
import { LogRing } from "../../../src/sys/log-ring.js";

const line = (level: string, msg: string): string => `${JSON.stringify({ level, time: "t", msg })}\n`;

test("the last lines are kept, and warnings far longer", (t) => {
  const ring = new LogRing({ lines: 10, warnings: 5, chars: 200 });
  ring.push(line("error", "first"));
  for (let index = 0; index < 100; index++) ring.push(line("info", `${index}`));
  ring.push(line("warn", "last"));
  const all = ring.lines(0);
  t.true(all.length >= 11 && all.length <= 21, `${all.length}`);
  t.regex(all[0]?.text ?? "", /first/);
  t.deepEqual(
    ring.lines(0, "warn").map(({ serial, level }) => [serial, level]),
    [
      [1, "error"],
      [102, "warn"],
    ],
  );
  t.deepEqual(
    ring.lines(100).map(({ serial }) => serial),
    [101, 102],
  );
  t.is(ring.counts.written, 102);
});

test("a line that is too long keeps its level and message; one that is no JSON counts as worth keeping", (t) => {
  const ring = new LogRing({ lines: 10, warnings: 5, chars: 200 });
  ring.push(JSON.stringify({ level: "warn", time: "t", msg: "m", data: "x".repeat(5000) }));
  ring.push("Segmentation fault");
  const [first, second] = ring.lines(0);
  t.deepEqual(JSON.parse(first?.text ?? ""), { level: "warn", time: "t", msg: "m", cut: true });
  t.is(second?.level, "error");
});
