// The broker's own folder: its key pair, the keys it issued, and the one log of all jobs. Plain files, so that
// an administrator can look at them and back them up.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { generateIssuerKeyPair, Issuer } from "../../src/admit/issuer.js";
import { GantryError, messageOf } from "../../src/sys/errors.js";

const KEY_FILE = "issuer.pem";
const FACTS_FILE = "broker.json";

interface Facts {
  readonly name: string;
  readonly kid: string;
  readonly publicKey: string;
  /** Epoch that new keys carry; raised by a revocation of all older ones. */
  readonly epoch: number;
}

export function defaultHome(): string {
  const config = process.env.XDG_CONFIG_HOME ?? join(homedir(), ".config");
  return join(config, "gantry-broker");
}

export class BrokerHome {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get exists(): boolean {
    return existsSync(this.#path(KEY_FILE));
  }

  /** Makes the folder and a key pair. Throws BROKER_HOME_EXISTS when there is one already. */
  init(name: string): Facts {
    if (this.exists) {
      throw new GantryError(
        "BROKER_HOME_EXISTS",
        `${this.directory} holds a broker's key pair already; it is left alone.`,
      );
    }
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const { privatePem, publicKey, kid } = generateIssuerKeyPair();
    const facts: Facts = { name, kid, publicKey, epoch: 1 };
    this.#write(FACTS_FILE, `${JSON.stringify(facts, null, 2)}\n`, 0o600);
    this.#write(KEY_FILE, privatePem, 0o600);
    return facts;
  }

  /** Throws BROKER_HOME_MISSING when there is no key pair yet. */
  facts(): Facts {
    return JSON.parse(this.#read(FACTS_FILE)) as Facts;
  }

  issuer(): Issuer {
    const { name, kid } = this.facts();
    return new Issuer(name, this.#read(KEY_FILE), kid);
  }

  setEpoch(epoch: number): void {
    this.#write(FACTS_FILE, `${JSON.stringify({ ...this.facts(), epoch }, null, 2)}\n`, 0o600);
  }

  /** Appends one line to a log of this folder; on stable storage when it returns. */
  append(file: string, entry: unknown): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const fd = openSync(this.#path(file), "a", 0o600);
    try {
      writeSync(fd, `${toJson(entry)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Entries of a log, oldest first; a line cut short by a crash is left out. */
  *entries(file: string): Iterable<Record<string, unknown>> {
    if (!existsSync(this.#path(file))) return;
    for (const line of readFileSync(this.#path(file), "utf8").split("\n")) {
      try {
        if (line !== "") yield JSON.parse(line) as Record<string, unknown>;
      } catch {
        // Only the last line can be torn (appends are whole or cut), and a torn line was never confirmed.
      }
    }
  }

  #path(file: string): string {
    return join(this.directory, file);
  }

  #read(file: string): string {
    try {
      return readFileSync(this.#path(file), "utf8");
    } catch (error) {
      throw new GantryError(
        "BROKER_HOME_MISSING",
        `${this.#path(file)} cannot be read (${messageOf(error)}); run \`gantry-broker init\` first, or give the right --home.`,
        { cause: error },
      );
    }
  }

  /** Whole or not at all: written beside, flushed, renamed. */
  #write(file: string, text: string, mode: number): void {
    const beside = `${this.#path(file)}.new`;
    const fd = openSync(beside, "w", mode);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, this.#path(file));
    const directory = openSync(this.directory, "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }
}

/** JSON of anything that travels: bigints as numbers where they fit (else text), byte strings as hexadecimal. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_key, inner: unknown) => {
      if (typeof inner === "bigint") return inner <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(inner) : inner.toString();
      if (inner instanceof Uint8Array) return Buffer.from(inner).toString("hex");
      return inner;
    },
    indent,
  );
}
