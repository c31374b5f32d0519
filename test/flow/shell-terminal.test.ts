// The shell as a person uses it: the real `gantry` at a pseudo-terminal, against a real daemon.
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import test from "ava";
import { runProgram } from "./daemon-parts.js";
import { ESCAPE, MOVES, place, SHELL, sit } from "./shell-parts.js";

test("the prompt says which bridge and as what; the absence of the broker is told once, with since when", async (t) => {
  const here = await place(t);
  const terminal = sit(t, here, { rows: 50 });
  const first = await terminal.sees(/daemon-test admin \(broker away\)> /);
  t.regex(first, /The broker is away since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ \(/);
  t.regex(await terminal.enters("show system"), /\nmqtt +not connected: [\s\S]*\nmqttSinceMs +20\d\d-/);
  t.notRegex(terminal.output.slice(first.length), /The broker is away/);
  const looking = sit(t, here, {}, ["--role", "technician"]);
  await looking.sees(/daemon-test tech \(broker away\)> /);
  t.regex(await looking.enters("job cancel x"), /for administrators[\s\S]*\(SHELL_ROLE\)/);
  t.regex(await looking.enters("show devices"), /disk0 +disk +virtual +GANTRY/);
});

test("Tab completes verbs and names of devices, and shows what there is", async (t) => {
  const terminal = sit(t, await place(t), { rows: 50 });
  await terminal.sees(/> /);
  terminal.type("sh\t");
  await terminal.sees(/show $/);
  terminal.type("dev\t\r");
  await terminal.sees(/devices[\s\S]*tape0 +tape +virtual[\s\S]*> /);
  terminal.type("tape unl\tta\t");
  await terminal.sees(/tape unload tape0 $/);
  terminal.type("\x15reservation clear disk\t\t");
  t.regex(await terminal.sees(/disk0 +disk1/), /reservation clear disk/);
});

test("lines come back with the arrow, over sessions, up to 500, and answers to questions are not among them", async (t) => {
  const here = await place(t);
  const home = join(here.directory, "home", "gantry");
  mkdirSync(home, { recursive: true });
  const old = Array.from({ length: 600 }, (_, index) => `show job old-${index}`);
  writeFileSync(join(home, "history"), `${old.join("\n")}\n`);
  const first = sit(t, here);
  await first.sees(/> /);
  await first.enters("show media");
  first.type("reservation clear disk0\r");
  await first.sees(/Type disk0 to go on: /);
  await first.enters("disk7");
  first.type("exit\r");
  t.is(await first.exited, 0);
  const kept = readFileSync(join(home, "history"), "utf8").trimEnd().split("\n");
  t.is(kept.length, 500);
  t.deepEqual(kept.slice(-4), ["show job old-599", "show media", "reservation clear disk0", "exit"]);
  const second = sit(t, here);
  await second.sees(/> /);
  second.type(`${ESCAPE}[A${ESCAPE}[A${ESCAPE}[A`);
  await second.sees(/show media/);
  second.type("\r");
  await second.sees(/tape0[\s\S]*> /);
  second.type("\x04");
  t.is(await second.exited, 0);
});

test("Ctrl-C ends the verb that runs or empties the line, never the shell; what was typed ahead is carried out", async (t) => {
  const terminal = sit(t, await place(t));
  await terminal.sees(/> /);
  terminal.type("show log --follow\r");
  await terminal.sees(/starting/);
  terminal.type("\x03");
  await terminal.sees(/\^C[\s\S]*> /);
  terminal.type("job cancel everyth\x03");
  await terminal.sees(/\^C[\s\S]*> /);
  terminal.type("show devices\rshow media\rshow nothing\r");
  await terminal.sees(/disk0 +disk[\s\S]*show media[\s\S]*device[\s\S]*tape0[\s\S]*unknown command 'nothing'[\s\S]*> /);
  terminal.type("exit\r");
  t.is(await terminal.exited, 0);
});

test("a line that nobody has confirmed does nothing; Ctrl-C at the question is no", async (t) => {
  const terminal = sit(t, await place(t));
  await terminal.sees(/> /);
  terminal.type("reservation clear disk0\r");
  await terminal.sees(/Type disk0 to go on: /);
  terminal.type("\x03");
  await terminal.sees(/Nothing was done\. \(SHELL_CONFIRM\)[\s\S]*> /);
  t.regex(await terminal.enters("reservation clear disk0 --confirm disk1"), /\(SHELL_CONFIRM\)/);
  terminal.type("reservation clear disk0\r");
  await terminal.sees(/Type disk0 to go on: /);
  const said = await terminal.enters("disk0");
  t.notRegex(said, /SHELL_CONFIRM/);
});

test("what is higher than the screen comes in pages; no line is wider than it, and no colour", async (t) => {
  const here = await place(t);
  const terminal = sit(t, here, { rows: 10 });
  await terminal.sees(/> /);
  terminal.type("help\r");
  const page = await terminal.sees(/-- more --/);
  t.is(page.split("\r\n").length - 1, 1 + 9, page);
  terminal.type(" ");
  t.is((await terminal.sees(/-- more --/)).split("\r\n").length - 1, 9);
  terminal.type("\r");
  t.is((await terminal.sees(/-- more --/)).split("\r\n").length - 1, 1);
  terminal.type("q");
  await terminal.sees(/> /);
  const wide = sit(t, here, { rows: 60 });
  await wide.sees(/> /);
  for (const line of ["show system", "show devices", "show log", "show job none", "?", "show ?", "reboot ?"])
    for (const row of (await wide.enters(line)).split("\r\n"))
      t.true(row.replaceAll(MOVES, "").length <= 80, `${line}: ${row}`);
  for (const { output } of [terminal, wide])
    t.false(output.replaceAll(MOVES, "").includes(ESCAPE), "an escape sequence");
});

test("a terminal that says it is dumb, or nothing, gets not one escape sequence", async (t) => {
  const here = await place(t);
  for (const term of ["dumb", ""]) {
    const terminal = sit(t, here, { term });
    await terminal.sees(/> /);
    t.regex(await terminal.enters("show devices"), /disk0 +disk/);
    terminal.type("show log --follow\r");
    await terminal.sees(/starting/);
    terminal.type("\x03");
    await terminal.sees(/\^C[\s\S]*> /);
    terminal.type("exit\r");
    t.is(await terminal.exited, 0);
    t.false(terminal.output.includes(ESCAPE), JSON.stringify(terminal.output));
  }
});

test("a terminal that says XOFF gets nothing until it says XON", async (t) => {
  const terminal = sit(t, await place(t));
  await terminal.sees(/> /);
  terminal.type("\x13show devices\r");
  await sleep(1500);
  t.notRegex(terminal.output, /GANTRY/);
  terminal.type("\x11");
  t.regex(await terminal.sees(/GANTRY/), /disk0/);
});

test("bash completes by the same table and names", async (t) => {
  const here = await place(t);
  const script = `gantry() { ${process.execPath} ${SHELL} "$@"; }
source <(gantry completion bash)
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _gantry 2>/dev/null; echo "\${COMPREPLY[*]}"; }
try gantry show dev; try gantry job ""; try gantry device sense disk; try gantry tape unload t`;
  const { stdout } = spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    env: { ...process.env, GANTRY_SOCKET: here.socket },
  });
  t.deepEqual(stdout.trimEnd().split("\n"), ["devices", "cancel pause resume", "disk0 disk1", "tape0"]);
});

test("a serial line without a size is one of 24 by 80", async (t) => {
  const terminal = sit(t, await place(t), { rows: 0, columns: 0 });
  await terminal.sees(/> /);
  terminal.type("show system\r");
  t.is((await terminal.sees(/-- more --/)).split("\r\n").length - 1, 1 + 23);
});

test("commands from a pipe: one a line, comments, all are tried, and the exit code is the worst", async (t) => {
  const { socket } = await place(t);
  const run = async (text: string): Promise<{ code: number | null; out: string }> => {
    const child = spawn(process.execPath, [SHELL, "--socket", socket], { stdio: ["pipe", "pipe", "ignore"] });
    let out = "";
    child.stdout.on("data", (data) => (out += String(data)));
    child.stdin.end(text);
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { code, out };
  };
  const good = await run("# who is there\nshow devices --json\nshow media\n");
  t.is(good.code, 0);
  t.is((JSON.parse(good.out.split("\n")[0] ?? "") as unknown[]).length, 3);
  t.is((await run("show job x\nshow devices\n")).code, 1);
  t.is((await run("show job x\nshow devic\nshow devices\n")).code, 2);
  t.is((await run("exit\nshow nothing\n")).code, 0);
});

test("one verb a call: --json anywhere, wrong use is 2, a confirmation that is missing too, nobody there is 3", async (t) => {
  const { socket, daemon } = await place(t);
  const gantry = (...args: string[]) => runProgram(SHELL, ["--socket", socket, ...args]);
  t.is((JSON.parse((await gantry("show", "devices", "--json")).stdout) as unknown[]).length, 3);
  t.is((await gantry("show", "everything")).code, 2);
  t.is((await gantry("reservation", "clear", "disk0")).code, 2);
  t.is((await gantry("reservation", "clear", "disk0", "--confirm", "disk0")).code, 0);
  t.is((await gantry("--role", "technician", "reservation", "clear", "disk0", "--confirm", "disk0")).code, 1);
  t.is(await daemon.stop(), 0);
  t.is((await gantry("show", "system")).code, 3);
});

/** Types a line when the prompt is there, hangs the terminal up a moment later, and says how the program ended. */
const HANG_UP = `
import os, pty, signal, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
def sees(what):
    seen = b""
    while what not in seen:
        seen += os.read(fd, 65536)
sees(b"> ")
os.write(fd, b"show keys\\r")
sees(b"\\r\\n")
time.sleep(1)
os.close(fd)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGHUP)
`;

test("a terminal that is hung up ends the shell by that signal, and the history stays", async (t) => {
  const here = await place(t);
  const home = join(here.directory, "home");
  const command = [process.execPath, SHELL, "--socket", here.socket];
  const env = { ...process.env, TERM: "vt220", XDG_STATE_HOME: home };
  const { stdout } = await promisify(execFile)("python3", ["-c", HANG_UP, ...command], { env, timeout: 60_000 });
  const [ended, hangUp] = stdout.trim().split(" ");
  t.is(ended, hangUp);
  t.true(readFileSync(join(home, "gantry", "history"), "utf8").includes("show keys"));
});
