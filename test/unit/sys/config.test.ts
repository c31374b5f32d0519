import { readFileSync } from "node:fs";
import test from "ava";
import * as v from "valibot";
import { parseConfig } from "../../../src/sys/config.js";
import { configSchema } from "../../../src/sys/config-schema.js";
import { isGantryError } from "../../../src/sys/errors.js";

const smallest = '[bridge]\nid = "b1"\nstate_dir = "/s"\n[control]\nurl = "mqtt://127.0.0.1:1883"\n';

function complaint(text: string): string {
  try {
    parseConfig(text, "gantry.toml");
  } catch (error) {
    if (isGantryError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

test("the smallest configuration has every default", (t) => {
  const config = parseConfig(smallest, "gantry.toml");
  t.is(config.memory.arena_mib, 64);
  t.is(config.jobs.tape_block_kib, 256);
  t.is(config.keys.clock, "synchronised");
  t.deepEqual(config.device, []);
});

const disk = '[[device]]\nname = "d0"\ntype = "disk"\ntransport = "virtual"\npath = "/d"\n';
const wrong: readonly [string, string, string][] = [
  [
    "a key nobody knows",
    `${smallest}colour = "red"\n`,
    "CONFIG_INVALID: gantry.toml:6: `control.colour` is no key that Gantry knows; remove it or mend its spelling.",
  ],
  [
    "a missing key",
    '[bridge]\nid = "b1"\n[control]\nurl = "mqtt://h:1"\n',
    "CONFIG_INVALID: gantry.toml:1: `bridge.state_dir` is missing.",
  ],
  [
    "a wrong type",
    `${smallest}keepalive_s = "soon"\n`,
    'CONFIG_INVALID: gantry.toml:6: `control.keepalive_s` must be a number, got "soon".',
  ],
  [
    "a value out of range",
    `${smallest}keepalive_s = 1\n`,
    "CONFIG_INVALID: gantry.toml:6: `control.keepalive_s` must be at least 5, got 1.",
  ],
  [
    "a device name used twice",
    `${smallest}${disk}${disk}`,
    'CONFIG_INVALID: gantry.toml:12: device name "d0" is used twice (first on line 7).',
  ],
  [
    "a key of another transport",
    `${smallest}${disk}lun = 1\n`,
    "CONFIG_INVALID: gantry.toml:11: `device[0].lun` is no key that Gantry knows; remove it or mend its spelling.",
  ],
  [
    "half a certificate",
    `${smallest}cert_file = "/c"\n`,
    "CONFIG_INVALID: gantry.toml:5: `control.url` is mqtt:// but certificates are given; write mqtts:// so that they are used.\ngantry.toml:6: `control.cert_file` and `control.key_file` go together; give both or neither.",
  ],
  [
    "an arena that holds too few tape blocks",
    `${smallest}[memory]\narena_mib = 8\n[jobs]\ntape_block_kib = 8192\n`,
    "CONFIG_INVALID: gantry.toml:7: `memory.arena_mib` divided by `jobs.concurrent` must hold at least 4 tape blocks of 8192 KiB; raise it.",
  ],
  [
    "an sg device with neither path nor identity",
    `${smallest}[[device]]\nname = "d0"\ntype = "disk"\ntransport = "sg"\n`,
    "CONFIG_INVALID: gantry.toml:9: a device of transport sg has either a `path` or an `identity`; give one of them.",
  ],
  [
    "an sg device with both",
    `${smallest}[[device]]\nname = "d0"\ntype = "disk"\ntransport = "sg"\npath = "/dev/sg0"\nidentity = "naa.5000c500a1b2c3d4"\n`,
    "CONFIG_INVALID: gantry.toml:11: a device of transport sg has either a `path` or an `identity`; give one of them.",
  ],
  [
    "an identity that is none",
    `${smallest}[[device]]\nname = "d0"\ntype = "disk"\ntransport = "sg"\nidentity = "naa.5000"\n`,
    'CONFIG_INVALID: gantry.toml:10: `device[0].identity` must be "naa.…" or "eui.…" with 16 to 32 hexadecimal digits, "t10.VENDOR…", "iqn.…" or "serial.VENDOR.NUMBER"; `sg_vpd -p di` or `lsscsi -U` show it, got "naa.5000".',
  ],
  [
    "a LUN of a device that is not there",
    `${smallest}[iscsi]\n[[target]]\nname = "iqn.2024-01.org.example:t"\nluns = [{ lun = 0, device = "d9" }]\n`,
    'CONFIG_INVALID: gantry.toml:9: there is no [[device]] named "d9".',
  ],
  [
    "a portal with a name for an address",
    `${smallest}[iscsi]\nportals = ["localhost:3260"]\n`,
    'CONFIG_INVALID: gantry.toml:7: `iscsi.portals[0]` must be "address:port" with a numeric address, such as "127.0.0.1:3260", got "localhost:3260".',
  ],
  [
    "a target without portals",
    `${smallest}[[target]]\nname = "iqn.2024-01.org.example:t"\n`,
    "CONFIG_INVALID: gantry.toml:6: [[target]] needs a table [iscsi], which says where to listen.",
  ],
  [
    "an initiator in a zone that is no iSCSI name",
    `${smallest}[[zone]]\nname = "z"\ninitiators = ["server-7"]\ndevices = []\n`,
    'CONFIG_INVALID: gantry.toml:8: `zone[0].initiators[0]` must be an iSCSI name or "mover", got "server-7".',
  ],
];
for (const [title, text, expected] of wrong) {
  test(`refused with its line: ${title}`, (t) => t.is(complaint(text), expected));
}

test("what is no TOML is refused with its line", (t) => {
  t.regex(complaint(`${smallest}x = = 1\n`), /^CONFIG_SYNTAX: gantry.toml:6: /);
});

test("all problems are told at once, in line order", (t) => {
  const lines = complaint('[bridge]\nid = "?"\nstate_dir = ""\n[control]\nurl = "x"\n').split("\n");
  t.is(lines.length, 3);
});

/** Every key name that the schema knows. */
function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  const node = schema as {
    entries?: Record<string, unknown>;
    wrapped?: unknown;
    item?: unknown;
    options?: unknown;
    pipe?: unknown[];
  };
  if (node.entries !== undefined) {
    for (const [key, inner] of Object.entries(node.entries)) {
      found.add(key);
      keysOf(inner, found);
    }
  }
  for (const inner of [node.wrapped, node.item]) if (inner !== undefined) keysOf(inner, found);
  if (Array.isArray(node.options))
    for (const inner of node.options) if (typeof inner === "object") keysOf(inner, found);
  return found;
}

test("CONFIGURATION.md documents every key, and no other", (t) => {
  const text = readFileSync("CONFIGURATION.md", "utf8");
  const documented = new Set<string>();
  for (const cell of text.matchAll(/^\| (`[^|]+) \|/gm))
    for (const name of (cell[1] ?? "").matchAll(/`(\w+)`/g)) documented.add(name[1] ?? "");
  const inTables = new Set([
    "bridge",
    "memory",
    "control",
    "keys",
    "jobs",
    "shell",
    "board",
    "log",
    "device",
    "iscsi",
    "target",
    "lio",
    "zone",
    "lun",
    "initiator",
    "user",
    "secret_file",
    "kid",
    "issuer",
    "public_key",
    "from",
    "to",
  ]);
  const known = keysOf(configSchema);
  t.deepEqual(
    [...known].filter((key) => !documented.has(key) && !inTables.has(key)),
    [],
  );
  t.deepEqual(
    [...documented].filter((key) => !known.has(key)),
    [],
  );
  t.true(v.is(configSchema, parseConfig(smallest, "x")));
});
