// A directory of the test's own, which goes away with it.
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";

/** Makes a directory under the system's temporary one; it is removed when the test ends, however it ends. */
export async function tmpDir(t: ExecutionContext<unknown>, name = "test"): Promise<string> {
  const dir = await mkdtemp(path.join(os.tmpdir(), `gantry-${name}-`));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}
