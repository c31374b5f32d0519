#!/usr/bin/env node
// gantry: asks the daemon on this machine, over its local socket. One verb a call; --json for scripts. Exit codes:
// 0 done, 1 refused, 2 wrong use, 3 the daemon cannot be asked.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createConnection } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { messageOf } from "../sys/errors.js";
import type { Row } from "../sys/text.js";
import { VERSION } from "../sys/version.js";
import { LINE_MAX, type ShellAnswer, toLine } from "./protocol.js";
import { render } from "./render.js";

interface Options {
  readonly socket: string;
  readonly json?: boolean;
}

type Page = Readonly<Record<string, readonly Row[]>> & { readonly more: boolean };

const REFUSED = Symbol("refused");

const EXIT_REFUSED = 1;
const EXIT_USE = 2;
const EXIT_AWAY = 3;

const program = new Command("gantry")
  .description("Shows and steers the gantryd of this machine, over its local socket.")
  .version(VERSION)
  .option("--socket <path>", "the daemon's socket", process.env.GANTRY_SOCKET ?? "/var/lib/gantry/gantry.sock")
  .option("--json", "print JSON instead of text")
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_USE));

const show = program.command("show").description("look, change nothing");
show
  .command("system")
  .description("bridge, connection, clock, memory, counts")
  .action(() => ask("show system"));
show
  .command("devices")
  .description("devices and who they say they are")
  .action(() => ask("show devices"));
show
  .command("media")
  .description("cartridges of drives that can load them")
  .action(() => ask("show media"));
show
  .command("keys")
  .description("installed keys")
  .action(() => askPages("show keys", "keys", "keyId"));
show
  .command("reservations")
  .description("who holds which device, and since when")
  .action(() => ask("show reservations"));
show
  .command("sessions")
  .description("servers that are logged in, and what went over their paths")
  .action(() => ask("show sessions"));
show
  .command("refusals")
  .description("who was refused what and why, the latest first")
  .action(() => ask("show refusals"));
show
  .command("privileges")
  .description("who writes on the disks that servers share")
  .action(() => ask("show privileges"));
show
  .command("jobs")
  .description("all jobs that are remembered")
  .action(() => askPages("show jobs", "jobs", "jobId"));
show
  .command("copies")
  .description("third-party copies of servers: those that run, the latest of the others, and why any was not done here")
  .action(() => ask("show copies"));
show
  .command("job <id>")
  .description("one job, with its report if it has ended")
  .action((id: string) => ask("show job", id));

const job = program.command("job").description("steer a job");
job
  .command("cancel <id>")
  .description("end it; what is on tape stays readable")
  .action((id: string) => ask("job cancel", id));
job
  .command("pause <id>")
  .description("hold it where it is")
  .action((id: string) => ask("job pause", id));
job
  .command("resume <id>")
  .description("let a paused job go on")
  .action((id: string) => ask("job resume", id));

const tape = program.command("tape").description("cartridges of emulated drives");
tape
  .command("load <drive> <cartridge>")
  .description("put a cartridge into a drive that no job and no server uses")
  .option("--create", "a blank one, when there is none of that name")
  .action((drive: string, cartridge: string, { create }: { create?: true }) =>
    ask("tape load", drive, cartridge, create === true ? "create" : "no"),
  );
tape
  .command("unload <drive>")
  .description("take it out")
  .action((drive: string) => ask("tape unload", drive));

program
  .command("reservation")
  .description("what servers have reserved")
  .command("clear <device>")
  .description("take a device away from the servers that hold it")
  .requiredOption("--confirm <device>", "the name of the device once more")
  .action((device: string, { confirm }: { confirm: string }) => ask("reservation clear", device, confirm));

program
  .command("privilege")
  .description("who writes on a disk that servers share")
  .command("move <device> <from> <to>")
  .description("let another server write, at a command boundary, with the cache emptied")
  .action((device: string, from: string, to: string) => ask("privilege move", device, from, to));

program
  .command("xcopy")
  .description("third-party copies: hands over to the program gantry-xcopy (has to be the first word)")
  .allowUnknownOption()
  .allowExcessArguments()
  .action(() => {
    console.error("gantry: Write xcopy first: `gantry xcopy …`; what follows is for gantry-xcopy.");
    process.exitCode = EXIT_USE;
  });

// Its words and options are its own, so they are not read here.
if (process.argv[2] === "xcopy") void handOver(process.argv.slice(3));
else void program.parseAsync();

/** Runs gantry-xcopy with the same terminal, and ends as it ends. */
async function handOver(args: readonly string[]): Promise<void> {
  const file = xcopyFile();
  if (file === undefined) {
    console.error(
      "gantry: There is no gantry-xcopy on this machine. It is a program for servers and administrators: install the npm package gantry there, or call it from a clone (dist/tools/xcopy/main.js). (XCOPY_MISSING)",
    );
    process.exitCode = EXIT_AWAY;
    return;
  }
  // A module of the tree is no program by itself; what is installed is, and need not be JavaScript.
  const [program, ...before] = file.endsWith(".js") ? [process.execPath, file] : [file];
  const child = spawn(program, [...before, ...args], { stdio: "inherit" });
  // The terminal's interrupt reaches both, and what it means to a copy is for the other to say.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    process.exitCode = code ?? EXIT_REFUSED;
  } catch (error) {
    console.error(`gantry: ${file} cannot be run: ${messageOf(error)} (XCOPY_MISSING)`);
    process.exitCode = EXIT_AWAY;
  }
}

/** Beside this program, in the same tree, or on PATH. */
function xcopyFile(): string | undefined {
  const here = fileURLToPath(import.meta.url);
  const folders = [dirname(process.argv[1] ?? here), ...(process.env.PATH ?? "").split(delimiter)];
  const places = [
    join(dirname(here), "..", "..", "tools", "xcopy", "main.js"),
    ...folders.filter((folder) => folder !== "").map((folder) => join(folder, "gantry-xcopy")),
  ];
  return places.find((place) => existsSync(place));
}

async function ask(verb: string, ...args: string[]): Promise<void> {
  const result = await resultOf(verb, args);
  if (result !== REFUSED) print(verb, result);
}

/** The daemon gives long lists in pages: `name` in its answer, each told by its `id`. */
async function askPages(verb: string, name: string, id: string): Promise<void> {
  const rows = new Map<string, Row>();
  for (let after: string[] = []; ; ) {
    const result = await resultOf(verb, after);
    if (result === REFUSED) return;
    const page = result as Page;
    const before = rows.size;
    for (const row of page[name] ?? []) rows.set(String(row[id]), row);
    const last = page[name]?.at(-1);
    // A page that begins anew, because its job was forgotten meanwhile, brings nothing at some time.
    if (!page.more || last === undefined || rows.size === before) break;
    after = [String(last[id])];
  }
  print(verb, [...rows.values()]);
}

function print(verb: string, result: unknown): void {
  const { json } = program.opts<Options>();
  console.log(json === true ? JSON.stringify(result ?? null) : render(verb, result));
}

/** REFUSED after having said why. */
async function resultOf(verb: string, args: readonly string[]): Promise<unknown> {
  const { socket, json } = program.opts<Options>();
  const fail = (exitCode: number, code: string, message: string): typeof REFUSED => {
    if (json === true) console.log(JSON.stringify({ error: { code, message } }));
    else console.error(`gantry: ${message} (${code})`);
    process.exitCode = exitCode;
    return REFUSED;
  };
  try {
    const answer = await request(socket, verb, args);
    return answer.ok ? answer.result : fail(EXIT_REFUSED, answer.error.code, answer.error.message);
  } catch (error) {
    return fail(
      EXIT_AWAY,
      "SHELL_SOCKET",
      `The daemon cannot be asked over ${socket}: ${messageOf(error)}. Is gantryd running? Another socket: --socket.`,
    );
  }
}

function request(path: string, verb: string, args: readonly string[]): Promise<ShellAnswer> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = createConnection(path, () => socket.write(toLine({ verb, args })));
    socket.setEncoding("utf8");
    socket.on("error", reject);
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > LINE_MAX) reject(new Error("its answer is too long"));
      if (!text.includes("\n")) return;
      socket.destroy();
      resolve(JSON.parse(text) as ShellAnswer);
    });
    socket.on("close", () => reject(new Error("it closed the connection")));
  });
}
