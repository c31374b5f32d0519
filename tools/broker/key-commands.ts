// gantry-broker init, key issue, key renew, key revoke, key list.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { decodeSign1 } from "../../src/admit/cose.js";
import { type ChapSecret, readSecret } from "../../src/admit/credentials.js";
import type { Signed } from "../../src/admit/issuer.js";
import {
  decodeKey,
  holderText,
  type Key,
  parseHolder,
  parseSelector,
  RIGHTS,
  type Right,
  selectorText,
} from "../../src/admit/key.js";
import type { BridgeClient } from "../../src/control/client.js";
import { GantryError } from "../../src/sys/errors.js";
import { KEY_COLUMNS, pick, type Row, table } from "../../src/sys/text.js";
import { fromHex, toHex } from "../../src/wire/hex.js";
import { duration, homeOf, print, withBridge } from "./common.js";
import type { BrokerHome } from "./home.js";
import { KEY_LOG } from "./session.js";

interface IssueOptions {
  readonly bridge: string;
  readonly holder: string;
  readonly device: readonly string[];
  readonly right: readonly string[];
  readonly expires: string;
  readonly priority: number;
  readonly cartridge?: readonly string[];
  readonly install?: boolean;
  readonly chapUser?: string;
  readonly chapSecretFile?: string;
}

export function addKeyCommands(program: Command): void {
  program
    .command("init")
    .description("make the broker's key pair; prints the line for gantryd's configuration")
    .option("--name <name>", "name of this broker (issuer)", "broker")
    .action((options: { name: string }, command: Command) => init(options.name, command));
  const key = program.command("key").description("issue, renew, revoke and list keys");
  key
    .command("issue")
    .description("sign a key, and install it on its bridge with --install")
    .requiredOption("--bridge <id>", "bridge that it is for")
    .requiredOption("--device <names...>", "device names, or class:disk, class:tape")
    .requiredOption("--right <rights...>", `of ${RIGHTS.join(", ")}`)
    .option("--holder <who>", '"mover", "job:<id>" or "initiator:<name>"', "mover")
    .option("--expires <duration>", "life from now: 45s, 90m, 12h, 7d", "24h")
    .option("--priority <n>", "highest priority of a job under it, 0-255", Number, 100)
    .option("--cartridge <names...>", 'cartridges that it covers; "A0*" for all that begin so')
    .option("--chap-user <name>", "CHAP name that comes with the key of an initiator (with --install)")
    .option("--chap-secret-file <file>", "file whose first line is its secret")
    .option("--install", "send it to the bridge")
    .action((options: IssueOptions, command: Command) => issueCommand(options, command));
  key
    .command("renew <id>")
    .description("sign and install a key that takes an issued key's place, also for running jobs")
    .option("--expires <duration>", "life from now", "24h")
    .action((id: string, options: { expires: string }, command: Command) => renew(id, options.expires, command));
  key
    .command("revoke [ids...]")
    .description("take keys back, by id or all older ones (--epoch)")
    .requiredOption("--bridge <id>", "bridge that has them")
    .option("--epoch", "all keys issued until now")
    .action((ids: string[], options: { bridge: string; epoch?: boolean }, command: Command) =>
      revoke(ids, options, command),
    );
  key
    .command("list")
    .description("keys installed on a bridge")
    .requiredOption("--bridge <id>", "bridge to ask")
    .action((options: { bridge: string }, command: Command) => list(options.bridge, command));
}

function init(name: string, command: Command): void {
  const facts = homeOf(command).init(name);
  const line = `issuers = [{ kid = "${facts.kid}", issuer = "${facts.name}", public_key = "${facts.publicKey}" }]`;
  print(
    command,
    facts,
    () => `Key pair made in ${homeOf(command).directory}. In gantryd's configuration:\n\n[keys]\n${line}`,
  );
}

/** Signs a key; nothing is sent. */
export function issueKey(
  home: BrokerHome,
  want: Pick<IssueOptions, "bridge" | "holder" | "device" | "right" | "priority" | "cartridge"> & {
    readonly lifeMs: number;
    readonly chap?: ChapSecret | undefined;
  },
): Signed<Key> {
  const now = Date.now();
  const issuer = home.issuer();
  return issuer.issue(
    {
      holder: parseHolder(want.holder),
      audience: [want.bridge],
      devices: want.device.map(parseSelector),
      rights: want.right.map(parseRight),
      expiresMs: now + want.lifeMs,
      epoch: home.facts().epoch,
      priority: want.priority,
      ...(want.chap === undefined ? {} : { chap: issuer.seal(want.chap) }),
      ...(want.cartridge === undefined ? {} : { media: { cartridges: [...want.cartridge] } }),
    },
    now,
  );
}

async function issueCommand(options: IssueOptions, command: Command): Promise<void> {
  const home = homeOf(command);
  const chap = chapOf(options);
  const key = issueKey(home, { ...options, lifeMs: duration(options.expires), chap });
  if (options.install === true) await withBridge(command, options.bridge, (session) => session.install(key, chap));
  else home.append(KEY_LOG, { atMs: Date.now(), bridge: options.bridge, ...key.content, token: key.token });
  print(command, { keyId: key.content.id, token: key.token, expiresMs: key.content.expiresMs }, () =>
    describe(key.content),
  );
}

/** The secret goes to the bridge and nowhere else: the broker's log has only its seal. */
function chapOf({ chapUser, chapSecretFile, install }: IssueOptions): ChapSecret | undefined {
  if (chapUser === undefined && chapSecretFile === undefined) return undefined;
  if (chapUser === undefined || chapSecretFile === undefined || install !== true) {
    throw new GantryError(
      "KEY_CHAP_WRONG",
      "Give --chap-user, --chap-secret-file and --install together: the secret is sent beside the key and kept nowhere here.",
    );
  }
  return { name: chapUser, secret: readSecret(readFileSync(chapSecretFile, "utf8"), chapSecretFile) };
}

async function renew(id: string, expires: string, command: Command): Promise<void> {
  const home = homeOf(command);
  const entry = [...home.entries(KEY_LOG)].find((logged) => logged.id === id);
  if (entry === undefined) throw new GantryError("KEY_UNKNOWN_HERE", `No key ${id} was issued from ${home.directory}.`);
  const old = decodeKey(decodeSign1(fromHex(String(entry.token))).payload);
  const key = home.issuer().renew(old, Date.now() + duration(expires), Date.now());
  await withBridge(command, String(entry.bridge), (session) => session.install(key));
  print(command, { keyId: key.content.id, expiresMs: key.content.expiresMs }, () => describe(key.content));
}

async function revoke(
  ids: readonly string[],
  { bridge, epoch }: { bridge: string; epoch?: boolean },
  command: Command,
): Promise<void> {
  if (ids.length === 0 && epoch !== true)
    throw new GantryError("KEY_UNKNOWN_HERE", "Name the keys to revoke, or give --epoch for all until now.");
  const home = homeOf(command);
  const next = home.facts().epoch + 1;
  // The epoch is raised here before the order goes out: a key issued in between must carry the new one.
  if (epoch === true) home.setEpoch(next);
  const order = home
    .issuer()
    .revoke({ audience: [bridge], ids: ids.map(fromHex), ...(epoch === true ? { epoch: next } : {}) }, Date.now());
  const { revoked } = await withBridge(command, bridge, (session) =>
    session.client.send("key.revoke", { order: order.token }),
  );
  print(command, { revoked, ...(epoch === true ? { epoch: next } : {}) }, () =>
    epoch === true ? `All keys of epochs before ${next} are revoked.` : `${revoked} keys are revoked.`,
  );
}

async function list(bridge: string, command: Command): Promise<void> {
  const keys = await withBridge(command, bridge, ({ client }) => allKeys(client));
  print(command, keys, () => table(pick(KEY_COLUMNS, keys)));
}

/** Page by page, in the order of their ids. */
export async function allKeys(client: Pick<BridgeClient, "send">): Promise<readonly Row[]> {
  const all: Row[] = [];
  for (let page = await client.send("key.list", {}); ; ) {
    all.push(...page.keys);
    const last = page.keys.at(-1);
    if (!page.more || last === undefined) return all;
    page = await client.send("key.list", { after: String(last.keyId) });
  }
}

function describe(key: Key): string {
  const until = new Date(key.expiresMs).toISOString();
  return `${toHex(key.id)}  ${holderText(key.holder)}  ${key.devices.map(selectorText).join(",")}  ${key.rights.join(",")}  until ${until}`;
}

function parseRight(text: string): Right {
  const right = RIGHTS.find((known) => known === text);
  if (right === undefined)
    throw new GantryError("KEY_MALFORMED", `"${text}" is no right; known are ${RIGHTS.join(", ")}.`);
  return right;
}
