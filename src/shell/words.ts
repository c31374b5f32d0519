// A line of the shell as words: blanks between them, quotes around those with blanks.

/** Undefined: a quote is open. */
export function wordsOf(line: string): string[] | undefined {
  const words: string[] = [];
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))/y;
  const text = line.trim();
  while (pattern.lastIndex < text.length) {
    const start = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    const piece = match[1] ?? match[2] ?? match[3] ?? "";
    const joined = start > 0 && !/\s/.test(text[start] ?? " ");
    if (joined && words.length > 0) words[words.length - 1] += piece;
    else words.push(piece);
  }
  return words;
}
