// What comes from this machine: the configuration, the shell's socket, small texts.
import { Buffer } from "node:buffer";
import { issuerKey } from "../../../src/admit/issuer-key.js";
import { TrustedClock } from "../../../src/admit/trusted-clock.js";
import { toLine } from "../../../src/shell/protocol.js";
import type { ShellRoom } from "../../../src/shell/room.js";
import { answer } from "../../../src/shell/server.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { type ConfigProblem, parseConfig } from "../../../src/sys/config.js";
import { ERRORS, GantryError, isGantryError } from "../../../src/sys/errors.js";
import { LogRing } from "../../../src/sys/log-ring.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { parseHexText, toHex } from "../../../src/wire/hex.js";
import { must, type Target } from "../target.js";

const CONFIG = `[bridge]
id = "b-1"
state_dir = "/var/lib/gantry"
[memory]
arena_mib = 64
[control]
url = "mqtts://broker:8883"
ca_file = "/etc/ca.pem"
[keys]
issuers = [{ kid = "k1", issuer = "broker", public_key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
clock = "assume"
[jobs]
rate_windows = [{ from = "08:00", to = "18:00", mib_per_s = 50 }]
[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "/srv/disk.img"
[[device]]
name = "tape0"
type = "tape"
transport = "iscsi"
portal = "10.0.0.1:3260"
target = "iqn.x"
lun = 0
`;

const text = (input: Uint8Array): string => Buffer.from(input).toString("utf8");

const unknownJob = (jobId: string): never => {
  throw new GantryError("JOB_UNKNOWN", `There is no job ${jobId} here; it may have been forgotten.`);
};
/** A room in which there is nothing; the verbs' own work is for other tests. */
const ROOM = {
  jobs: {
    list: () => [],
    progress: unknownJob,
    cancel: async (jobId: string) => unknownJob(jobId),
    pause: async (jobId: string) => unknownJob(jobId),
    resume: async (jobId: string) => unknownJob(jobId),
  },
  bridgeId: "b-1",
  broker: () => ({ connected: false, sinceMs: 0 }),
  copies: { latest: () => ({ running: [], ended: [] }) },
  ring: { keys: () => [] },
  devices: { all: () => [], paths: () => [] },
  servers: { sessions: () => [], refusals: () => [], privileges: () => [], units: () => [] },
  reservations: { list: () => [] },
  jobsOn: () => [],
  logRing: new LogRing(),
  status: () => ({}),
  counters: () => ({}),
} as unknown as ShellRoom;

export const hostTargets: readonly Target[] = [
  {
    name: "config",
    codes: ["CONFIG_SYNTAX", "CONFIG_INVALID"],
    seeds: () => [
      Buffer.from('[bridge]\nid = "b"\n[constructor.prototype]\n"~run" = 1\n'),
      Buffer.from(CONFIG),
      Buffer.from("[bridge]\nid='b'\nstate_dir='/s'\n[control]\nurl='mqtt://h:1'\n"),
    ],
    run: (input) => {
      try {
        return parseConfig(text(input), "gantry.toml");
      } catch (error) {
        if (!isGantryError(error)) throw error;
        const problems = (error.details.problems ?? []) as readonly ConfigProblem[];
        const lines = text(input).split(/\r\n|\n|\r/).length;
        for (const { line } of problems) must(line >= 1 && line <= lines, "a complaint names a line that there is");
        throw error;
      }
    },
    proportion: 400,
  },
  {
    name: "shell-request",
    codes: [],
    seeds: () =>
      [
        ...["show system", "show jobs", "show job", "job cancel", "job pause", "show nothing", "show keys"],
        ...["greet", "names", "show log", "show tape", "show paths", "reservation clear", "reboot"],
      ].map((verb) =>
        Buffer.from(toLine({ verb, args: ["job-1", "100"], options: { last: "5", level: "warn", confirm: "x" } })),
      ),
    run: async (input) => {
      const said = await answer(text(input), ROOM);
      if (said.ok) return said.result;
      must(said.error.code in ERRORS && said.error.code !== "INTERNAL", `a defect: ${said.error.message}`);
      must(Buffer.byteLength(toLine(said)) < 4096, "a refusal is short, whatever was asked");
      return undefined;
    },
  },
  {
    name: "issuer-key",
    codes: ["KEY_ISSUER_INVALID"],
    seeds: () => [Buffer.from("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")],
    run: (input) => {
      const { publicKey } = issuerKey("k1", text(input));
      must(publicKey.asymmetricKeyType === "ed25519", "only Ed25519 keys are taken");
      return text(input);
    },
  },
  {
    name: "hex-text",
    codes: ["HEX_INVALID"],
    seeds: () => [Buffer.from("00 01 fe\n# comment\nAB"), Buffer.from("")],
    run: (input) => {
      const bytes = parseHexText(text(input));
      must(Buffer.compare(parseHexText(toHex(bytes)), bytes) === 0, "bytes do not come back");
      return bytes;
    },
  },
  {
    name: "remembered-time",
    codes: [],
    seeds: async () => {
      const store = new MemoryStore();
      const clock = new ManualClock(1_800_000_000_000);
      await new TrustedClock(clock, { mode: "assume", builtMs: 5 }, store, () => false).remember();
      return [...store.under([])].map(({ value }) => value);
    },
    run: async (input) => {
      const store = new MemoryStore();
      const made = new MemoryStore();
      const clock = new ManualClock(1_800_000_000_000);
      await new TrustedClock(clock, { mode: "assume", builtMs: 5 }, made, () => false).remember();
      for (const { key } of made.under([])) await store.put(key, input);
      const fault = new TrustedClock(clock, { mode: "synchronised", builtMs: 5 }, store, () => false).fault();
      must(fault === undefined || fault.length > 5, "why the time is not believed is said in words");
      return fault;
    },
  },
];
