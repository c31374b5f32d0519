// Reading the configuration: one TOML file, checked whole before anything starts. Every complaint names the
// line, the key and what it must be; all complaints come at once, not one at a time.
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { checkFabric } from "./config-fabric.js";
import { type Config, configSchema } from "./config-schema.js";
import { GantryError, messageOf } from "./errors.js";
import { parseToml, type TomlDocument } from "./toml.js";

export type { Config, DeviceConfig } from "./config-schema.js";

export interface ConfigProblem {
  readonly line: number;
  readonly key: string;
  readonly message: string;
}

/** What is more is in `details` only. */
const PROBLEMS_SHOWN = 50;

/** Throws CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID (details.problems: ConfigProblem[]). */
export function readConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new GantryError("CONFIG_UNREADABLE", `The configuration ${path} cannot be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  return parseConfig(text, path);
}

export function parseConfig(text: string, fileName: string): Config {
  const document = parseToml(text, fileName);
  const result = v.safeParse(configSchema, document.value);
  const problems = result.success
    ? crossChecks(result.output, document)
    : result.issues.map((issue) => describe(issue, document));
  if (result.success && problems.length === 0) return result.output;
  problems.sort((a, b) => a.line - b.line);
  const sentences = problems
    .slice(0, PROBLEMS_SHOWN)
    .map((problem) => `${fileName}:${problem.line}: ${problem.message}`);
  if (problems.length > PROBLEMS_SHOWN) sentences.push(`… and ${problems.length - PROBLEMS_SHOWN} more problems.`);
  throw new GantryError("CONFIG_INVALID", sentences.join("\n"), { details: { file: fileName, problems } });
}

function describe(issue: v.BaseIssue<unknown>, document: TomlDocument): ConfigProblem {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const key = keyName(path);
  const line = document.lineOf(path);
  const given = issue.received === "undefined" ? undefined : issue.received;
  if (issue.type === "strict_object" && issue.expected === "never") {
    return { line, key, message: `\`${key}\` is no key that Gantry knows; remove it or mend its spelling.` };
  }
  if (given === undefined && issue.input === undefined) return { line, key, message: `\`${key}\` is missing.` };
  if (issue.type === "strict_object") return { line, key, message: `\`${key}\` must be a table, got ${given}.` };
  return { line, key, message: `\`${key}\` ${issue.message}, got ${given}.` };
}

/** a.b[2].c, with devices by their number in the file. */
function keyName(path: readonly (string | number)[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === "number") return `${name}[${part}]`;
    return name === "" ? part : `${name}.${part}`;
  }, "");
}

/** What one key alone cannot tell. */
function crossChecks(config: Config, document: TomlDocument): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const complain = (path: (string | number)[], message: string): void => {
    problems.push({ line: document.lineOf(path), key: keyName(path), message });
  };
  const seen = new Map<string, number>();
  config.device.forEach((device, index) => {
    const first = seen.get(device.name);
    if (first !== undefined) {
      complain(
        ["device", index, "name"],
        `device name "${device.name}" is used twice (first on line ${document.lineOf(["device", first, "name"])}).`,
      );
    } else seen.set(device.name, index);
    if (device.transport === "sg" && (device.path === undefined) === (device.identity === undefined)) {
      complain(
        ["device", index, device.path === undefined ? "transport" : "identity"],
        "a device of transport sg has either a `path` or an `identity`; give one of them.",
      );
    }
    if (device.transport === "iscsi" && (device.chap_user === undefined) !== (device.chap_secret_file === undefined)) {
      complain(["device", index, "chap_user"], "`chap_user` and `chap_secret_file` go together; give both or neither.");
    }
    if (device.transport === "iscsi" && device.target_chap_user !== undefined && device.chap_user === undefined) {
      complain(["device", index, "target_chap_user"], "mutual CHAP needs `chap_user` and `chap_secret_file` as well.");
    }
  });
  checkFabric(config, complain);
  const { cert_file, key_file, url } = config.control;
  if ((cert_file === undefined) !== (key_file === undefined)) {
    complain(["control", "cert_file"], "`control.cert_file` and `control.key_file` go together; give both or neither.");
  }
  if (url.startsWith("mqtt://") && (cert_file !== undefined || config.control.ca_file !== undefined)) {
    complain(
      ["control", "url"],
      "`control.url` is mqtt:// but certificates are given; write mqtts:// so that they are used.",
    );
  }
  const blockBytes = config.jobs.tape_block_kib * 1024;
  const ring = (config.memory.arena_mib * 1024 * 1024) / config.jobs.concurrent;
  if (ring < blockBytes * 4) {
    complain(
      ["memory", "arena_mib"],
      `\`memory.arena_mib\` divided by \`jobs.concurrent\` must hold at least 4 tape blocks of ${config.jobs.tape_block_kib} KiB; raise it.`,
    );
  }
  return problems;
}
