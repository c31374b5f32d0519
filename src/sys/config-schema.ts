// What may stand in the configuration file: every key, its type, range and default. CONFIGURATION.md has the
// same keys with their consequences; a test compares the two.
import * as v from "valibot";
import { iscsiSchema, lioSchema, targetSchema, zoneSchema } from "./config-fabric.js";

const text = (max = 255) =>
  v.pipe(
    v.string("must be text"),
    v.minLength(1, "must not be empty"),
    v.maxLength(max, `must have at most ${max} characters`),
  );
const name = v.pipe(
  v.string("must be text"),
  v.regex(/^[A-Za-z0-9._:-]{1,64}$/, "must be 1 to 64 letters, digits, '.', '_', ':' or '-'"),
);
const whole = (min: number, max: number) =>
  v.pipe(
    v.number("must be a number"),
    v.integer("must be a whole number"),
    v.minValue(min, `must be at least ${min}`),
    v.maxValue(max, `must be at most ${max}`),
  );
const flag = v.boolean("must be true or false");
const hour = v.pipe(v.string("must be text"), v.regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day, "HH:MM"'));

const bridge = v.strictObject({
  id: name,
  state_dir: text(4000),
});

const memory = v.strictObject({
  arena_mib: v.optional(whole(8, 65536), 64),
  copies_mib: v.optional(whole(8, 65536), 32),
});

const control = v.strictObject({
  url: v.pipe(
    v.string("must be text"),
    v.regex(/^(mqtt|mqtts):\/\/[^\s/]+$/, 'must look like "mqtt://host:1883" or "mqtts://host:8883"'),
  ),
  client_id: v.optional(text(64)),
  username: v.optional(text()),
  password_file: v.optional(text(4000)),
  ca_file: v.optional(text(4000)),
  cert_file: v.optional(text(4000)),
  key_file: v.optional(text(4000)),
  keepalive_s: v.optional(whole(5, 3600), 30),
});

const issuer = v.strictObject({
  kid: name,
  issuer: v.optional(name, "broker"),
  public_key: v.pipe(
    v.string("must be text"),
    v.regex(
      /^[A-Za-z0-9_-]{43}$/,
      "must be an Ed25519 public key: 32 bytes in base64url without padding, 43 characters",
    ),
  ),
});

const keys = v.strictObject({
  issuers: v.optional(v.array(issuer, "must be a list of tables with kid and public_key"), []),
  clock: v.optional(v.picklist(["synchronised", "assume"], 'must be "synchronised" or "assume"'), "synchronised"),
  leeway_s: v.optional(whole(0, 3600), 0),
  max_lifetime_h: v.optional(whole(1, 87600), 24 * 31),
});

const rateWindow = v.strictObject({ from: hour, to: hour, mib_per_s: whole(1, 1_000_000) });

const jobs = v.strictObject({
  concurrent: v.optional(whole(1, 8), 2),
  tape_block_kib: v.optional(whole(1, 8192), 256),
  checkpoint_mib: v.optional(whole(1, 1_048_576), 1024),
  checkpoint_s: v.optional(whole(1, 86400), 60),
  io_kib: v.optional(whole(4, 8192), 1024),
  depth: v.optional(whole(1, 256), 16),
  mib_per_s: v.optional(whole(0, 1_000_000), 0),
  rate_windows: v.optional(v.array(rateWindow, "must be a list of tables with from, to and mib_per_s"), []),
  command_timeout_s: v.optional(whole(1, 3600), 30),
  tape_timeout_s: v.optional(whole(10, 36000), 900),
  resume_limit: v.optional(whole(0, 1000), 5),
  keep_reports: v.optional(whole(1, 100_000), 1000),
  max_list_mib: v.optional(whole(1, 65536), 1024),
  max_manifest_mib: v.optional(whole(1, 1_048_576), 4096),
  list_timeout_s: v.optional(whole(10, 604_800), 3600),
});

const shell = v.strictObject({
  socket: v.optional(text(100)),
  look_socket: v.optional(text(100)),
  technician_group: v.optional(
    v.pipe(v.string("must be text"), v.regex(/^[a-z_][a-z0-9_-]{0,31}$/, "must be the name of a group")),
  ),
});

/** A program and its first arguments; it is run as it is, without a shell. */
const program = v.pipe(
  v.array(text(4000), "must be a list: the program's path and its arguments"),
  v.minLength(1, "must name a program"),
  v.maxLength(16, "must have at most 16 words"),
  v.check((words) => words[0]?.startsWith("/") === true, "must begin with the whole path of a program"),
);
const board = v.strictObject({ update: v.optional(program), reboot: v.optional(program) });

const common = {
  name,
  writers: v.optional(v.picklist(["one", "many"], 'must be "one" or "many"'), "one"),
  tell_readers: v.optional(flag, false),
};

const emulatedType = v.picklist(["disk", "tape"], 'must be "disk" or "tape"');
/** A changer is for servers only: whoever holds its key drives the robot. */
const realType = v.picklist(["disk", "tape", "changer"], 'must be "disk", "tape" or "changer"');

const virtualDevice = v.strictObject({
  ...common,
  type: emulatedType,
  transport: v.literal("virtual"),
  path: text(4000),
  block_bytes: v.optional(v.picklist([512, 4096], "must be 512 or 4096"), 512),
  size_mib: v.optional(whole(1, 1_073_741_824)),
  thin: v.optional(flag, true),
  read_only: v.optional(flag, false),
  volatile_cache: v.optional(flag, false),
  removable: v.optional(flag, false),
  physical_block_bytes: v.optional(v.picklist([512, 4096], "must be 512 or 4096"), 4096),
  pace_kib_s: v.optional(whole(0, 1_073_741_824), 0),
  serial: v.optional(text(32)),
  cartridge: v.optional(name),
  capacity_mib: v.optional(whole(0, 1_073_741_824), 0),
  early_warning_kib: v.optional(whole(0, 1_073_741_824), 0),
});

const identity = v.pipe(
  text(),
  v.regex(
    /^(naa\.([0-9a-fA-F]{16}){1,2}|eui\.([0-9a-fA-F]{16}|[0-9a-fA-F]{24}|[0-9a-fA-F]{32})|t10\.[!-~][ -~]*|iqn\.[!-~]+|serial\.[!-\-/-~][ -\-/-~]{0,7}\.[!-~][ -~]*)$/,
    'must be "naa.…" or "eui.…" with 16 to 32 hexadecimal digits, "t10.VENDOR…", "iqn.…" or "serial.VENDOR.NUMBER"; `sg_vpd -p di` or `lsscsi -U` show it',
  ),
);

const sgDevice = v.strictObject({
  ...common,
  type: realType,
  transport: v.literal("sg"),
  path: v.optional(v.pipe(text(4000), v.regex(/^\/dev\//, "must be a node below /dev, such as /dev/sg3"))),
  identity: v.optional(identity),
  direct_io: v.optional(flag, true),
  max_io_kib: v.optional(whole(4, 16384), 1024),
});

const iscsiDevice = v.strictObject({
  ...common,
  type: realType,
  transport: v.literal("iscsi"),
  portal: v.pipe(
    text(),
    v.regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be "address:port", such as "127.0.0.1:3260"'),
  ),
  target: text(223),
  lun: whole(0, 16383),
  initiator: v.optional(text(223), "iqn.2024-01.org.gantry:mover"),
  chap_user: v.optional(text()),
  chap_secret_file: v.optional(text(4000)),
  target_chap_user: v.optional(text()),
  target_chap_secret_file: v.optional(text(4000)),
  header_digest: v.optional(flag, false),
  connect_timeout_s: v.optional(whole(1, 600), 10),
});

export const deviceSchema = v.variant(
  "transport",
  [virtualDevice, sgDevice, iscsiDevice],
  'must be "virtual", "sg" or "iscsi"',
);

export const configSchema = v.strictObject({
  bridge,
  memory: v.optional(memory, {}),
  control,
  keys: v.optional(keys, {}),
  jobs: v.optional(jobs, {}),
  shell: v.optional(shell, {}),
  board: v.optional(board, {}),
  log: v.optional(
    v.strictObject({
      level: v.optional(
        v.picklist(["trace", "debug", "info", "warn", "error"], 'must be "trace", "debug", "info", "warn" or "error"'),
        "info",
      ),
    }),
    {},
  ),
  device: v.optional(v.array(deviceSchema, "must be written as [[device]] tables"), []),
  iscsi: v.optional(iscsiSchema),
  target: v.optional(v.array(targetSchema, "must be written as [[target]] tables"), []),
  lio: v.optional(v.array(lioSchema, "must be written as [[lio]] tables"), []),
  zone: v.optional(v.array(zoneSchema, "must be written as [[zone]] tables"), []),
});

export type Config = v.InferOutput<typeof configSchema>;
export type DeviceConfig = v.InferOutput<typeof deviceSchema>;
