import { readFileSync } from "node:fs";
import test from "ava";
import { ERRORS, GantryError, isGantryError, messageOf } from "../../../src/sys/errors.js";
import { BUILT_MS, VERSION } from "../../../src/sys/version.js";
import { errorsDocument } from "../../../tools/check/errors-document.js";

test("ERRORS.md is what the table says (npm run docs mends it)", (t) => {
  t.is(readFileSync("ERRORS.md", "utf8"), errorsDocument());
});

test("every meaning is a sentence, and every code a name in capitals", (t) => {
  for (const [code, { meaning }] of Object.entries(ERRORS)) {
    t.regex(code, /^[A-Z][A-Z0-9]+(_[A-Z0-9]+)*$/);
    t.regex(meaning, /^[A-Z0-9`].*\.$/, code);
  }
});

test("an error keeps code, kind, cause and details", (t) => {
  const cause = new Error("below");
  const error = new GantryError("DEVICE_UNKNOWN", "There is none.", { cause, details: { device: "x" } });
  t.true(isGantryError(error));
  t.is(error.kind, "input");
  t.is(error.cause, cause);
  t.deepEqual(error.details, { device: "x" });
  t.is(messageOf("text"), "text");
});

test("the version is that of package.json, and was built in the past", (t) => {
  t.is(VERSION, (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version);
  t.true(BUILT_MS > Date.UTC(2024, 0) && BUILT_MS <= Date.now());
});
