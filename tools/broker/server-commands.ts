// gantry-broker server sessions, refusals; privilege list, move: the servers that a bridge stands before.
import type { Command } from "commander";
import { pick, type Row, table } from "../../src/sys/text.js";
import { print, withBridge } from "./common.js";
import type { BridgeSession } from "./session.js";

interface OnBridge {
  readonly bridge: string;
}

const SESSIONS = ["initiator", "target", "peer", "sinceMs"];
const REFUSALS = ["initiator", "device", "why", "command", "count", "lastMs"];
const PRIVILEGES = ["device", "writer", "sinceMs", "waiting", "moving"];

export function addServerCommands(program: Command): void {
  const on = (parent: Command, name: string, text: string): Command =>
    parent.command(name).description(text).requiredOption("--bridge <id>", "bridge to ask");
  const show = (
    command: Command,
    columns: readonly string[],
    ask: (session: BridgeSession) => Promise<readonly Row[]>,
  ): void => {
    command.action(async ({ bridge }: OnBridge, self: Command) => {
      const rows = await withBridge(self, bridge, ask);
      print(self, rows, () => table(pick(columns, rows)));
    });
  };
  const server = program.command("server").description("servers that are logged in to a bridge");
  show(
    on(server, "sessions", "who is logged in"),
    SESSIONS,
    async ({ client }) => (await client.send("session.list", {})).sessions,
  );
  show(
    on(server, "refusals", "who was refused what and why, the latest first"),
    REFUSALS,
    async ({ client }) => (await client.send("refusal.list", {})).refusals,
  );
  const privilege = program.command("privilege").description("who writes on the disks that servers share");
  show(
    on(privilege, "list", "who writes, and who else has a key to"),
    PRIVILEGES,
    async ({ client }) => (await client.send("privilege.list", {})).privileges,
  );
  on(privilege, "move <device> <from> <to>", "let another server write, at a command boundary").action(
    async (device: string, from: string, to: string, { bridge }: OnBridge, self: Command) => {
      const facts = await withBridge(self, bridge, ({ client }) => client.send("privilege.move", { device, from, to }));
      print(self, facts.privilege, () => `${to} writes on ${device} now.`);
    },
  );
}
