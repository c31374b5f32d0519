// From the configuration to the terms of the rooms that need it.
import type { ServerOptions } from "./control/link.js";
import { readServerOptions } from "./control/server-options.js";
import type { Config } from "./sys/config.js";

/** How to reach the MQTT server. Reads certificates and the password; throws when a file cannot be read. */
export function serverOptions({ control, bridge }: Config): ServerOptions {
  return readServerOptions({
    url: control.url,
    clientId: control.client_id ?? `gantry-${bridge.id}`,
    caFile: control.ca_file,
    certFile: control.cert_file,
    keyFile: control.key_file,
    username: control.username,
    passwordFile: control.password_file,
    keepaliveS: control.keepalive_s,
  });
}

/** Names of what differs and is only taken over by a restart. */
export function waitForRestart(now: Config, next: Config): readonly string[] {
  const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  const tables = ["bridge", "memory", "control", "shell", "device"] as const;
  const waiting: string[] = tables.filter((table) => differ(now[table], next[table]));
  for (const key of ["concurrent", "max_list_mib", "list_timeout_s"] as const) {
    if (now.jobs[key] !== next.jobs[key]) waiting.push(`jobs.${key}`);
  }
  for (const key of ["clock", "leeway_s", "max_lifetime_h"] as const) {
    if (now.keys[key] !== next.keys[key]) waiting.push(`keys.${key}`);
  }
  return waiting;
}
