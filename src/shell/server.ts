// The daemon's end of the local socket. Whoever may open the socket (its owner and group) may ask; nothing that
// is asked here can stop data that is moving, except by the verbs that say so.
import { chmodSync, existsSync, lstatSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import { LINE_MAX, type ShellAnswer, type ShellRequest, toLine } from "./protocol.js";
import { type ShellRoom, VERBS } from "./verbs.js";

export interface ShellServer {
  stop(): Promise<void>;
}

/** Characters of a refusal: what was asked may be long, and is in it. */
const SHOWN_MAX = 1000;

/** Throws SHELL_SOCKET when another daemon has the socket, or it cannot be made. */
export async function startShell(path: string, room: ShellRoom, log: Logger): Promise<ShellServer> {
  await removeStale(path);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", (error) => log.debug({ error }, "a shell went away"));
    serve(socket, room);
  });
  await listen(server, path);
  chmodSync(path, 0o660);
  return {
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
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
function serve(socket: Socket, room: ShellRoom): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_MAX) socket.destroy();
    if (lines.length === 0 || socket.destroyed) return;
    socket.pause();
    void answerAll(socket, lines, room).then(() => socket.resume());
  });
}

async function answerAll(socket: Socket, lines: readonly string[], room: ShellRoom): Promise<void> {
  for (const line of lines) {
    if (socket.destroyed) return;
    if (socket.write(await answerLine(line, room))) continue;
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
async function answerLine(line: string, room: ShellRoom): Promise<string> {
  try {
    const text = toLine(await answer(line, room));
    if (Buffer.byteLength(text) <= LINE_MAX) return text;
    throw new Error(`the answer has more than ${LINE_MAX} bytes`);
  } catch (error) {
    return toLine({ ok: false, error: { code: "INTERNAL", message: messageOf(error) } });
  }
}

/** Carries one request out. Never rejects. */
export async function answer(line: string, room: ShellRoom): Promise<ShellAnswer> {
  try {
    const { verb, args } = parse(line);
    const run = VERBS.get(verb);
    if (run === undefined)
      throw new GantryError("SHELL_VERB", `There is no verb "${verb.slice(0, 60)}"; \`gantry --help\` lists them.`);
    return { ok: true, result: await run(room, args) };
  } catch (error) {
    const message = messageOf(error);
    const short = message.length > SHOWN_MAX ? `${message.slice(0, SHOWN_MAX)}…` : message;
    return { ok: false, error: { code: isGantryError(error) ? error.code : "INTERNAL", message: short } };
  }
}

function parse(line: string): ShellRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new GantryError("SHELL_VERB", "A request must be one line of JSON.", { cause: error });
  }
  const { verb, args } = (value ?? {}) as { verb?: unknown; args?: unknown };
  if (typeof verb !== "string" || !Array.isArray(args) || !args.every((arg) => typeof arg === "string")) {
    throw new GantryError("SHELL_VERB", "A request needs `verb` (text) and `args` (a list of text).");
  }
  return { verb, args };
}
