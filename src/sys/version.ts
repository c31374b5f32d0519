// Which Gantry this is. The build time bounds the clock from below: it cannot be earlier now.
import { statSync } from "node:fs";

/** The version in package.json; a test compares the two. */
export const VERSION = "0.1.0";

/** When this file was compiled, milliseconds since 1970. */
export const BUILT_MS = Math.floor(statSync(import.meta.filename).mtimeMs);
