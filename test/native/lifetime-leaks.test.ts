// Nothing is left behind: by handles that are closed, and by handles that nobody closes.
import test from "ava";
import { runChild } from "./spawn.js";
import { scratch } from "./support.js";

interface Counts {
  readonly threads: number;
  readonly files: number;
  readonly rss: number;
}

test.serial("three hundred lives leave no thread, no descriptor and no memory", async (t) => {
  const place = scratch();
  const { code, out, err } = await runChild("cycles", [place.folder, "300"], ["--expose-gc"]);
  place.drop();
  t.is(err, "");
  t.is(code, 0);
  const { early, late } = JSON.parse(out) as { early: Counts; late: Counts };
  t.true(late.threads <= early.threads, `${early.threads} threads became ${late.threads}`);
  // Two hundred lives lie between the two counts; Node opens a file of its own now and then.
  t.true(late.files < early.files + 20, `${early.files} files became ${late.files}`);
  // One ring is 4 MiB, one arena 8 MiB: two hundred of either would be seen.
  t.true(late.rss - early.rss < 24 << 20, `${early.rss} bytes became ${late.rss}`);
});

test.serial("handles that nobody closes give everything back when they are garbage", async (t) => {
  const place = scratch();
  const ended = await runChild("garbage", [place.folder], ["--expose-gc"]);
  place.drop();
  t.deepEqual(ended, { code: 0, signal: null, out: "garbage gone\norphan answered\ndetached run done\n", err: "" });
});
