// Watching a job over a serial line: what goes over it is counted.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { ShellRoom } from "../../src/shell/room.js";
import { startShell } from "../../src/shell/server.js";
import { silentLogger } from "../../src/sys/log.js";
import { TerminalProcess } from "../lib/terminal.js";
import { tmpDir } from "../lib/tmp.js";
import { ESCAPE, SHELL } from "./shell-parts.js";

const MIB = 1 << 20;

/** A daemon whose one job has gone on a little whenever it is asked for, and ends at the sixth time. */
async function busy(t: ExecutionContext): Promise<{ socket: string; asked: () => number }> {
  let asked = 0;
  const room = {
    bridgeId: "b-1",
    broker: () => ({ connected: true, sinceMs: 0 }),
    jobs: {
      list: () => [],
      progress: (jobId: string) => {
        asked += 1;
        return {
          jobId,
          type: "backup",
          state: asked < 6 ? "running" : "succeeded",
          bytesDone: BigInt(asked * 37 * MIB),
          bytesTotal: BigInt(1000 * MIB),
          bytesPerS: BigInt(18 * MIB),
        };
      },
    },
  } as unknown as ShellRoom;
  const socket = join(await tmpDir(t, "watch"), "s");
  const server = await startShell(socket, room, silentLogger());
  t.teardown(() => server.stop());
  return { socket, asked: () => asked };
}

test("9600 baud: one line that is rewritten from where it differs, by less than a tenth of what the line bears", async (t) => {
  const { socket, asked } = await busy(t);
  const terminal = new TerminalProcess(t, [process.execPath, SHELL, "--socket", socket, "show", "job", "j", "--watch"]);
  const started = performance.now();
  const watched = await terminal.sees(/\r\njobId/);
  const seconds = (performance.now() - started) / 1000;
  t.is(await terminal.exited, 0);
  t.is(asked(), 6);
  const line = watched.slice(0, -"\r\njobId".length);
  t.false(line.includes("\n"), "one line");
  t.false(terminal.output.includes(ESCAPE), "no escape sequence");
  t.true(line.length <= 79 + 5 * 60, `${line.length} bytes: ${JSON.stringify(line)}`);
  t.true(line.length <= 79 + 96 * seconds, `${line.length} bytes in ${seconds} s`);
});

test("Ctrl-C ends the watching, not the shell, and not the job", async (t) => {
  const { socket, asked } = await busy(t);
  const terminal = new TerminalProcess(t, [process.execPath, SHELL, "--socket", socket]);
  await terminal.sees(/b-1 admin> /);
  terminal.type("show job j --watch\r");
  await terminal.sees(/j backup running of 1000\.0 MiB: 3 % 37\.0 MiB, 18\.0 MiB\/s/);
  terminal.type("\x03");
  await terminal.sees(/\^C[\s\S]*admin> /);
  t.true(asked() < 6);
  t.regex(await terminal.enters("show job j"), /state +running/);
});

test("a dumb terminal gets a line for each change, and more seldom", async (t) => {
  const { socket } = await busy(t);
  const terminal = new TerminalProcess(t, [process.execPath, SHELL, "--socket", socket], { term: "dumb" });
  await terminal.sees(/b-1 admin> /);
  terminal.type("show job j --watch\r");
  await terminal.sees(/3 % 37\.0 MiB, 18\.0 MiB\/s\r\n/);
  await terminal.sees(/7 % 74\.0 MiB, 18\.0 MiB\/s\r\n/);
  t.notRegex(terminal.output, /[\b]/);
  terminal.type("\x03");
  await terminal.sees(/\^C/);
});
