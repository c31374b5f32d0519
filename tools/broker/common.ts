// What the broker's commands share: global options, the session with a bridge, printing.
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { readServerOptions } from "../../src/control/server-options.js";
import { BrokerHome, toJson } from "./home.js";
import { BridgeSession } from "./session.js";

export interface GlobalOptions {
  readonly home: string;
  readonly url: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly username?: string;
  readonly passwordFile?: string;
  readonly wait: number;
  readonly json?: boolean;
}

export const globals = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>();
export const homeOf = (command: Command): BrokerHome => new BrokerHome(globals(command).home);

/** Connects to a bridge, lets `use` work, and disconnects whatever happens. */
export async function withBridge<T>(
  command: Command,
  bridge: string,
  use: (session: BridgeSession) => Promise<T>,
): Promise<T> {
  const { url, ca, cert, key, username, passwordFile, wait } = globals(command);
  const clientId = `broker-${randomBytes(6).toString("hex")}`;
  const server = readServerOptions({ url, clientId, caFile: ca, certFile: cert, keyFile: key, username, passwordFile });
  const session = new BridgeSession(homeOf(command), bridge, server);
  try {
    await session.connect(wait * 1000);
    return await use(session);
  } finally {
    await session.close();
  }
}

/** JSON when asked for, else the text. */
export function print(command: Command, value: unknown, text: () => string): void {
  console.log(globals(command).json === true ? toJson(value) : text());
}

/** "90m", "12h", "7d", "45s" → milliseconds. Throws on anything else. */
export function duration(text: string): number {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text);
  const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
  const unit = match?.[2] as keyof typeof units | undefined;
  if (match === null || unit === undefined)
    throw new RangeError(`"${text}" is no duration: write 45s, 90m, 12h or 7d.`);
  return Number(match[1]) * units[unit];
}
