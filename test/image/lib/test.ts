// What is tested, one statement after the other, with times.
export interface Row {
  readonly what: string;
  readonly value: string;
  /** Undefined: only told. */
  readonly held?: boolean;
}

export class Findings {
  readonly rows: Row[] = [];
  readonly #began = performance.now();
  readonly #quiet: boolean;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  get failed(): boolean {
    return this.rows.some(({ held }) => held === false);
  }

  step(text: string): void {
    if (!this.#quiet) process.stderr.write(`${this.#time()} ${text}\n`);
  }

  /** A statement that has to hold. */
  check(what: string, held: boolean, value = ""): void {
    this.rows.push({ what, value, held });
    if (!this.#quiet)
      process.stderr.write(
        `${this.#time()} ${held ? "ok    " : "not ok"} ${what}${value === "" ? "" : `: ${value}`}\n`,
      );
  }

  /** A figure. */
  tell(what: string, value: string): void {
    this.rows.push({ what, value });
    if (!this.#quiet) process.stderr.write(`${this.#time()}        ${what}: ${value}\n`);
  }

  #time(): string {
    return `${((performance.now() - this.#began) / 1000).toFixed(0).padStart(5)} s`;
  }
}
