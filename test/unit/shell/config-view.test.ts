import test from "ava";
import * as v from "valibot";
import { CUT_KEYS, configView, SHOWN_KEYS } from "../../../src/shell/config-view.js";
import { type Config, parseConfig } from "../../../src/sys/config.js";
import { configSchema } from "../../../src/sys/config-schema.js";

/** Every key in a schema, however deep. */
function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  const node = schema as { entries?: object; item?: unknown; wrapped?: unknown; options?: unknown[]; pipe?: unknown[] };
  for (const [key, inner] of Object.entries(node.entries ?? {})) {
    found.add(key);
    keysOf(inner, found);
  }
  for (const inner of [node.item, node.wrapped, ...(node.options ?? []), ...(node.pipe?.slice(0, 1) ?? [])])
    if (typeof inner === "object" && inner !== null && inner !== schema) keysOf(inner, found);
  return found;
}

test("of every key it was decided whether it may be seen; one that is new is not", (t) => {
  const keys = keysOf(configSchema);
  t.true(keys.size > 80, `${keys.size}`);
  t.deepEqual(
    [...keys].filter((key) => !SHOWN_KEYS.has(key) && !(key in CUT_KEYS)),
    [],
  );
  const config = { jobs: { depth: 4, api_token: "hunter2" } } as unknown as Config;
  t.deepEqual(configView(config), { jobs: { depth: 4, api_token: "(not shown)" } });
});

test("what stands in front of the host of the MQTT server is left out", (t) => {
  const text = '[bridge]\nid = "b"\nstate_dir = "/s"\n[control]\nurl = "mqtts://me:hunter2@h:8883"\n';
  const config = parseConfig(text, "g.toml");
  t.like(configView(config), { control: { url: "mqtts://…@h:8883" } });
  t.notRegex(JSON.stringify(configView(config)), /hunter2|me:/);
  t.notThrows(() => v.parse(configSchema, config));
});
