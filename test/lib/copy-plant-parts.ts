// What a plant of copies looks into besides the answers: memory that is not given back, and all that is on the media.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { native } from "../../src/native/index.js";
import type { Native } from "../../src/native/types.js";

/** Tells of each arena that is made or given back. */
export const counting = (count: (change: 1 | -1) => void): Native => ({
  ...native,
  createArena: (bytes) => {
    const arena = native.createArena(bytes);
    const close = arena.close.bind(arena);
    count(1);
    return Object.assign(arena, {
      close: () => {
        close();
        count(-1);
      },
    });
  },
});

/** Of every file of the devices, by name. */
export function mediaDigest(directory: string): string {
  const hash = createHash("sha256");
  for (const file of readdirSync(directory, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()))
    hash.update(file.name).update(readFileSync(join(file.parentPath, file.name)));
  return hash.digest("hex");
}
