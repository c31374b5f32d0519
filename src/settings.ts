// From the configuration to the terms of the rooms that need it.
import { readFileSync } from "node:fs";
import type { ServerOptions } from "./control/link.js";
import type { Config } from "./sys/config.js";

/** How to reach the MQTT server. Reads certificates and the password; throws when a file cannot be read. */
export function serverOptions({ control, bridge }: Config): ServerOptions {
  const url = new URL(control.url);
  const read = (path: string | undefined): Buffer | undefined => (path === undefined ? undefined : readFileSync(path));
  const [ca, cert, key] = [read(control.ca_file), read(control.cert_file), read(control.key_file)];
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const password =
    control.password_file === undefined ? undefined : readFileSync(control.password_file, "utf8").split("\n")[0];
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (url.protocol === "mqtts:" ? 8883 : 1883) : Number(url.port),
    ...(url.protocol === "mqtts:" ? { tls } : {}),
    clientId: control.client_id ?? `gantry-${bridge.id}`,
    ...(control.username === undefined ? {} : { username: control.username }),
    ...(password === undefined ? {} : { password }),
    keepaliveS: control.keepalive_s,
  };
}

/** Names of what differs and is only taken over by a restart. */
export function waitForRestart(now: Config, next: Config): readonly string[] {
  const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  const tables = ["bridge", "memory", "control", "shell", "device"] as const;
  const waiting: string[] = tables.filter((table) => differ(now[table], next[table]));
  if (now.jobs.concurrent !== next.jobs.concurrent) waiting.push("jobs.concurrent");
  for (const key of ["clock", "leeway_s", "max_lifetime_h"] as const) {
    if (now.keys[key] !== next.keys[key]) waiting.push(`keys.${key}`);
  }
  return waiting;
}
