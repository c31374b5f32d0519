// A process that begins a transaction in the store of another and is to be killed in it; left alone it ends by itself.
import { writeSync } from "node:fs";
import { open } from "lmdb";

const store = open({ path: process.argv[2] ?? "", encoding: "binary", noSubdir: true, overlappingSync: false });
store.transactionSync(() => {
  writeSync(1, "holds\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
});
