// gantry xcopy: hands over to gantry-xcopy, a program for servers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../sys/errors.js";
import { EXIT } from "./ask.js";

/** Runs gantry-xcopy with the same terminal, and ends as it ends. */
export async function handOver(args: readonly string[]): Promise<void> {
  const file = xcopyFile();
  if (file === undefined) {
    console.error(
      "gantry: There is no gantry-xcopy on this machine. It is a program for servers and administrators: install the npm package gantry there, or call it from a clone (dist/tools/xcopy/main.js). (XCOPY_MISSING)",
    );
    process.exitCode = EXIT.AWAY;
    return;
  }
  // A module of the tree is no program by itself; what is installed is, and need not be JavaScript.
  const [program, ...before] = file.endsWith(".js") ? [process.execPath, file] : [file];
  const child = spawn(program, [...before, ...args], { stdio: "inherit" });
  // The terminal's interrupt reaches both, and what it means to a copy is for the other to say.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    process.exitCode = code ?? EXIT.REFUSED;
  } catch (error) {
    console.error(`gantry: ${file} cannot be run: ${messageOf(error)} (XCOPY_MISSING)`);
    process.exitCode = EXIT.AWAY;
  }
}

/** Beside this program, in the same tree, or on PATH. */
function xcopyFile(): string | undefined {
  const here = fileURLToPath(import.meta.url);
  const folders = [dirname(process.argv[1] ?? here), ...(process.env.PATH ?? "").split(delimiter)];
  const places = [
    join(dirname(here), "..", "..", "tools", "xcopy", "main.js"),
    ...folders.filter((folder) => folder !== "").map((folder) => join(folder, "gantry-xcopy")),
  ];
  return places.find((place) => existsSync(place));
}
