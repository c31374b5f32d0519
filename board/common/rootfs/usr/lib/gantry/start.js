#!/usr/bin/node
// Runs the program that it is called as (gantryd, gantry) from its one file, with the code that V8 compiled when the image
// was made. Another Node, or another text, and V8 compiles it itself.
"use strict";
const { existsSync, readFileSync } = require("node:fs");
const Module = require("node:module");
const { basename, join } = require("node:path");
const { Script, constants } = require("node:vm");

const filename = join(__dirname, `${basename(process.argv[1])}.js`);
const cache = `${filename}.cache`;
const script = new Script(Module.wrap(readFileSync(filename, "utf8").replace(/^#!.*/, "")), {
  filename,
  importModuleDynamically: constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  ...(existsSync(cache) && { cachedData: readFileSync(cache) }),
});
if (process.env.GANTRY_PRECOMPILE !== undefined)
  process.on("exit", () => require("node:fs").writeFileSync(process.env.GANTRY_PRECOMPILE, script.createCachedData()));
const program = new Module(filename, null);
program.filename = filename;
program.paths = [];
script.runInThisContext()(program.exports, Module.createRequire(filename), program, filename, __dirname);
