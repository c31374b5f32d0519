// Ending at a terminal that may be gone: an SSH connection that broke, a serial line that was cut.
import { isatty } from "node:tty";

const STDIN = 0;
const atTerminal = isatty(STDIN);

/** There was a terminal, and it is gone (tcgetattr(3) fails with EIO). */
export const hungUp = (): boolean => atTerminal && !isatty(STDIN);

/** Ends the process, by SIGHUP where the terminal is gone: Node's own exit would set that terminal's modes, and abort. */
export function leave(code: number): void {
  if (!hungUp()) process.exit(code);
  process.removeAllListeners("SIGHUP");
  process.kill(process.pid, "SIGHUP");
}
