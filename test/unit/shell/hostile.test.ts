// Whoever may open the socket may still be a program with a defect.
import { once } from "node:events";
import { createConnection } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { toLine } from "../../../src/shell/protocol.js";
import type { ShellRoom } from "../../../src/shell/room.js";
import { startShell } from "../../../src/shell/server.js";
import { silentLogger } from "../../../src/sys/log.js";
import { tmpDir } from "../../lib/tmp.js";

const jobs = Array.from({ length: 1200 }, (_, index) => ({
  jobId: `job-${index}`,
  submittedMs: index,
}));
let answered = 0;
const room = {
  jobs: {
    list: () => jobs,
    progress: (jobId: string) => ({ jobId, state: "succeeded", endedMs: 1, lost: ["x".repeat(100_000)] }),
  },
  status: () => {
    answered += 1;
    return { text: "y".repeat(10_000) };
  },
} as unknown as ShellRoom;

async function shell(t: ExecutionContext): Promise<string> {
  const path = join(await tmpDir(t, "shell"), "s");
  const server = await startShell(path, room, silentLogger());
  t.teardown(() => server.stop());
  return path;
}

async function ask(
  path: string,
  ...requests: string[]
): Promise<{ ok: boolean; result: never; error: { code: string } }[]> {
  const socket = createConnection(path);
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.write(requests.join(""));
  while (text.split("\n").length <= requests.length) await once(socket, "data");
  socket.destroy();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as never);
}

test("jobs come in pages without what only a single one is shown with", async (t) => {
  const path = await shell(t);
  const seen: string[] = [];
  for (let after: string[] = [], more = true; more; ) {
    const [said] = await ask(path, toLine({ verb: "show jobs", args: after }));
    const page = said?.result as unknown as { jobs: { jobId: string }[]; more: boolean };
    t.true(JSON.stringify(page).length < 100_000);
    seen.push(...page.jobs.map(({ jobId }) => jobId));
    after = [seen.at(-1) ?? ""];
    more = page.more;
  }
  t.deepEqual(
    seen,
    jobs.map(({ jobId }) => jobId),
  );
  const [wrong] = await ask(path, toLine({ verb: "show jobs", args: ["job-1", "501"] }));
  t.is(wrong?.error.code, "SHELL_VERB");
});

test("a request that is no JSON, no object, or has no arguments is refused, and the next one is answered", async (t) => {
  const path = await shell(t);
  const said = await ask(
    path,
    "\n",
    "[]\n",
    "null\n",
    '{"verb":5}\n',
    `{"verb":"${"z".repeat(5000)}","args":[]}\n`,
    toLine({ verb: "show system", args: [] }),
  );
  t.deepEqual(
    said.map(({ ok, error }) => (ok ? "ok" : error.code)),
    [...Array.from({ length: 5 }, () => "SHELL_VERB"), "ok"],
  );
});

test("who asks without end and does not listen is not answered without end", async (t) => {
  const path = await shell(t);
  const socket = createConnection(path);
  await once(socket, "connect");
  socket.pause();
  const before = answered;
  const request = toLine({ verb: "show system", args: [] });
  let full = false;
  for (let sent = 0; sent < 100_000 && !full; sent += 1000) {
    full = !socket.write(request.repeat(1000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  // Other work gets its turn many times over; the answers stop where the socket is full.
  for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.true(answered - before > 0 && answered - before < 500, `${answered - before} answers of 10 kB`);
  socket.destroy();
});

test("a line without an end ends the connection", async (t) => {
  const path = await shell(t);
  const socket = createConnection(path);
  socket.on("error", () => undefined);
  const piece = "a".repeat(1 << 20);
  for (let sent = 0; sent < 8; sent++) socket.write(piece);
  await new Promise((resolve) => socket.once("close", resolve));
  t.pass();
});
