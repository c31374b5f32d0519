#!/usr/bin/env node
// gantry-broker: the reference connection broker, on the command line. Makes and takes back keys, sends block
// lists, runs jobs and follows them, keeps one log of all jobs. Exit codes: 0 done, 1 refused or failed, 2 wrong use.
import { Command, Option } from "commander";
import { isGantryError, messageOf } from "../../src/sys/errors.js";
import { VERSION } from "../../src/sys/version.js";
import { defaultHome, toJson } from "./home.js";
import { addJobCommands } from "./job-commands.js";
import { addKeyCommands } from "./key-commands.js";
import { addLogCommands } from "./log-commands.js";
import { addServerCommands } from "./server-commands.js";

const EXIT_USE = 2;

const program = new Command("gantry-broker")
  .description("Reference connection broker: keys, block lists, jobs and their reports, over MQTT.")
  .version(VERSION)
  .addOption(
    new Option("--home <dir>", "folder of the key pair and the logs").env("GANTRY_BROKER_HOME").default(defaultHome()),
  )
  .addOption(new Option("--url <url>", "MQTT server").env("GANTRY_MQTT_URL").default("mqtt://127.0.0.1:1883"))
  .option("--ca <file>", "certificates that may vouch for the server (PEM)")
  .option("--cert <file>", "client certificate (PEM)")
  .option("--key <file>", "its private key (PEM)")
  .option("--username <name>", "MQTT user name")
  .option("--password-file <file>", "file whose first line is the MQTT password")
  .option("--wait <seconds>", "how long to wait for the bridge to be online", Number, 30)
  .option("--json", "print JSON instead of text")
  // Before the commands are added: they inherit it.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_USE));

addKeyCommands(program);
addJobCommands(program);
addServerCommands(program);
addLogCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  const code = isGantryError(error) ? error.code : "INTERNAL";
  if (program.opts<{ json?: boolean }>().json === true)
    console.log(toJson({ error: { code, message: messageOf(error) } }));
  else console.error(`gantry-broker: ${messageOf(error)} (${code})`);
  process.exitCode = 1;
}
