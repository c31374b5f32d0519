// A Mosquitto of the test's own on a loopback port, plain or with TLS and client certificates made by openssl.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Pki {
  readonly ca: string;
  /** Makes a certificate signed by the CA; returns PEM texts. */
  issue(commonName: string): Promise<{ readonly cert: string; readonly key: string }>;
}

export interface Mosquitto {
  readonly port: number;
  /** Only with tls. */
  readonly pki: Pki | undefined;
  /** Stops it from doing anything, connections stay up; only kill() and close() help. */
  freeze(): void;
  /** Lets it go on after freeze(). */
  thaw(): void;
  /** Has it write its store now; only with `persistent`. Resolves when that is done. */
  save(): Promise<void>;
  /** File of its store. */
  readonly store: string;
  /** Ends it without a farewell, as a crash does; start() brings it back on the same port. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends it and removes its files. */
  close(): Promise<void>;
  /** What it logged so far. */
  log(): string;
}

export interface MosquittoOptions {
  /** TLS with required client certificates; user names are the certificates' common names. */
  readonly tls?: boolean;
  /** Sessions and retained messages are kept on disk: by save(), and on a proper end. */
  readonly persistent?: boolean;
  /** Further lines of mosquitto.conf. */
  readonly lines?: readonly string[];
  /** Access rules (mosquitto.conf acl_file). */
  readonly acl?: string;
}

/** Where the program is: Debian puts it into /usr/sbin, which is not in everybody's PATH. */
const PROGRAM = "/usr/sbin/mosquitto";

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "gantry-mqtt-"));
  const file = path.join(dir, "mosquitto.conf");
  const pki = options.tls ? await makePki(dir) : undefined;
  let child: ChildProcess | undefined;
  let log = "";

  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const start = async (): Promise<void> => {
    const started = spawn(PROGRAM, ["-c", file], { stdio: ["ignore", "pipe", "pipe"] });
    child = started;
    const before = log.length;
    for (const stream of [started.stdout, started.stderr]) stream.on("data", (data) => (log += String(data)));
    // Its own word, not a connection: somebody else may listen on the port.
    await until(() => started.exitCode !== null || /mosquitto version \S+ running/.test(log.slice(before)));
    if (started.exitCode !== null) throw new Error(`mosquitto does not start: ${log.slice(before)}`);
  };
  const port = await onFreePort(async (candidate) => {
    await writeFile(file, (await config(dir, candidate, options, pki)).join("\n"));
    await start();
  });
  return {
    port,
    pki,
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    save: async () => {
      const before = log.length;
      const store = path.join(dir, "mosquitto.db");
      const file = (): number | undefined => statSync(store, { throwIfNoEntry: false })?.ino;
      const old = file();
      // It looks at its signals between other things; one that comes while it does is lost.
      await until(() => child?.kill("SIGUSR1") === true && log.slice(before).includes("Saving in-memory database"));
      // It says so before it writes, and puts the new file in the place of the old one when that is whole.
      await until(() => ![undefined, old].includes(file()));
    },
    store: path.join(dir, "mosquitto.db"),
    kill,
    start,
    log: () => log,
    close: async () => {
      await kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Tries ports until one can be listened on: between finding and using it, somebody else may take it. */
async function onFreePort(attempt: (port: number) => Promise<void>): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    try {
      await attempt(port);
      return port;
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

async function config(dir: string, port: number, options: MosquittoOptions, pki: Pki | undefined): Promise<string[]> {
  const lines = ["user root", `listener ${port} 127.0.0.1`, "log_dest stderr", "log_type all"];
  if (options.persistent) lines.push("persistence true", `persistence_location ${dir}/`, "autosave_interval 3600");
  else lines.push("persistence false");
  if (pki === undefined) lines.push("allow_anonymous true");
  else {
    const { cert, key } = await pki.issue("localhost");
    await writeFile(path.join(dir, "server.crt"), cert);
    await writeFile(path.join(dir, "server.key"), key);
    lines.push(`cafile ${dir}/ca.crt`, `certfile ${dir}/server.crt`, `keyfile ${dir}/server.key`);
    lines.push("require_certificate true", "use_identity_as_username true");
  }
  if (options.acl !== undefined) {
    await writeFile(path.join(dir, "acl"), options.acl);
    lines.push(`acl_file ${dir}/acl`);
  }
  return [...lines, ...(options.lines ?? []), ""];
}

async function makePki(dir: string): Promise<Pki> {
  const openssl = (...args: string[]): Promise<unknown> => run("openssl", args, { cwd: dir });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Test CA");
  let serial = 1;
  return {
    ca: await readFile(path.join(dir, "ca.crt"), "utf8"),
    issue: async (commonName) => {
      const number = serial++;
      const own = path.join(dir, `issued-${number}`);
      await mkdir(own);
      await writeFile(path.join(own, "ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
      await openssl("req", ...newKey, "-keyout", `${own}/key`, "-out", `${own}/csr`, "-subj", `/CN=${commonName}`);
      const signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", String(number), "-days", "2"];
      await openssl("x509", "-req", "-in", `${own}/csr`, ...signed, "-extfile", `${own}/ext`, "-out", `${own}/crt`);
      const [cert, key] = await Promise.all([readFile(`${own}/crt`, "utf8"), readFile(`${own}/key`, "utf8")]);
      return { cert, key };
    },
  };
}

/** Below those that the kernel gives to outgoing connections: none of them can take one before it is used. */
const PORTS = { from: 10_240, to: 32_000 };

/** A loopback port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = randomInt(PORTS.from, PORTS.to);
    const server = net.createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch (error) {
      if (tries === 100) throw error;
      continue;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000 && !condition(); attempt++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  if (!condition()) throw new Error("mosquitto neither starts nor ends");
}
