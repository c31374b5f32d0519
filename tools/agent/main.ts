#!/usr/bin/env node
// gantry-agent: block lists on the server whose file systems are backed up and restored, and its keys. AGENT.md is
// its reference.
import { Command, CommanderError } from "commander";
import { EXIT, printError } from "./cli-io.js";
import { addKeyCommands } from "./cli-key.js";
import { addListCommands, UsageError } from "./cli-list.js";
import { addRestoreCommands } from "./cli-restore.js";

function agentProgram(): Command {
  const program = new Command("gantry-agent")
    .description("block lists of files for the data mover, files for its restores, and keys of this server")
    .exitOverride();
  addListCommands(program);
  addRestoreCommands(program);
  addKeyCommands(program);
  for (const command of program.commands) command.exitOverride();
  return program;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    await agentProgram().parseAsync(argv as string[]);
    return EXIT.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error instanceof UsageError) {
      process.stderr.write(`gantry-agent: ${error.message}\n`);
      return EXIT.usage;
    }
    return printError(argv.includes("--json"), error);
  }
}

// `gantry-agent show list.glist | head` ends when head has seen enough.
process.stdout.on("error", () => process.exit(EXIT.done));
process.exitCode = await main(process.argv);
