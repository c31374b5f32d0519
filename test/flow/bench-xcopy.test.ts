// The benchmark of third-party copies works, whatever it measures: each way makes the copy that it says.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test from "ava";
import type { Row } from "../../tools/bench/row.js";

const BENCH = fileURLToPath(new URL("../../tools/bench/main.js", import.meta.url));

test("the benchmark of copies measures each way, and nothing goes over the network", async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, "xcopy", "--quick", "--json"]);
  const { suite, rows } = JSON.parse(stdout) as { suite: string; rows: Row[] };
  t.is(suite, "xcopy");
  const ways = rows.filter(({ unit }) => unit === "GiB/s");
  t.is(ways.length, 3);
  for (const { name, ours, peer } of ways) t.true(ours > 0 && (peer ?? 0) > 0, name);
  t.is(rows.find(({ unit }) => unit === "bytes")?.ours, 0);
});
