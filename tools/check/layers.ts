#!/usr/bin/env node
// Layering check: imports point one way. Reads every source file, compares each import (or #include) with
// the table below, prints what points the wrong way, and exits 1 if anything does.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Room → rooms that it may import. A room may always import itself. The files in src/ itself are "root". */
const TS_ROOMS: Readonly<Record<string, readonly string[]>> = {
  "src/sys": [],
  "src/wire": ["src/sys"],
  "src/types": [],
  "src/native": ["src/sys", "src/wire", "src/types"],
  "src/device": ["src/native", "src/wire", "src/sys", "src/types"],
  "src/copy": ["src/device", "src/native", "src/wire", "src/sys", "src/types"],
  "src/admit": ["src/copy", "src/device", "src/wire", "src/sys", "src/types"],
  "src/fabric": ["src/admit", "src/copy", "src/device", "src/native", "src/wire", "src/sys", "src/types"],
  "src/copy-manager": ["src/admit", "src/copy", "src/device", "src/native", "src/wire", "src/sys", "src/types"],
  "src/control": [
    "src/copy-manager",
    "src/fabric",
    "src/admit",
    "src/copy",
    "src/device",
    "src/wire",
    "src/sys",
    "src/types",
  ],
  "src/shell": [
    "src/control",
    "src/copy-manager",
    "src/fabric",
    "src/admit",
    "src/copy",
    "src/device",
    "src/wire",
    "src/sys",
    "src/types",
  ],
  "src/root": [
    "src/shell",
    "src/control",
    "src/copy-manager",
    "src/fabric",
    "src/admit",
    "src/copy",
    "src/device",
    "src/native",
    "src/wire",
    "src/sys",
    "src/types",
  ],
  // Programs beside the daemon talk to it over its messages; they share its codecs and types, not its engine.
  tools: ["src/control", "src/admit", "src/copy", "src/native", "src/wire", "src/sys", "src/types"],
};

const C_ROOMS: Readonly<Record<string, readonly string[]>> = {
  "csrc/core": [],
  "csrc/transport": ["csrc/core", "csrc/device"],
  "csrc/device": ["csrc/core", "csrc/transport"],
  "csrc/copy": ["csrc/core", "csrc/transport"],
  "csrc/plane": ["csrc/core", "csrc/transport", "csrc/device"],
  "csrc/fabric": ["csrc/core", "csrc/transport", "csrc/plane"],
  // Of the fabric the pool that the data of commands lies in, and nothing else.
  "csrc/lio": ["csrc/core", "csrc/transport", "csrc/plane", "csrc/fabric"],
  "csrc/agent": [],
  "csrc/binding": ["csrc/core", "csrc/transport", "csrc/device", "csrc/copy", "csrc/plane", "csrc/fabric", "csrc/lio"],
};

/** The two nouns and the lists are plain types that every room may share. */
const TYPE_FILES = new Set(["src/job.ts", "src/list.ts", "src/admitted.ts", "src/plane.ts"]);

const root = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(from: string): string {
  let directory = from;
  for (;;) {
    const names = readdirSync(directory);
    if (names.includes("package.json") && names.includes("CMakeLists.txt")) return directory;
    directory = dirname(directory);
  }
}

function filesUnder(directory: string, endings: readonly string[]): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => endings.some((ending) => file.endsWith(ending)))
    .map((file) => join(directory, file));
}

export function roomOf(file: string): string {
  if (TYPE_FILES.has(file)) return "src/types";
  const parts = file.split("/");
  if (parts[0] === "tools") return "tools";
  if (parts[0] === "src" && parts.length === 2) return "src/root";
  return parts.slice(0, 2).join("/");
}

function violations(
  files: readonly string[],
  table: Readonly<Record<string, readonly string[]>>,
  pattern: RegExp,
  toFile: (from: string, name: string) => string | undefined,
): string[] {
  const found: string[] = [];
  for (const file of files) {
    const from = roomOf(file);
    const allowed = table[from];
    if (allowed === undefined) {
      found.push(`${file}: the room ${from} is in no row of the layering table`);
      continue;
    }
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .forEach((line, index) => {
        const name = pattern.exec(line)?.[1];
        if (name === undefined) return;
        if (name.endsWith(".node") && from !== "src/native")
          found.push(`${file}:${index + 1}: only src/native may load the addon`);
        const target = toFile(file, name);
        if (target === undefined) return;
        const to = roomOf(target);
        if (to !== from && !allowed.includes(to))
          found.push(`${file}:${index + 1}: ${from} must not import ${to} (${name})`);
      });
  }
  return found;
}

/** The file an import names; undefined for a package or a system header. */
const tsTarget = (from: string, name: string): string | undefined =>
  name.startsWith(".") ? relative(root, resolve(root, dirname(from), name)).replace(/\.js$/, ".ts") : undefined;

/** Includes are relative to their file or to csrc/. */
const cTarget = (from: string, name: string): string | undefined =>
  [join(dirname(from), name), join("csrc", name)].find((file) => existsSync(join(root, file)));

const problems = [
  ...violations(
    [...filesUnder("src", [".ts"]), ...filesUnder("tools", [".ts"])],
    TS_ROOMS,
    /(?:from|import)\s*\(?"([^"]+)"/,
    tsTarget,
  ),
  ...violations(filesUnder("csrc", [".c", ".h", ".cc"]), C_ROOMS, /^#include "([^"]+)"/, cTarget),
];
for (const problem of problems) console.error(problem);
console.log(
  problems.length === 0
    ? "layers: every import points the right way"
    : `layers: ${problems.length} imports point the wrong way`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
