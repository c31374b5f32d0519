// The programs of the bridge as files that need no node_modules: gantryd.js and gantry.js, each one CommonJS module
// with all that it imports, and the two addons. A small box starts it in half the time that the tree of modules takes,
// and keeps a few percent of what an installation weighs.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build, formatMessages, type Metafile, type Plugin } from "esbuild";
import { addonFile, packageRoot } from "../../src/native/addon.js";
import { VERSION } from "../../src/sys/version.js";

/** Names of what the bundle's folder holds. */
export const DAEMON = "gantryd.js";
export const SHELL = "gantry.js";
/** As in the tree, so that the programs look for the data plane in one way (src/native/addon.ts). */
const ADDONS = join("build", "bin");

/** Modules that something else stands in for, each a CommonJS text. */
const STAND_INS: Readonly<Record<string, string>> = {
  // Node's own streams as a package, for browsers and for Nodes of long ago.
  "readable-stream": `module.exports = require("node:stream");`,
  // Timers for browsers; mqtt asks for them before it looks where it runs.
  "worker-timers": "module.exports = {};",
  // Optional addons that decode strings faster; whoever asks for them goes on without.
  "cbor-extract": `throw new Error("not in the bundle");`,
  "msgpackr-extract": `throw new Error("not in the bundle");`,
  // Searches node_modules for an addon. Only lmdb is left to ask it.
  "node-gyp-build-optional-packages": `module.exports = () => require("./${ADDONS}/lmdb.node");`,
};

/** In place of src/control/mqtt-client.ts: the same two, where the bundler sees them. */
const MQTT_CLIENT = `
import client from "mqtt/lib/client";
export const Client = client.default;
export { default as codec } from "mqtt-packet";
`;

const AS_COMMONJS = "as CommonJS";

/** What is linked into lmdb's addon, with terms of its own. */
const LINKED = ["lmdb/libraries/liblmdb", "lz4/lib"].map((path) => `node_modules/lmdb/dependencies/${path}`);

const SOURCES: Readonly<Record<string, string>> = {
  [DAEMON]: "dist/src/main.js",
  [SHELL]: "dist/src/shell/main.js",
};

/** Makes the bundle in a folder, from the compiled tree. What is there already is replaced. */
export async function makeBundle(folder: string): Promise<void> {
  const root = packageRoot();
  mkdirSync(join(folder, ADDONS), { recursive: true });
  const packages = new Set<string>();
  for (const [file, source] of Object.entries(SOURCES)) {
    const { metafile, warnings } = await build({
      absWorkingDir: root,
      entryPoints: [source],
      outfile: join(folder, file),
      bundle: true,
      metafile: true,
      platform: "node",
      format: "cjs",
      target: "node20.19",
      // Names stay as they are: a stack in the log of a box in the field is all that there is.
      minifySyntax: true,
      legalComments: "none",
      define: { "import.meta.url": "moduleUrl", "import.meta.filename": "__filename" },
      banner: { js: `const moduleUrl = require("node:url").pathToFileURL(__filename).href;` },
      plugins: [standIns()],
      logLevel: "silent",
    });
    // What the bundler doubts may be read wrongly when the bundle runs.
    if (warnings.length > 0) throw new Error((await formatMessages(warnings, { kind: "warning" })).join(""));
    for (const name of packagesOf(metafile)) packages.add(name);
    chmodSync(join(folder, file), 0o755);
  }
  // That the files beside it are CommonJS, and where the addons are looked for.
  writeFileSync(
    join(folder, "package.json"),
    `${JSON.stringify({ name: "gantry", version: VERSION, type: "commonjs" })}\n`,
  );
  // Without what only a debugger reads.
  execFileSync("strip", ["--strip-debug", "-o", join(folder, ADDONS, "gantry.node"), addonFile()]);
  copyFileSync(lmdbAddon(root), join(folder, ADDONS, "lmdb.node"));
  writeFileSync(join(folder, "LICENSES.txt"), licenses(root, [...packages].sort()));
}

function standIns(): Plugin {
  const names = new RegExp(`^(${Object.keys(STAND_INS).join("|")})$`);
  return {
    name: "stand-ins",
    setup({ onResolve, onLoad, resolve }) {
      onResolve({ filter: names }, ({ path }) => ({ path, namespace: "stand-in" }));
      onLoad({ filter: names, namespace: "stand-in" }, ({ path }) => ({ contents: STAND_INS[path] ?? "" }));
      onLoad({ filter: /dist\/src\/control\/mqtt-client\.js$/ }, ({ path }) => ({
        contents: MQTT_CLIENT,
        resolveDir: dirname(path),
      }));
      onResolve({ filter: /\.node$/ }, () => ({ external: true }));
      // Its eval() sees variables of the module. Only as CommonJS the module keeps a scope, and their names, of its own;
      // otherwise keys of the store are read wrongly.
      onResolve({ filter: /^ordered-binary(\/index\.js)?$/ }, ({ path, resolveDir, pluginData }) =>
        pluginData === AS_COMMONJS
          ? undefined
          : resolve(path, { kind: "require-call", resolveDir, pluginData: AS_COMMONJS }),
      );
    },
  };
}

/** The one of lmdb's prebuilt addons that every Node can load (Node-API); the others are for one Node each. */
function lmdbAddon(root: string): string {
  const libc = "glibcVersionRuntime" in (process.report.getReport() as { header: object }).header ? "glibc" : "musl";
  const name = `@lmdb/lmdb-${process.platform}-${process.arch}`;
  const own = createRequire(createRequire(join(root, "package.json")).resolve("lmdb"));
  return join(dirname(own.resolve(name)), `node.napi.${libc}.node`);
}

function packagesOf({ inputs }: Metafile): readonly string[] {
  const found = Object.keys(inputs).map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(found.filter((path) => path !== undefined))];
}

/** Gantry's and those of everything that is in the bundle, as their terms ask for. */
function licenses(root: string, packages: readonly string[]): string {
  const texts = [readFileSync(join(root, "LICENSE"), "utf8")];
  for (const path of [...packages, ...LINKED]) {
    const folder = join(root, path);
    if (!existsSync(folder)) continue;
    const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copyright)/i.test(name));
    const { license } = manifest(join(folder, "package.json"));
    const text = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
    texts.push(`${path.replace(/^.*node_modules\//, "")}\n\n${text === "" ? `License: ${license}` : text}`);
  }
  return `${texts.map((text) => text.trim()).join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
}

function manifest(file: string): { readonly license?: string } {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { license?: string }) : {};
}
