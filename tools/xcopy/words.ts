// The words of a line, one after the other. What is not understood is an error that knows its place in the line, so that
// whoever wrote the line is shown the word.
import { GantryError } from "../../src/sys/errors.js";

export interface Span {
  readonly from: number;
  readonly to: number;
}

const UNITS: Readonly<Record<string, bigint>> = { "": 1n, KiB: 1n << 10n, MiB: 1n << 20n, GiB: 1n << 30n };
const NUMBER = "0[xX][0-9a-fA-F]+|[0-9]+";
/** To the end of what a user would call a word. */
const REST = /[^\s,]*/y;

export class Words {
  #at = 0;

  /** @param label of the line, for messages: "segment 2" */
  constructor(
    readonly text: string,
    readonly label: string,
  ) {}

  get at(): number {
    return this.#at;
  }

  span(from: number): Span {
    return { from, to: this.#at };
  }

  /** Passes over white space. */
  space(): this {
    this.#match(/\s*/y);
    return this;
  }

  get ended(): boolean {
    this.space();
    return this.#at === this.text.length;
  }

  /** What stands here, if it is this; a pattern has to be sticky. */
  take(what: string | RegExp): string | undefined {
    if (typeof what !== "string") return this.#match(what)?.[0];
    if (!this.text.startsWith(what, this.#at)) return undefined;
    this.#at += what.length;
    return what;
  }

  /** @throws GantryError XCOPY_SYNTAX */
  expect(what: string | RegExp, meaning: string): string {
    const found = this.take(what);
    if (found !== undefined) return found;
    throw this.wrongHere(meaning);
  }

  /** A word of letters and hyphens, if one stands here. */
  name(): string | undefined {
    return this.space().take(/[A-Za-z][A-Za-z0-9_-]*(?![^\s=])/y);
  }

  /** A plain number, decimal or with 0x. */
  number(meaning: string, most: bigint): bigint {
    const from = this.#at;
    const digits = this.expect(new RegExp(`(?:${NUMBER})(?![A-Za-z0-9])`, "y"), meaning);
    return this.#atMost(BigInt(digits), most, meaning, from);
  }

  /** A number of bytes: plain, or with KiB, MiB or GiB. */
  size(meaning: string, most: bigint): bigint {
    const from = this.#at;
    const match = this.#match(new RegExp(`(${NUMBER})(KiB|MiB|GiB|)(?![A-Za-z0-9])`, "y"));
    if (match === undefined) throw this.wrongHere(`${meaning} (such as 512, 0x200, 64KiB or 1MiB)`);
    return this.#atMost(BigInt(match[1] ?? "") * (UNITS[match[2] ?? ""] ?? 1n), most, meaning, from);
  }

  /** Nothing may be left. @throws GantryError XCOPY_SYNTAX */
  end(): void {
    if (!this.ended) throw this.wrong(`"${this.#word()}" is not expected here`, this.#wordSpan());
  }

  /** What stands here is not what it has to be. */
  wrongHere(meaning: string): GantryError {
    const word = this.#word();
    return this.wrong(
      word === "" ? `${meaning} is missing` : `"${word}" stands where ${meaning} has to be`,
      this.#wordSpan(),
    );
  }

  /** @param problem ends without a full stop */
  wrong(problem: string, span: Span): GantryError {
    return new GantryError("XCOPY_SYNTAX", `${this.label}: ${problem}.`, {
      details: { label: this.label, text: this.text, from: span.from, to: span.to },
    });
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.text) ?? undefined;
    if (match !== undefined) this.#at = pattern.lastIndex;
    return match;
  }

  #atMost(value: bigint, most: bigint, meaning: string, from: number): bigint {
    if (value <= most) return value;
    throw this.wrong(`${meaning} is ${most} at most`, this.span(from));
  }

  #word(): string {
    REST.lastIndex = this.#at;
    return REST.exec(this.text)?.[0] || this.text.slice(this.#at, this.#at + 1).trim();
  }

  #wordSpan(): Span {
    return { from: this.#at, to: this.#at + Math.max(1, this.#word().length) };
  }
}

/** The line with marks below the word, for an error of Words; undefined for every other. */
export function pointed(error: unknown): string | undefined {
  if (!(error instanceof GantryError) || error.code !== "XCOPY_SYNTAX") return undefined;
  const { text, from, to } = error.details;
  if (typeof text !== "string" || typeof from !== "number" || typeof to !== "number") return undefined;
  // A tab stays one, so that the marks stand below the word.
  const before = text.slice(0, from).replace(/[^\t]/g, " ");
  return `  ${text}\n  ${before}${"^".repeat(Math.max(1, to - from))}`;
}

/** 65536n → "64KiB": the largest unit that says it exactly. */
export function sizeText(bytes: bigint): string {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    const factor = UNITS[unit] ?? 1n;
    if (bytes >= factor && bytes % factor === 0n) return `${bytes / factor}${unit}`;
  }
  return String(bytes);
}
