// The shell that people sit in front of: a prompt that says where one is and as what, line editing, history, completion,
// pages. Whatever the line is, a key costs little more than its echo.
import { createInterface, type Interface } from "node:readline";
import type { ReadStream, WriteStream } from "node:tty";
import { type Asker, EXIT, ShellError } from "./ask.js";
import type { Client } from "./client.js";
import { completions } from "./complete.js";
import { wrap } from "./fit.js";
import { HISTORY_LINES, historyFile, readHistory, writeHistory } from "./history.js";
import { Keyboard } from "./keyboard.js";
import { leave } from "./leave.js";
import { LEAVE, runLine } from "./lines.js";
import { showPages } from "./pager.js";
import type { BrokerFacts } from "./room.js";
import type { Terminal } from "./terminal.js";
import type { NameKind, Role } from "./verb.js";

interface Greeting {
  readonly bridge: string;
  readonly role: Role;
  readonly broker: BrokerFacts;
}

export class InteractiveShell {
  readonly #asker: Asker;
  readonly #terminal: Terminal;
  readonly #output: WriteStream;
  readonly #keyboard: Keyboard;
  readonly #historyFile = historyFile();
  #history: string[];
  #editor: Interface | undefined;
  #greeting: Greeting | undefined;
  #left: () => void = () => {};
  /** A question is open, and is no line. */
  #asking: AbortController | undefined;

  constructor(asker: Asker, terminal: Terminal, input: ReadStream, output: WriteStream) {
    this.#asker = asker;
    this.#terminal = terminal;
    this.#output = output;
    this.#keyboard = new Keyboard(input);
    this.#history = readHistory(this.#historyFile);
  }

  /** Until somebody leaves. */
  async run(): Promise<void> {
    // readline looks at nothing else.
    if (this.#terminal.dumb) process.env.TERM = "dumb";
    const editor = createInterface({
      input: this.#keyboard.editor,
      output: this.#output,
      terminal: true,
      history: [...this.#history],
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        const owner = this.#keyboard.give({ kind: "verb", interrupt: () => {} });
        void this.#complete(line).then((found) => {
          done(null, found);
          this.#keyboard.give(owner);
        });
      },
    });
    this.#editor = editor;
    editor.on("history", (lines) => {
      // An answer is nothing that anybody wants back.
      if (this.#asking !== undefined) lines.shift();
      this.#history = lines;
    });
    editor.on("SIGINT", () => this.#forget());
    editor.on("line", (line) => void this.#line(line));
    editor.on("close", () => this.#left());
    // The line was cut, or the machine goes down: the history stays.
    for (const [signal, code] of [
      ["SIGHUP", 129],
      ["SIGTERM", 143],
    ] as const)
      process.on(signal, () => {
        writeHistory(this.#historyFile, this.#history);
        leave(code);
      });
    this.#keyboard.start();
    const left = new Promise<void>((resolve) => {
      this.#left = resolve;
    });
    this.#keyboard.give({ kind: "verb", interrupt: () => {} });
    await this.#prompt(true);
    await left;
    this.#keyboard.stop();
    writeHistory(this.#historyFile, this.#history);
    // Whoever comes after us begins on a line of his own.
    this.#output.write("\n");
  }

  /** Ctrl-C at the prompt: the line is not meant. */
  #forget(): void {
    this.#editor?.write(null, { ctrl: true, name: "e" });
    this.#editor?.write(null, { ctrl: true, name: "u" });
    this.#output.write("^C\n");
    if (this.#asking === undefined) this.#editor?.prompt();
    else this.#asking.abort();
  }

  async #line(line: string): Promise<void> {
    if (LEAVE.includes(line.trim())) {
      this.#editor?.close();
      return;
    }
    const stop = new AbortController();
    this.#keyboard.give({ kind: "verb", interrupt: () => stop.abort() });
    try {
      const code = await runLine(this.#client(stop.signal), line);
      if (code === EXIT.INTERRUPTED) this.#output.write("^C\n");
    } catch (error) {
      this.#output.write(`A defect of the shell: ${error instanceof Error ? (error.stack ?? "") : String(error)}\n`);
    }
    await this.#prompt(false);
  }

  async #prompt(first: boolean): Promise<void> {
    const before = this.#greeting;
    try {
      this.#greeting = (await this.#asker.ask("greet", [])) as Greeting;
    } catch (error) {
      this.#greeting = undefined;
      if (error instanceof ShellError && (first || before !== undefined))
        this.#output.write(`${wrap(error.message, this.#terminal.columns)}\n`);
    }
    const now = this.#greeting;
    if (first && now !== undefined) this.#output.write(`Gantry, bridge ${now.bridge}. ? for help.\n`);
    if (now !== undefined && now.broker.connected !== (before?.broker.connected ?? true))
      this.#output.write(`${wrap(brokerText(now.broker), this.#terminal.columns)}\n`);
    this.#editor?.setPrompt(promptOf(now));
    this.#editor?.prompt();
    this.#keyboard.give({ kind: "editor" });
  }

  #client(signal: AbortSignal): Client {
    const write = (text: string): void => {
      this.#output.write(text);
    };
    return {
      asker: this.#asker,
      terminal: this.#terminal,
      json: false,
      signal,
      write,
      note: (text) => write(`${wrap(text, this.#terminal.columns)}\n`),
      show: (text) => showPages(text, this.#terminal, this.#keyboard, write),
      question: (text) => this.#question(text),
    };
  }

  async #question(text: string): Promise<string> {
    const asking = new AbortController();
    this.#asking = asking;
    const typed = new Promise<string>((resolve) => {
      asking.signal.addEventListener("abort", () => resolve(""));
      this.#editor?.question(text, { signal: asking.signal }, resolve);
    });
    const owner = this.#keyboard.give({ kind: "editor" });
    try {
      return await typed;
    } finally {
      this.#asking = undefined;
      this.#keyboard.give(owner);
    }
  }

  async #complete(line: string): Promise<[string[], string]> {
    const last = /\S*$/.exec(line)?.[0] ?? "";
    const words = line.slice(0, line.length - last.length).split(/\s+/);
    try {
      const found = await completions(
        words.filter((word) => word !== ""),
        last,
        (kind) => namesOf(this.#asker, kind),
      );
      // The only one is done: what follows is another word.
      return [found.length === 1 && !found[0]?.endsWith("/") ? [`${found[0]} `] : found, last];
    } catch {
      return [[], last];
    }
  }
}

export const namesOf = async (asker: Asker, kind: NameKind): Promise<readonly string[]> =>
  (await asker.ask("names", [kind])) as readonly string[];

function promptOf(greeting: Greeting | undefined): string {
  if (greeting === undefined) return "(gantryd does not answer)> ";
  const { bridge, role, broker } = greeting;
  return `${bridge} ${role === "administrator" ? "admin" : "tech"}${broker.connected ? "" : " (broker away)"}> `;
}

export function brokerText({ connected, sinceMs, reason }: BrokerFacts): string {
  const since = new Date(sinceMs).toISOString().replace(/\.\d+Z$/, "Z");
  if (connected) return `The broker can be reached again since ${since}.`;
  const why = reason === undefined ? "" : ` (${reason})`;
  return `The broker is away since ${since}${why}; what the bridge was told before goes on.`;
}
