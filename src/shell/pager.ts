// A text that is higher than the screen, page by page: space for the next page, Enter for a line, q for no more.
import type { Keyboard } from "./keyboard.js";
import type { Terminal } from "./terminal.js";

const MORE = "-- more --";

export async function showPages(
  text: string,
  terminal: Pick<Terminal, "rows" | "dumb">,
  keyboard: Keyboard,
  write: (text: string) => void,
): Promise<void> {
  const lines = text.split("\n");
  const page = Math.max(1, terminal.rows - 1);
  // Back over the prompt, without a word about where the cursor is.
  const wipe = terminal.dumb ? "\n" : `\r${" ".repeat(MORE.length)}\r`;
  for (let at = 0, count = page; at < lines.length; ) {
    write(
      `${lines
        .slice(at, at + count)
        .map((line) => `${line}\n`)
        .join("")}`,
    );
    at += count;
    if (at >= lines.length) return;
    write(MORE);
    const key = await nextKey(keyboard);
    write(wipe);
    if (key === "quit") return;
    count = key === "line" ? 1 : page;
  }
}

function nextKey(keyboard: Keyboard): Promise<"page" | "line" | "quit"> {
  return new Promise((resolve) => {
    let before: ReturnType<Keyboard["give"]> | undefined;
    const done = (key: "page" | "line" | "quit"): void => {
      if (before !== undefined) keyboard.give(before);
      resolve(key);
    };
    before = keyboard.give({
      kind: "pager",
      key: (byte) => {
        if (byte === 0x0a || byte === 0x0d) done("line");
        else if (byte === 0x20) done("page");
        // q, Q, Ctrl-C, Ctrl-D; anything else is a slip.
        else if ([0x71, 0x51, 0x03, 0x04].includes(byte)) done("quit");
      },
    });
  });
}
