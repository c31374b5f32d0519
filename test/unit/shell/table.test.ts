// The table of verbs against all that is made from it.
import { readFileSync } from "node:fs";
import test from "ava";
import { completions } from "../../../src/shell/complete.js";
import { shellDocument } from "../../../src/shell/document.js";
import { HANDLERS } from "../../../src/shell/handlers.js";
import type { ShellRoom } from "../../../src/shell/room.js";
import { answer } from "../../../src/shell/server.js";
import { GROUPS, VERBS } from "../../../src/shell/verb-table.js";
import { wordsOf } from "../../../src/shell/words.js";

test("SHELL.md is what the table says (npm run docs mends it)", (t) => {
  t.is(readFileSync("SHELL.md", "utf8"), shellDocument());
});

test("every verb is carried out by the daemon or by the client, and no other is", (t) => {
  const own = ["greet", "names"];
  t.deepEqual(
    [...HANDLERS.keys()].filter((words) => !own.includes(words)).sort(),
    VERBS.filter(({ local }) => local !== true)
      .map(({ words }) => words)
      .sort(),
  );
});

test("every verb has at most two words, its group a description, and its confirmation names an argument or the bridge", (t) => {
  for (const { words, args = [], confirm, help } of VERBS) {
    const [first = "", second, third] = words.split(" ");
    t.is(third, undefined, words);
    t.is(second === undefined, !(first in GROUPS), words);
    if (confirm !== undefined) t.true(confirm === "bridge" || args.some(({ name }) => name === confirm), words);
    t.regex(help, /^([a-z]|INQ|Tape).*[^.]$/, "no sentence");
  }
});

const room = (more: Partial<ShellRoom>): ShellRoom => ({ bridgeId: "b-1", ...more }) as ShellRoom;

test("a technician's socket refuses every verb of administrators before it is looked at any further", async (t) => {
  for (const { words, role } of VERBS) {
    if (!HANDLERS.has(words) || role === "technician") continue;
    const said = await answer(JSON.stringify({ verb: words, args: ["a", "b", "c"] }), room({}), "technician");
    t.is(said.ok ? "ok" : said.error.code, "SHELL_ROLE", words);
  }
});

test("a verb that takes something from somebody is refused without the name, and with another one", async (t) => {
  let cleared = 0;
  const reservations = { list: () => [], clear: async () => ++cleared } as unknown as ShellRoom["reservations"];
  const ask = (options?: object) =>
    answer(JSON.stringify({ verb: "reservation clear", args: ["d"], options }), room({ reservations }));
  for (const options of [undefined, {}, { confirm: "" }, { confirm: "e" }, { __proto__: { confirm: "d" } }]) {
    const said = await ask(options);
    t.is(said.ok ? "ok" : said.error.code, "SHELL_CONFIRM");
  }
  t.is(cleared, 0);
  t.true((await ask({ confirm: "d" })).ok);
  t.is(cleared, 1);
});

test("options that are no object of texts are refused", async (t) => {
  for (const options of [5, null, [1], { last: 5 }]) {
    const said = await answer(JSON.stringify({ verb: "show log", args: [], options }), room({}));
    t.is(said.ok ? "ok" : said.error.code, "SHELL_VERB", JSON.stringify(options));
  }
});

test("completion: words of verbs, options, and names where a name comes", async (t) => {
  const names = async (kind: string) => [`${kind}-1`, `${kind}-2`];
  const at = (line: string) => completions(line.split(" ").slice(0, -1), line.split(" ").at(-1) ?? "", names);
  t.deepEqual(await at("rese"), ["reservation"]);
  t.deepEqual(await at("job "), ["cancel", "pause", "resume"]);
  t.deepEqual(await at("job pause "), ["job-1", "job-2"]);
  t.deepEqual(await at("job pause job-1 "), []);
  t.deepEqual(await at("show job x --"), ["--json", "--watch"]);
  t.deepEqual(await at("show job --watch job-2"), ["job-2"]);
  t.deepEqual(await at("show log --level e"), ["error"]);
  t.deepEqual(await at("nonsense "), []);
});

test("a line's words: blanks between, quotes around", (t) => {
  t.deepEqual(wordsOf(`  show  job "a b" 'c' d"e f"g `), ["show", "job", "a b", "c", "de fg"]);
  t.is(wordsOf('show "job'), undefined);
  t.deepEqual(wordsOf(""), []);
});
