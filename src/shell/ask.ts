// The client's end of the local socket: one connection for each request. Which socket can be opened decides who one is.
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import { messageOf } from "../sys/errors.js";
import type { Row } from "../sys/text.js";
import { LINE_MAX, type ShellAnswer, toLine } from "./protocol.js";
import type { Role } from "./verb.js";

/** Exit codes of `gantry`: 0 done, and these. */
export const EXIT = { REFUSED: 1, USE: 2, AWAY: 3, INTERRUPTED: 130 } as const;

/** What ends a verb before its end; code and message for people and scripts. */
export class ShellError extends Error {
  readonly code: string;
  readonly exit: number;

  constructor(exit: number, code: string, message: string) {
    super(message);
    this.code = code;
    this.exit = exit;
  }
}

type Page = Readonly<Record<string, readonly Row[]>> & { readonly more: boolean };

/** A verb whose answer comes in pages: where the rows are, and by what the next page begins. */
const PAGED: Readonly<Record<string, { readonly rows: string; readonly id: string }>> = {
  "show keys": { rows: "keys", id: "keyId" },
  "show jobs": { rows: "jobs", id: "jobId" },
};

export interface AskOptions {
  /** Of administrators; that of technicians is beside it, or said. */
  readonly socket: string;
  readonly lookSocket?: string;
  /** Only this one's socket. */
  readonly role?: Role;
}

export class Asker {
  readonly #options: AskOptions;

  constructor(options: AskOptions) {
    this.#options = options;
  }

  /** All pages of an answer that comes in pages. @throws ShellError */
  async all(verb: string, args: readonly string[], options: Options = {}, signal?: AbortSignal): Promise<unknown> {
    const paged = PAGED[verb];
    if (paged === undefined) return this.ask(verb, args, options, signal);
    const rows = new Map<string, Row>();
    for (let after: string[] = []; ; ) {
      const page = (await this.ask(verb, after, {}, signal)) as Page;
      const before = rows.size;
      for (const row of page[paged.rows] ?? []) rows.set(String(row[paged.id]), row);
      const last = page[paged.rows]?.at(-1);
      // A page that begins anew, because its job was forgotten meanwhile, brings nothing at some time.
      if (!page.more || last === undefined || rows.size === before) return [...rows.values()];
      after = [String(last[paged.id])];
    }
  }

  /** @throws ShellError */
  async ask(verb: string, args: readonly string[], options: Options = {}, signal?: AbortSignal): Promise<unknown> {
    const answer = await this.#request(toLine({ verb, args, options }), signal);
    if (answer.ok) return answer.result;
    throw new ShellError(EXIT.REFUSED, answer.error.code, answer.error.message);
  }

  async #request(line: string, signal?: AbortSignal): Promise<ShellAnswer> {
    const [first, ...others] = this.#sockets();
    let why: unknown;
    for (const path of [first, ...others]) {
      try {
        return await exchange(path, line, signal);
      } catch (error) {
        if (signal?.aborted === true) throw new ShellError(EXIT.INTERRUPTED, "INTERRUPTED", "interrupted");
        // What the first socket says is what matters, but that one has no right to it.
        why = why === undefined || codeOf(why) === "EACCES" ? error : why;
        if (!(error instanceof Unreachable)) break;
      }
    }
    const reason = messageOf(why instanceof Unreachable ? why.cause : why);
    const help =
      codeOf(why) === "EACCES"
        ? "Become a member of the group that may (ls -l says which)."
        : "Is gantryd running? Another socket: --socket.";
    throw new ShellError(EXIT.AWAY, "SHELL_SOCKET", `The daemon cannot be asked over ${first}: ${reason}. ${help}`);
  }

  #sockets(): [string, ...string[]] {
    const { socket, role, lookSocket = join(dirname(socket), "gantry-look.sock") } = this.#options;
    if (role === "technician") return [lookSocket];
    return role === "administrator" ? [socket] : [socket, lookSocket];
  }
}

type Options = Readonly<Record<string, string>>;

/** Nothing was asked yet: another socket may be tried. */
class Unreachable extends Error {}

const codeOf = (error: unknown): unknown =>
  (error instanceof Unreachable ? (error.cause as { code?: unknown }) : (error as { code?: unknown })).code;

function exchange(path: string, line: string, signal?: AbortSignal): Promise<ShellAnswer> {
  return new Promise((resolve, reject) => {
    let text = "";
    let asked = false;
    const socket = createConnection({ path, ...(signal === undefined ? {} : { signal }) }, () => {
      asked = true;
      socket.write(line);
    });
    socket.setEncoding("utf8");
    socket.on("error", (error) => reject(asked ? error : new Unreachable("", { cause: error })));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > LINE_MAX) reject(new Error("its answer is too long"));
      if (!text.endsWith("\n")) return;
      socket.destroy();
      resolve(JSON.parse(text) as ShellAnswer);
    });
    socket.on("close", () => reject(new Error("it closed the connection")));
  });
}
