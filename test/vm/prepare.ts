#!/usr/bin/env node
// Builds the test guest if it is not in the cache, before the time of the first test that needs it begins. Exit codes: 0 it
// is there, 1 it could not be built, 3 this machine lacks what it takes.
import { messageOf } from "../../src/sys/errors.js";
import { guestImage, missingPackages } from "./lib/image.js";

const missing = missingPackages();
if (missing.length > 0) {
  console.log(`skipped: no test guest here, for want of the Debian packages ${missing.join(" ")}`);
  process.exitCode = 3;
} else {
  try {
    await guestImage((line) => console.log(line));
  } catch (error) {
    console.log(`not ok: ${messageOf(error)}`);
    process.exitCode = 1;
  }
}
