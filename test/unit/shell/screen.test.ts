// What goes to a screen, and how much of it.
import test from "ava";
import { fitTable, wrap } from "../../../src/shell/fit.js";
import { change, LiveLine } from "../../../src/shell/live-line.js";
import { table } from "../../../src/sys/text.js";

/** What a terminal shows of text with backspaces and carriage returns. */
function screen(text: string): string {
  const line: string[] = [];
  let at = 0;
  for (const character of text) {
    if (character === "\b") at = Math.max(0, at - 1);
    else if (character === "\r") at = 0;
    else line[at++] = character;
  }
  return line.join("").trimEnd();
}

test("a change of a line is the shortest one: from where it differs, and shows just that", (t) => {
  const texts = ["job 1: 10 %", "job 1: 11 %", "job 1: 9 %", "other", "", "a longer line than any of them before"];
  for (const from of texts) for (const to of texts) t.is(screen(from + change(from, to)), to, `${from} → ${to}`);
  t.is(change("job 1: 10 %", "job 1: 11 %"), "\b\b\b1 %");
});

test("a line that stays the same costs nothing; the pause grows with a slower line", (t) => {
  let written = "";
  const at = (baud: number, dumb = false) =>
    new LiveLine({ interactive: true, columns: 80, rows: 24, dumb, bytesPerS: () => baud / 10 }, (text) => {
      written += text;
    });
  const line = at(9600);
  t.is(line.pauseMs, 2000);
  t.is(at(300).pauseMs, Math.ceil((80 * 10 * 1000) / 30));
  t.is(at(9600, true).pauseMs, 10_000);
  line.show("x".repeat(200));
  t.is(written.length, 79);
  line.show("x".repeat(150));
  t.is(written.length, 79);
  line.end();
  line.end();
  t.is(written.length, 80);
  written = "";
  const dumb = at(9600, true);
  dumb.show("one");
  dumb.show("two");
  dumb.end();
  t.is(written, "one\ntwo\n");
});

test("a table that is too wide keeps its first columns; the others follow below each row, and nothing is lost", (t) => {
  const rows = [
    { name: "disk0", initiator: `iqn.${"x".repeat(40)}`, why: "reserved", count: 5n },
    { name: "disk1", initiator: `iqn.${"y".repeat(60)}`, why: "", count: 6n },
  ];
  const text = fitTable(rows, 60);
  for (const line of wrap(text, 60).split("\n")) t.true(line.length <= 60, line);
  t.regex(text, /^name\ndisk0\n {4}initiator iqn\.x{40}\n {4}why reserved, count 5\ndisk1\n/);
  t.is(fitTable(rows, undefined), table(rows));
  t.is(fitTable([], 60), "none");
});

test("a long line is broken between words, with what follows indented; one without blanks where it has to be", (t) => {
  t.is(wrap("one two three four", 14), "one two three\n    four");
  const lines = wrap(`  name  ${"z".repeat(50)}`, 20).split("\n");
  t.true(lines.every((line) => line.length <= 20));
  t.is(lines.map((line) => line.trim()).join(""), `name  ${"z".repeat(50)}`);
  t.is(wrap("x".repeat(100), undefined).length, 100);
});
