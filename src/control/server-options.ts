// From a URL and file names, as people write them, to what the link needs.
import { readFileSync } from "node:fs";
import type { ServerOptions } from "./link.js";

export interface ServerChoice {
  /** mqtt://host[:1883] or mqtts://host[:8883]. */
  readonly url: string;
  readonly clientId: string;
  /** PEM files: who may vouch for the server; our certificate and its key. */
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly username?: string | undefined;
  /** File whose first line is the password. */
  readonly passwordFile?: string | undefined;
  readonly keepaliveS?: number;
}

/** Throws when a file cannot be read or the URL is none. */
export function readServerOptions(choice: ServerChoice): ServerOptions {
  const url = new URL(choice.url);
  const secure = url.protocol === "mqtts:";
  const file = (path: string | undefined): Buffer | undefined => (path === undefined ? undefined : readFileSync(path));
  const [ca, cert, key] = [file(choice.caFile), file(choice.certFile), file(choice.keyFile)];
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  const password = file(choice.passwordFile)?.toString("utf8").split("\n")[0];
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (secure ? 8883 : 1883) : Number(url.port),
    ...(secure ? { tls } : {}),
    clientId: choice.clientId,
    ...(choice.username === undefined ? {} : { username: choice.username }),
    ...(password === undefined ? {} : { password }),
    ...(choice.keepaliveS === undefined ? {} : { keepaliveS: choice.keepaliveS }),
  };
}
