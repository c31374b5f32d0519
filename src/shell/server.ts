// The daemon's end of the local sockets, one for each role. Whoever may open a socket (its owner and group) has its role,
// whatever he says of himself: that is for the kernel to see to. Nothing that is asked here can stop data that is moving,
// except by the verbs that say so.
import { chmodSync, chownSync, existsSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import { HANDLERS } from "./handlers.js";
import { LINE_MAX, type ShellAnswer, type ShellRequest, toLine } from "./protocol.js";
import type { ShellRoom } from "./room.js";
import { CONFIRM_BRIDGE, mayDo, type Role, type Verb } from "./verb.js";
import { verbOf } from "./verb-table.js";

export interface ShellServer {
  stop(): Promise<void>;
}

/** Characters of a refusal: what was asked may be long, and is in it. */
const SHOWN_MAX = 1000;

export interface ShellSocket {
  readonly role: Role;
  /** Name of the group that may open it; absent: the daemon's. */
  readonly group?: string;
}

/** Throws SHELL_SOCKET when another daemon has the socket, or it cannot be made. */
export async function startShell(
  path: string,
  room: ShellRoom,
  log: Logger,
  { role, group }: ShellSocket = { role: "administrator" },
): Promise<ShellServer> {
  const gid = group === undefined ? undefined : groupId(group);
  await removeStale(path);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", (error) => log.debug({ error }, "a shell went away"));
    serve(socket, room, role);
  });
  await listen(server, path);
  if (gid !== undefined) give(path, gid, group ?? "");
  chmodSync(path, 0o660);
  return {
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** There is no getgrnam(3) in Node, and a bridge has its groups in the file. */
function groupId(name: string): number {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`));
  const gid = Number(line?.split(":")[2] ?? Number.NaN);
  if (Number.isInteger(gid)) return gid;
  throw new GantryError("SHELL_SOCKET", `There is no group "${name}" on this machine (\`shell.technician_group\`).`);
}

function give(path: string, gid: number, group: string): void {
  try {
    chownSync(path, -1, gid);
  } catch (error) {
    throw new GantryError(
      "SHELL_SOCKET",
      `The socket ${path} cannot be given to the group ${group}: ${messageOf(error)}. Make the daemon's user a member of it.`,
      { cause: error },
    );
  }
}

/** A socket file that a killed daemon left is in the way; one that somebody answers on is not ours to take. */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (!lstatSync(path).isSocket())
    throw new GantryError("SHELL_SOCKET", `${path} is there and is no socket; give \`shell.socket\` another name.`);
  if (alive)
    throw new GantryError(
      "SHELL_SOCKET",
      `Another gantryd answers on ${path}; stop it first, or give this one a state directory of its own.`,
    );
  unlinkSync(path);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new GantryError("SHELL_SOCKET", `The socket ${path} cannot be made: ${messageOf(error)}.`, { cause: error }),
      ),
    );
    server.listen(path, resolve);
  });
}

/** One request after the other, and no more read than answered: whoever asks without listening waits. */
function serve(socket: Socket, room: ShellRoom, role: Role): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_MAX) socket.destroy();
    if (lines.length === 0 || socket.destroyed) return;
    socket.pause();
    void answerAll(socket, lines, room, role).then(() => socket.resume());
  });
}

async function answerAll(socket: Socket, lines: readonly string[], room: ShellRoom, role: Role): Promise<void> {
  for (const line of lines) {
    if (socket.destroyed) return;
    if (socket.write(await answerLine(line, room, role))) continue;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.once("drain", done);
      socket.once("close", done);
    });
  }
}

/** Never rejects: an answer that cannot be written down, or is longer than the other side takes, is told as one. */
async function answerLine(line: string, room: ShellRoom, role: Role): Promise<string> {
  try {
    const text = toLine(await answer(line, room, role));
    if (Buffer.byteLength(text) <= LINE_MAX) return text;
    throw new Error(`the answer has more than ${LINE_MAX} bytes`);
  } catch (error) {
    return toLine({ ok: false, error: { code: "INTERNAL", message: messageOf(error) } });
  }
}

/** Carries one request out. Never rejects. */
export async function answer(line: string, room: ShellRoom, role: Role = "administrator"): Promise<ShellAnswer> {
  try {
    const { verb, args, options = {} } = parse(line);
    const run = HANDLERS.get(verb);
    if (run === undefined)
      throw new GantryError("SHELL_VERB", `There is no verb "${verb.slice(0, 60)}"; \`gantry --help\` lists them.`);
    const known = verbOf(verb);
    if (known !== undefined) check(known, room, args, options, role);
    return { ok: true, result: await run(room, { args, options, role }) };
  } catch (error) {
    const message = messageOf(error);
    const short = message.length > SHOWN_MAX ? `${message.slice(0, SHOWN_MAX)}…` : message;
    return { ok: false, error: { code: isGantryError(error) ? error.code : "INTERNAL", message: short } };
  }
}

function check(
  verb: Verb,
  room: ShellRoom,
  args: readonly string[],
  options: Readonly<Record<string, string>>,
  role: Role,
): void {
  if (!mayDo(role, verb))
    throw new GantryError(
      "SHELL_ROLE",
      `\`${verb.words}\` is for administrators, and this socket is for technicians, who look; ask an administrator.`,
    );
  const missing = (verb.args ?? []).find(({ optional }, index) => optional !== true && (args[index] ?? "") === "");
  if (missing !== undefined)
    throw new GantryError("SHELL_VERB", `\`${verb.words}\` needs ${missing.name}: ${missing.help}.`);
  const sure = confirmation(verb, room, args);
  if (sure === undefined || options.confirm === sure) return;
  throw new GantryError(
    "SHELL_CONFIRM",
    `\`${verb.words}\` cannot be taken back, or takes something from who uses it; say so with --confirm ${sure.slice(0, 64)}.`,
  );
}

/** Whoever is hit by it may be in the middle of writing: the name is to be said twice. */
function confirmation(verb: Verb, { bridgeId }: ShellRoom, args: readonly string[]): string | undefined {
  if (verb.confirm === undefined) return undefined;
  if (verb.confirm === CONFIRM_BRIDGE) return bridgeId;
  return args[(verb.args ?? []).findIndex(({ name }) => name === verb.confirm)] ?? "";
}

function parse(line: string): ShellRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new GantryError("SHELL_VERB", "A request must be one line of JSON.", { cause: error });
  }
  const { verb, args, options } = (value ?? {}) as { verb?: unknown; args?: unknown; options?: unknown };
  if (typeof verb !== "string" || !Array.isArray(args) || !args.every(isText)) {
    throw new GantryError("SHELL_VERB", "A request needs `verb` (text) and `args` (a list of text).");
  }
  if (options === undefined) return { verb, args };
  if (typeof options !== "object" || options === null || !Object.values(options).every(isText))
    throw new GantryError("SHELL_VERB", "`options` has to be an object with texts.");
  return { verb, args, options: Object.assign(Object.create(null) as Record<string, string>, options) };
}

const isText = (value: unknown): value is string => typeof value === "string";
