// Configurations that are made to hurt whoever reads them.
import test from "ava";
import { parseConfig } from "../../../src/sys/config.js";

const refused = test.macro((t, text: string, code: string, message: RegExp) => {
  t.throws(() => parseConfig(text, "g.toml"), { code, message });
  t.false("polluted" in {}, "no object has got anything by it");
});

test(
  "the prototype of all objects as a table",
  refused,
  "\n[constructor.prototype]\npolluted = 1\n",
  "CONFIG_SYNTAX",
  /^g.toml:2: `constructor` is no key/,
);
test(
  "the prototype of all objects as a key",
  refused,
  "constructor.prototype.polluted = 1",
  "CONFIG_SYNTAX",
  /^g.toml:1: `constructor`/,
);
test("__proto__ as a table", refused, "[__proto__]\npolluted = 1\n", "CONFIG_SYNTAX", /`__proto__` is no key/);
test("__proto__ in an inline table", refused, "a = { __proto__ = { polluted = 1 } }", "CONFIG_SYNTAX", /`__proto__`/);
test(
  "arrays inside arrays without end",
  refused,
  `a = ${"[".repeat(20_000)}${"]".repeat(20_000)}`,
  "CONFIG_SYNTAX",
  /nested too deep/,
);

test("of very many problems the first fifty are told", (t) => {
  const text = `[bridge]\nid = "b"\nstate_dir = "/s"\n[control]\nurl = "mqtt://h:1"\n${'[[device]]\ntransport = "fc"\n'.repeat(3000)}`;
  const error = t.throws(() => parseConfig(text, "g.toml"), { code: "CONFIG_INVALID" });
  t.regex(error?.message ?? "", /… and \d+ more problems\.$/);
  t.true((error?.message.length ?? 0) < 20_000);
});
