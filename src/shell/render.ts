// Answers of the daemon as text for people: tables for lists, "name: value" for one thing. 80 columns, no colour,
// nothing redrawn: it has to read well on a serial line.
import { facts, pick, type Row } from "../sys/text.js";
import { fitTable, wrap } from "./fit.js";
import { type LogAnswer, logLineText } from "./log-lines.js";
import { type TraceAnswer, traceLineText } from "./trace-lines.js";
import { verbOf } from "./verb-table.js";

const DONE = "done";

const said = ({ said: text }: { readonly said: string }): string => (text === "" ? DONE : text);
const change = ({ waiting, devices }: { readonly waiting: readonly string[]; readonly devices: number }): string =>
  `${devices} devices. ${
    waiting.length === 0 ? "Nothing waits for the next start." : `For the next start of gantryd: ${waiting.join(", ")}.`
  }`;

/** Verbs whose answer is a text that was made for them. */
const OWN: Readonly<Record<string, (result: never) => string>> = {
  "update status": said,
  "update install": said,
  reboot: said,
  "config check": (result) => `In order: ${change(result)}`,
  "config apply": (result) => `In force: ${change(result)}`,
  "trace show": traceText,
  "show log": ({ lines }: LogAnswer) => (lines.length === 0 ? "none" : lines.map(logLineText).join("\n")),
};

function traceText({ lines, lost, on }: TraceAnswer): string {
  const more = lost === "0" || lost === 0n ? [] : [`${lost} more there was no room for.`];
  const none =
    on.length === 0 ? "Nothing was recorded, and nothing is being recorded (trace on)." : "Nothing was recorded yet.";
  return [...(lines.length === 0 ? [none] : lines.map(traceLineText)), ...more].join("\n");
}

/** @param columns that there are; undefined: as wide as it is */
export function render(verb: string, result: unknown, columns?: number): string {
  if (result === null || result === undefined) return DONE;
  const own = OWN[verb];
  if (own !== undefined) return wrap(own(result as never), columns);
  if (Array.isArray(result)) return wrap(fitTable(pick(verbOf(verb)?.columns, result as Row[]), columns), columns);
  return wrap(facts(result as Row), columns);
}
