#!/usr/bin/env node
// `npm run test:fuzz -- [--seconds N] [--only name,…] [--kind ts|c]`: every decoder against bytes that go wrong, for as
// long as is wanted. Two kinds of targets: those of TypeScript (test/fuzz/targets.ts, one process with little memory),
// and those of C, libFuzzer programs: build/fuzz/<name> of test/fuzz/c/<name>.c, with test/fuzz/<name>.dict and
// test/fuzz/corpus/<name>. The time is divided among the kinds, and among the programs of C.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    only: { type: "string" },
    kind: { type: "string" },
    seed: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const only = values.only?.split(",");

/** Without a word for this long a decoder hangs: a round of inputs takes a second or two. */
const SILENCE_MS = 120_000;
const TS_MAIN = "dist/test/fuzz/main.js";
const TS = [process.execPath, "--max-old-space-size=256", TS_MAIN];

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Passes output on but for lines that only say that it lives. */
function run(command: string, args: readonly string[], shown: (line: string) => boolean): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let last = "";
    let watch = setTimeout(() => undefined, 0);
    const heard = (): void => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        console.log(`not a word for ${SILENCE_MS / 1000} s; it hangs after: ${last}`);
        child.kill("SIGKILL");
      }, SILENCE_MS);
    };
    heard();
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (text: string) => {
        heard();
        output = (output + text).slice(-100_000);
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          last = line;
          if (shown(line)) console.log(line);
        }
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(watch);
      resolve({ code: code ?? 1, output });
    });
    endWith(child);
  });
}

function endWith(child: ChildProcess): void {
  const end = (): void => void child.kill("SIGKILL");
  process.once("exit", end);
  child.once("close", () => process.off("exit", end));
}

async function namesOfTs(): Promise<readonly string[]> {
  const { output } = await run(process.execPath, [TS_MAIN, "--list"], () => false);
  return output.split("\n").filter((name) => name !== "" && (only === undefined || only.includes(name)));
}

/** Makes the programs of C (CMakeLists.txt, GANTRY_FUZZ) where their sources are newer. */
async function buildC(): Promise<void> {
  const steps = [
    ["-S", ".", "-B", "build/fuzz", "-DGANTRY_FUZZ=ON", "-DGANTRY_SANITIZE=address,undefined"].concat(
      "-DCMAKE_C_COMPILER=clang-14",
      "-DCMAKE_CXX_COMPILER=clang++-14",
    ),
    ["--build", "build/fuzz", "--target", "fuzzers", "-j", "2"],
  ];
  for (const args of steps) {
    const { code, output } = await run("cmake", args, () => false);
    if (code !== 0) throw new Error(`the fuzz targets of C cannot be built:\n${output}`);
  }
}

function namesOfC(): readonly string[] {
  const sources = existsSync("test/fuzz/c") ? readdirSync("test/fuzz/c") : [];
  const names = sources.filter((file) => file.endsWith(".c")).map((file) => file.slice(0, -2));
  return names.filter((name) => (only === undefined || only.includes(name)) && existsSync(join("build", "fuzz", name)));
}

async function runTs(names: readonly string[], time: number): Promise<boolean> {
  console.log(`== TypeScript: ${names.length} decoders, ${time} s`);
  const [command = "", ...args] = TS;
  const seed = values.seed === undefined ? [] : ["--seed", values.seed];
  const { code } = await run(
    command,
    [...args, "--only", names.join(","), "--seconds", String(time), ...seed],
    (line) => !line.startsWith("at "),
  );
  return code === 0;
}

async function runC(name: string, time: number): Promise<boolean> {
  console.log(`== C: ${name}, ${time} s`);
  const found = join("build", "fuzz", "findings", name);
  const grown = join("build", "fuzz", "corpus", name);
  for (const folder of [found, grown]) mkdirSync(folder, { recursive: true });
  const dictionary = join("test", "fuzz", `${name}.dict`);
  const corpus = join("test", "fuzz", "corpus", name);
  const { code, output } = await run(
    join("build", "fuzz", name),
    [
      `-max_total_time=${time}`,
      "-timeout=20",
      "-rss_limit_mb=1024",
      "-print_final_stats=1",
      `-artifact_prefix=${found}/`,
      ...(existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
      ...(values.seed === undefined ? [] : [`-seed=${values.seed}`]),
      grown,
      ...(existsSync(corpus) ? [corpus] : []),
    ],
    (line) => /^stat::(number_of_executed_units|new_units_added)/.test(line),
  );
  if (code !== 0) {
    const input = /Test unit written to (\S+)/.exec(output)?.[1] ?? `${found}/…`;
    console.log(`${output}\nFOUND in ${name}. Once more: build/fuzz/${name} ${input}`);
    console.log(`When it is mended: cp ${input} ${corpus}/`);
  }
  return code === 0;
}

const ts = values.kind === "c" ? [] : await namesOfTs();
if (values.kind !== "ts") await buildC();
const c = values.kind === "ts" ? [] : namesOfC();
if (ts.length + c.length === 0) throw new Error("there is no target of that name; C targets have to be built first");
const share = ts.length > 0 && c.length > 0 ? seconds / 2 : seconds;
let good = true;
if (ts.length > 0) good = (await runTs(ts, Math.round(share))) && good;
for (const name of c) good = (await runC(name, Math.max(1, Math.round(share / c.length)))) && good;
console.log(good ? "nothing found" : "something was found");
process.exitCode = good ? 0 : 1;
