// The lifetime programs once more, over an addon with AddressSanitizer and UndefinedBehaviorSanitizer. It is
// built apart, for every allocation of the process must be the sanitizer's from the start:
//   cmake -S . -B build/asan -DCMAKE_JS_VERSION=1 -DGANTRY_SANITIZE=address,undefined
//   cmake --build build/asan --target gantry
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import test from "ava";
import { packageRoot } from "../../src/native/addon.js";
import { LASTING_STEPS, STEPS } from "./children/steps.js";
import { runChild } from "./spawn.js";
import { scratch } from "./support.js";

const addon = join(packageRoot(), "build", "asan", "bin", "gantry.node");

/** The compiler's own run-time libraries; libstdc++ too, for the sanitizer looks for it before the addon loads. */
function preload(): string | undefined {
  try {
    const found = ["libasan.so", "libstdc++.so"].map((name) =>
      execFileSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim(),
    );
    return found.every(isAbsolute) ? found.join(" ") : undefined;
  } catch {
    return undefined;
  }
}

const libraries = existsSync(addon) ? preload() : undefined;
if (libraries === undefined)
  test.skip("SKIPPED: there is no build/asan/bin/gantry.node, or no libasan", (t) => t.pass());

const runs = async (name: string, args: readonly string[], nodeOptions: readonly string[] = []) => {
  const place = scratch();
  try {
    return await runChild(name, [place.folder, ...args], nodeOptions, {
      GANTRY_ADDON: addon,
      LD_PRELOAD: libraries ?? "",
      // Node itself leaves memory to the end of the process.
      ASAN_OPTIONS: "detect_leaks=0",
    });
  } finally {
    place.drop();
  }
};

if (libraries !== undefined) {
  for (const step of Object.keys({ ...STEPS, ...LASTING_STEPS }))
    test.serial(`sanitized: ${step}: exit end`, async (t) => {
      t.deepEqual(await runs("ends", [step, "exit"]), { code: 0, signal: null, out: `reached ${step}\n`, err: "" });
    });

  for (const [name, args] of [
    ["cycles", ["30"]],
    ["garbage", []],
    ["thrower", []],
    ["workers", ["with-main"]],
  ] as const)
    test.serial(`sanitized: ${name}`, async (t) => {
      const { code, signal, err } = await runs(name, args, ["--expose-gc"]);
      t.is(err, "");
      t.is(signal, null);
      t.is(code, 0);
    });
}
