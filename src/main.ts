#!/usr/bin/env node
// gantryd: arguments, configuration, signals, and the service manager.
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type App, startApp } from "./app.js";
import { native } from "./native/index.js";
import { type ShellServer, startShell } from "./shell/server.js";
import { shellPlant } from "./shell-plant.js";
import { shellRoom } from "./shell-room.js";
import { type Config, readConfig } from "./sys/config.js";
import { isGantryError, messageOf } from "./sys/errors.js";
import { createLogger, type Logger } from "./sys/log.js";
import { LogRing } from "./sys/log-ring.js";
import { VERSION } from "./sys/version.js";

const EXIT_CONFIG = 78; // EX_CONFIG of sysexits.h
const EXIT_USAGE = 64; // EX_USAGE
const EXIT_START = 1;

const HELP = `gantryd ${VERSION}: the data mover of a SAN bridge

  --config FILE   configuration (default /etc/gantry/gantry.toml); CONFIGURATION.md is its reference
  --check         check the configuration and exit
  --version       print the version
  --help          print this

Stops on SIGTERM, reads the configuration again on SIGHUP. Exit codes: 0 stopped, 1 could not start, 64 wrong use,
78 wrong configuration.`;

interface Options {
  readonly config: string;
  readonly check: boolean;
}

const options = readArguments();
if (options !== undefined) void main(options);

/** Undefined when there is nothing to run: help, version, or wrong use. A parser of four options needs no library. */
function readArguments(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: "string", default: "/etc/gantry/gantry.toml" },
        check: { type: "boolean", default: false },
        version: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    if (values.help === true || values.version === true) {
      console.log(values.help === true ? HELP : VERSION);
      return undefined;
    }
    return { config: values.config, check: values.check };
  } catch (error) {
    console.error(`gantryd: ${messageOf(error)}\n\n${HELP}`);
    process.exitCode = EXIT_USAGE;
    return undefined;
  }
}

async function main(options: Options): Promise<void> {
  let config: Config;
  try {
    config = readConfig(options.config);
  } catch (error) {
    console.error(isGantryError(error) ? error.message : `gantryd: ${messageOf(error)}`);
    process.exitCode = EXIT_CONFIG;
    return;
  }
  if (options.check) {
    console.log(`${options.config} is in order: bridge ${config.bridge.id}, ${config.device.length} devices.`);
    return;
  }
  const ring = new LogRing();
  await serve(
    options.config,
    config,
    ring,
    createLogger(config.log.level, config.bridge.id, (line) => ring.push(line)),
  );
}

async function serve(file: string, config: Config, ring: LogRing, log: Logger): Promise<void> {
  // Heard from the first moment: a stop that comes while the daemon starts is a clean one, too.
  let asked: string | undefined;
  let stop = (signal: string): Promise<void> => {
    asked ??= signal;
    return Promise.resolve();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));
  let [started, changed]: [App | undefined, boolean] = [undefined, false];
  process.on("SIGHUP", () => {
    if (started === undefined) changed = true;
    else void reload(file, started, log);
  });
  const shells: ShellServer[] = [];
  log.info({ version: VERSION }, "starting");
  try {
    const app = await startApp({ config, native, log });
    started = app;
    const socket = config.shell.socket ?? join(config.bridge.state_dir, "gantry.sock");
    const look = config.shell.look_socket ?? join(dirname(socket), "gantry-look.sock");
    const group = config.shell.technician_group;
    const plant = shellPlant(app, native, {
      path: file,
      now: () => app.config(),
      reload: (next) => take(next, app, log),
    });
    const room = shellRoom(app, { plant, logRing: ring });
    shells.push(await startShell(socket, room, log));
    shells.push(
      await startShell(look, room, log, {
        role: "technician",
        ...(group === undefined ? {} : { group }),
      }),
    );
    const stopWatchdog = startWatchdog(log);
    let stopping = false;
    stop = async (signal) => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, "stopping; running jobs go on at the next start");
      tell("STOPPING=1", log);
      await Promise.all(shells.map((shell) => shell.stop()));
      await app.stop();
      stopWatchdog();
      log.info("stopped");
    };
    tell("READY=1", log);
    log.info({ version: VERSION, devices: config.device.length, socket }, "ready");
    if (changed) await reload(file, app, log);
    if (asked !== undefined) await stop(asked);
  } catch (error) {
    log.fatal({ error }, `gantryd does not start: ${messageOf(error)}`);
    process.exitCode = EXIT_START;
    await Promise.all(shells.map((shell) => shell.stop()));
    await started?.stop();
  }
}

/** To the service manager. That it does not listen is no reason to let go of jobs. */
function tell(state: string, log: Logger): void {
  try {
    native.sdNotify(state);
  } catch (error) {
    log.warn({ error, state }, "the service manager could not be told");
  }
}

async function reload(file: string, app: App, log: Logger): Promise<void> {
  try {
    await take(readConfig(file), app, log);
  } catch (error) {
    log.error({ error }, `the configuration was not reloaded, the old one stays in force: ${messageOf(error)}`);
  }
}

/** Returns the names of the keys that wait for the next start. */
async function take(next: Config, app: App, log: Logger): Promise<readonly string[]> {
  // sd_notify(3): with Type=notify-reload the time of the reload's beginning goes with it.
  tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, log);
  try {
    const waiting = await app.reload(next);
    log.info(
      { waiting },
      waiting.length === 0 ? "configuration reloaded" : "configuration reloaded; some keys wait for the next start",
    );
    return waiting;
  } finally {
    tell("READY=1", log);
  }
}

/** Tells the service manager's watchdog at half its period that the event loop is alive (sd_watchdog_enabled(3)). */
function startWatchdog(log: Logger): () => void {
  const periodUs = Number(process.env.WATCHDOG_USEC ?? 0);
  if (periodUs === 0 || (process.env.WATCHDOG_PID !== undefined && Number(process.env.WATCHDOG_PID) !== process.pid))
    return () => {};
  const timer = setInterval(() => tell("WATCHDOG=1", log), periodUs / 2000);
  return () => clearInterval(timer);
}
