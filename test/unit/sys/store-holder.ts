// A process that begins a transaction in the store of another and never ends it.
import { writeSync } from "node:fs";
import { open } from "lmdb";

const store = open({ path: process.argv[2] ?? "", encoding: "binary", noSubdir: true, overlappingSync: false });
store.transactionSync(() => {
  writeSync(1, "holds\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
