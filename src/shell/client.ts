// What a verb has around it on the client's side, and how it shows what the daemon answered.
import type { Asker } from "./ask.js";
import { render } from "./render.js";
import type { Terminal } from "./terminal.js";

export interface Client {
  readonly asker: Asker;
  readonly terminal: Terminal;
  readonly json: boolean;
  /** A text that is whole: it may be shown page by page. */
  readonly show: (text: string) => Promise<void>;
  /** As it is, at once. */
  readonly write: (text: string) => void;
  /** A line for people beside the answer. */
  readonly note: (text: string) => void;
  /** Somebody does not want to wait any longer. */
  readonly signal: AbortSignal;
  /** There is somebody who can be asked. */
  readonly question?: (text: string) => Promise<string>;
}

export async function answer({ show, json, terminal }: Client, words: string, result: unknown): Promise<void> {
  await show(json ? JSON.stringify(result ?? null) : render(words, result, terminal.columns));
}
