import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { ShellRoom } from "../../../src/shell/room.js";
import { startShell } from "../../../src/shell/server.js";
import { silentLogger } from "../../../src/sys/log.js";
import { tmpDir } from "../../lib/tmp.js";

test("a file that is no socket is not taken out of the way for one", async (t) => {
  const path = join(await tmpDir(t, "shell"), "precious");
  writeFileSync(path, "data");
  await t.throwsAsync(startShell(path, {} as ShellRoom, silentLogger()), {
    code: "SHELL_SOCKET",
    message: /no socket/,
  });
  t.is(readFileSync(path, "utf8"), "data");
});
