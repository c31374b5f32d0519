#!/usr/bin/env node
// gantryd: arguments, configuration, signals, and the service manager.
import { join } from "node:path";
import { Command } from "commander";
import { type App, startApp } from "./app.js";
import { native } from "./native/index.js";
import { startShell } from "./shell/server.js";
import { type Config, readConfig } from "./sys/config.js";
import { isGantryError, messageOf } from "./sys/errors.js";
import { createLogger, type Logger } from "./sys/log.js";
import { VERSION } from "./sys/version.js";

const EXIT_CONFIG = 78; // EX_CONFIG of sysexits.h
const EXIT_START = 1;

interface Options {
  readonly config: string;
  readonly check?: boolean;
}

const program = new Command("gantryd")
  .description("The data mover of a SAN bridge. Configuration: CONFIGURATION.md. Stops on SIGTERM, reloads on SIGHUP.")
  .version(VERSION)
  .option("--config <file>", "configuration file", "/etc/gantry/gantry.toml")
  .option("--check", "check the configuration and exit");
program.parse();
await main(program.opts<Options>());

async function main(options: Options): Promise<void> {
  let config: Config;
  try {
    config = readConfig(options.config);
  } catch (error) {
    console.error(isGantryError(error) ? error.message : `gantryd: ${messageOf(error)}`);
    process.exitCode = EXIT_CONFIG;
    return;
  }
  if (options.check === true) {
    console.log(`${options.config} is in order: bridge ${config.bridge.id}, ${config.device.length} devices.`);
    return;
  }
  await serve(options.config, config, createLogger(config.log.level, config.bridge.id));
}

async function serve(file: string, config: Config, log: Logger): Promise<void> {
  try {
    const app = await startApp({ config, native, log });
    const socket = config.shell.socket ?? join(config.bridge.state_dir, "gantry.sock");
    const shell = await startShell(socket, app, log);
    const stopWatchdog = startWatchdog();
    let stopping = false;
    const stop = async (signal: string): Promise<void> => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, "stopping; running jobs go on at the next start");
      native.sdNotify("STOPPING=1");
      await shell.stop();
      await app.stop();
      stopWatchdog();
      log.info("stopped");
    };
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));
    process.on("SIGHUP", () => reload(file, app, log));
    native.sdNotify("READY=1");
    log.info({ version: VERSION, devices: config.device.length, socket }, "ready");
  } catch (error) {
    log.fatal({ error }, `gantryd does not start: ${messageOf(error)}`);
    process.exitCode = EXIT_START;
  }
}

function reload(file: string, app: App, log: Logger): void {
  native.sdNotify("RELOADING=1");
  try {
    const waiting = app.reload(readConfig(file));
    log.info(
      { waiting },
      waiting.length === 0 ? "configuration reloaded" : "configuration reloaded; some keys wait for the next start",
    );
  } catch (error) {
    log.error({ error }, `the configuration was not reloaded, the old one stays in force: ${messageOf(error)}`);
  }
  native.sdNotify("READY=1");
}

/** Tells the service manager's watchdog at half its period that the event loop is alive (sd_watchdog_enabled(3)). */
function startWatchdog(): () => void {
  const periodUs = Number(process.env.WATCHDOG_USEC ?? 0);
  if (periodUs === 0 || (process.env.WATCHDOG_PID !== undefined && Number(process.env.WATCHDOG_PID) !== process.pid))
    return () => {};
  const timer = setInterval(() => native.sdNotify("WATCHDOG=1"), periodUs / 2000);
  return () => clearInterval(timer);
}
