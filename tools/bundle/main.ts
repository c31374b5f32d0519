#!/usr/bin/env node
// npm run bundle [-- FOLDER]: makes the bundle, by default in build/bundle, and says what it weighs.
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { packageRoot } from "../../src/native/addon.js";
import { makeBundle } from "./bundle.js";

const KIB = 1024;

const folder = resolve(process.argv[2] ?? join(packageRoot(), "build", "bundle"));
await makeBundle(folder);
let total = 0;
for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
  const facts = statSync(join(folder, name));
  if (!facts.isFile()) continue;
  total += facts.size;
  console.log(`${String(Math.ceil(facts.size / KIB)).padStart(6)} KiB  ${name}`);
}
console.log(`${String(Math.ceil(total / KIB)).padStart(6)} KiB  in ${folder}`);
