// The files of the demo's server: of many sizes, with holes, links and odd names, made anew and always the same.
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

const KIB = 1024;
const MIB = 1024 * KIB;
/** 2024-05-01T12:00:00Z, so that the demo's archive is the same every time. */
const MTIME_S = 1_714_564_800;

/** Bytes that look random and are the same for the same name: no run of zeros, nothing that could be a hole. */
function content(name: string, bytes: number): Buffer {
  const block = Buffer.alloc(64 * KIB);
  for (let at = 0; at < block.length; at += 64) createHash("sha512").update(`${name}:${at}`).digest().copy(block, at);
  const data = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += block.length) {
    block.writeUInt32LE(at, 0);
    block.copy(data, at);
  }
  return data;
}

/** Makes the tree below a folder. @param mib size of the large files together, MiB. */
export function makeFiles(root: string, mib: number): void {
  const put = (name: string, bytes: number): void => {
    writeFileSync(join(root, name), content(name, bytes));
    utimesSync(join(root, name), MTIME_S, MTIME_S);
  };
  for (const folder of ["home", "home/ada", "home/ada/notes", "srv", "srv/data", "empty"])
    mkdirSync(join(root, folder), { recursive: true });
  for (let index = 0; index < 200; index++)
    put(`home/ada/notes/note-${String(index).padStart(3, "0")}.txt`, 100 + index * 37);
  for (let index = 0; index < 40; index++) put(`home/ada/photo-${index}.raw`, 64 * KIB + index * 7919);
  put("home/ada/Überraschung für später.txt", 777);
  put(`home/ada/${"a-name-that-is-longer-than-a-hundred-characters-".repeat(3)}.txt`, 4097);
  put("home/ada/nothing.txt", 0);
  for (let index = 0; index < 4; index++) put(`srv/data/volume-${index}.db`, Math.floor((mib * MIB) / 4) + index);
  sparse(join(root, "srv/data/sparse.img"));
  symlinkSync("notes/note-000.txt", join(root, "home/ada/latest"));
  linkSync(join(root, "home/ada/notes/note-001.txt"), join(root, "home/ada/linked.txt"));
  chmodSync(join(root, "home/ada/notes/note-002.txt"), 0o600);
}

/** 64 MiB of which three pieces hold data. */
function sparse(path: string): void {
  const fd = openSync(path, "w");
  for (const at of [0, 17 * MIB, 63 * MIB]) writeSync(fd, content(`sparse ${at}`, 96 * KIB), 0, 96 * KIB, at);
  ftruncateSync(fd, 64 * MIB);
  closeSync(fd);
  utimesSync(path, MTIME_S, MTIME_S);
}
