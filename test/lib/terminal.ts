// A program at a pseudo-terminal, as a person sits in front of it: keys go in, what is on the screen comes out. The
// terminal is python3's pty module, since Node has none.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** Copies standard input to the terminal and the terminal to standard output; ends as the program does. */
const BRIDGE = `
import fcntl, os, pty, select, struct, sys, termios
rows, columns, baud = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
pid, fd = pty.fork()
if pid == 0:
    # Set before the program looks.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    mode = termios.tcgetattr(0)
    mode[4] = mode[5] = getattr(termios, "B%d" % baud)
    termios.tcsetattr(0, termios.TCSANOW, mode)
    os.execvp(sys.argv[4], sys.argv[4:])
keys = True
while True:
    ready, _, _ = select.select([fd] + ([0] if keys else []), [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if data:
            os.write(fd, data)
        else:
            keys = False
    if fd in ready:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
`;

const PROMPT = new RegExp(`> (${String.fromCharCode(0x1b)}\\[\\d+G)?$`);
const DEADLINE_MS = 60_000;

export interface TerminalOptions {
  readonly term?: string;
  readonly rows?: number;
  readonly columns?: number;
  readonly baud?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Teardown {
  teardown(end: () => unknown): void;
}

export class TerminalProcess {
  readonly #process: ChildProcess;
  readonly exited: Promise<number | null>;
  /** Bytes as they came. */
  output = "";
  #seen = 0;

  constructor(owner: Teardown, command: readonly string[], options: TerminalOptions = {}) {
    const { term = "vt220", rows = 24, columns = 80, baud = 9600, env = {} } = options;
    this.#process = spawn("python3", ["-c", BRIDGE, String(rows), String(columns), String(baud), ...command], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, TERM: term, ...env },
    });
    this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
    this.exited = once(this.#process, "close").then(([code]) => code as number | null);
    owner.teardown(async () => {
      if (this.#process.exitCode === null) this.#process.kill("SIGKILL");
      await this.exited;
    });
  }

  /** Keys as they are: "\r" is Enter, "\t" Tab, "\x03" Ctrl-C. */
  type(keys: string): void {
    this.#process.stdin?.write(keys);
  }

  /** What came since the last time, up to and with what is waited for. */
  async sees(what: RegExp): Promise<string> {
    for (const deadline = performance.now() + DEADLINE_MS; ; await sleep(5)) {
      const text = this.output.slice(this.#seen);
      const found = what.exec(text);
      if (found !== null) {
        const end = found.index + found[0].length;
        this.#seen += end;
        return text.slice(0, end);
      }
      if (performance.now() > deadline) throw new Error(`no ${what} on the terminal, but ${JSON.stringify(text)}`);
    }
  }

  /** Types a line and waits for the next prompt; what came in between, without the echo. */
  async enters(line: string, prompt = PROMPT): Promise<string> {
    this.type(`${line}\r`);
    await this.sees(/\r\n/);
    return this.sees(prompt);
  }
}
