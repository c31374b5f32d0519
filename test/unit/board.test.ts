import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { runBoard } from "../../src/board.js";
import { tmpDir } from "../lib/tmp.js";

async function program(t: ExecutionContext, text: string): Promise<string> {
  const path = join(await tmpDir(t, "board"), "update");
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

test("what the program prints comes back; its arguments are its own, with no shell in between", async (t) => {
  const path = await program(t, 'for word in "$@"; do echo "[$word]"; done; echo "$HOME" >&2');
  t.is(
    await runBoard("update", [path, "--slot", "b"], ["install", "/tmp/a b; rm -rf $HOME"]),
    "[--slot]\n[b]\n[install]\n[/tmp/a b; rm -rf $HOME]",
  );
});

test("no program, one that is not there, and one that fails are told apart", async (t) => {
  await t.throwsAsync(runBoard("reboot", undefined, []), { code: "BOARD_MISSING", message: /board\.reboot/ });
  await t.throwsAsync(runBoard("update", ["/nowhere/update"], []), { code: "BOARD_FAILED", message: /ENOENT/ });
  const path = await program(t, "echo slot; echo 'signature is wrong' >&2; exit 3");
  await t.throwsAsync(runBoard("update", [path], []), {
    code: "BOARD_FAILED",
    message: /exit code 3\. It said: slot\n+signature is wrong/,
  });
});
