// What all rounds start from, made once: a server's files and folders of state. In "one" and "span" a job was accepted
// and not begun (one that never ends holds the queue): the journal has its archive id and times, so every copy that is
// run must make the same tapes. In "archived" there is an archive to read, and lists to read it by. And what jobs
// make of them when nobody disturbs them.

import { randomUUID } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobReport } from "../../src/job.js";
import { writeGlist } from "../../tools/agent/glist.js";
import { listImage } from "../../tools/agent/list-image.js";
import { makeServer, type ServerFiles } from "../lib/server-files.js";
import { Machine, type MachineOptions } from "./machine.js";

export type Spec = CommandToSend<"job.submit">;

export const BLOCK = 4096;
const ROOM_MIB = 24;
/** Of a cartridge of the job that needs several. */
export const SPAN_MIB = 5;
export const ARCHIVE = "R00001";

export interface Origin {
  readonly server: ServerFiles;
  readonly list: Pick<Spec, "listId" | "volume">;
  /** Bytes of the image. */
  readonly bytes: number;
  /** The accepted jobs with the cartridges that they make undisturbed. */
  readonly accepted: { readonly one: Accepted; readonly span: Accepted };
  /** The disk "target" after an undisturbed restore, and after an undisturbed clone. */
  readonly restored: Buffer;
  readonly cloned: Buffer;
  readonly verified: JobReport;
  readonly scrubbed: JobReport;
  /** A new machine on a copy of such a folder. */
  copy(of: Folder, name: string, options: Choice): Promise<Machine>;
}

/** In "one" and "span" a job of that id was accepted. */
export type Folder = "one" | "span" | "archived";

export interface Accepted {
  readonly spec: Spec;
  readonly tapes: ReadonlyMap<string, Buffer>;
  readonly report: JobReport;
}

export type Choice = Pick<MachineOptions, "group" | "volatile" | "persistence" | "tgtd"> & {
  readonly capacityMib?: number;
  readonly jobs?: string;
};

const PLAIN: Choice = { group: false, volatile: false, persistence: false, tgtd: false };

/** Every cartridge of a machine's first drive. */
export function tapesOf(machine: Machine): Map<string, Buffer> {
  const folder = join(machine.options.directory, "tapes");
  const files = readdirSync(folder).filter((name) => name.endsWith(".tap"));
  return new Map(files.sort().map((name) => [name, readFileSync(join(folder, name))]));
}

export function blankTarget(machine: Machine, bytes: number): void {
  writeFileSync(machine.target, "");
  truncateSync(machine.target, bytes);
}

export async function makeOrigin(directory: string, mib: number): Promise<Origin> {
  const server = await makeServer(directory, mib, ROOM_MIB);
  const bytes = statSync(server.image).size;
  const maker = new Maker(directory, server, bytes);
  const one = await maker.accepted("one", ["T00001"]);
  const span = await maker.accepted("span", ["S00001", "S00002", "S00003", "S00004", "S00005", "S00006"]);
  const { listId, volume } = one;
  if (listId === undefined || volume === undefined) throw new Error("a backup has a list");
  const list = { listId, volume };
  const accepted = {
    one: await maker.undisturbed(one, 0),
    span: await maker.undisturbed(span, SPAN_MIB),
  };
  if (accepted.span.tapes.size < 3) throw new Error("the archive should need more cartridges");
  await maker.archived(list);
  const restored = await maker.read("restore", list);
  const cloned = await maker.read("clone", list);
  const verified = await maker.read("verify", list);
  const scrubbed = await maker.read("scrub", list);
  return {
    server,
    list,
    bytes,
    accepted,
    restored: restored.target,
    cloned: cloned.target,
    verified: verified.report,
    scrubbed: scrubbed.report,
    copy: (of, name, choice) => maker.copy(of, name, choice),
  };
}

class Maker {
  readonly #directory: string;
  readonly #server: ServerFiles;
  readonly #bytes: number;

  constructor(directory: string, server: ServerFiles, bytes: number) {
    this.#directory = directory;
    this.#server = server;
    this.#bytes = bytes;
  }

  async #machine(name: string, { capacityMib = 0, jobs = "", ...choice }: Choice): Promise<Machine> {
    const directory = join(this.#directory, name);
    mkdirSync(directory, { recursive: true });
    const machine = await Machine.make({ directory, image: this.#server.image, capacityMib, jobs, ...choice });
    blankTarget(machine, this.#bytes);
    return machine;
  }

  async copy(of: string, name: string, choice: Choice): Promise<Machine> {
    // A daemon that was killed leaves its socket, which is no file that could be copied.
    const filter = (path: string): boolean => !path.endsWith(".sock");
    for (const part of ["state", "broker", ...(of === "archived" ? ["tapes"] : [])]) {
      const to = join(this.#directory, name, part);
      cpSync(join(this.#directory, of, part), to, { recursive: true, filter });
    }
    return this.#machine(name, choice);
  }

  async accepted(jobId: "one" | "span", cartridges: readonly string[]): Promise<Spec> {
    const machine = await this.#machine(jobId, PLAIN);
    const { bridge } = machine;
    await bridge.start();
    const list = await bridge.sendList(this.#server.list, "disk0");
    const backup = async (id: string, device: string, names: readonly string[], more: Partial<Spec>): Promise<Spec> => {
      const keys = [await bridge.key(id, ["disk0", device])];
      const tape = { device, cartridges: [...names] };
      const spec: Spec = { jobId: id, type: "backup", keys, disk: { device: "disk0" }, tape, ...list, ...more };
      await bridge.session.client.send("job.submit", spec);
      return spec;
    };
    await backup("holder", "tape1", ["H00001"], { priority: 1, options: { bytesPerS: 1n } });
    const options = { tapeBlockBytes: BLOCK, sha256: true, ...(jobId === "span" ? { readBack: true } : {}) };
    const spec = await backup(jobId, "tape0", cartridges, { priority: 200, options });
    await machine.kill();
    await machine.close(true);
    return spec;
  }

  async undisturbed(spec: Spec, capacityMib: number): Promise<Accepted> {
    const machine = await this.copy(spec.jobId, `undisturbed-${spec.jobId}`, { ...PLAIN, capacityMib });
    await machine.bridge.start();
    const report = await machine.bridge.session.run(spec);
    await machine.stop();
    const tapes = tapesOf(machine);
    await machine.close(false);
    if (report.state !== "succeeded") throw new Error(`undisturbed ${spec.jobId}: ${report.failure?.message}`);
    return { spec, tapes, report };
  }

  async archived(list: Pick<Spec, "listId" | "volume">): Promise<void> {
    const machine = await this.#machine("archived", PLAIN);
    const { bridge } = machine;
    const back = join(this.#directory, "back.glist");
    await writeGlist(back, "back", await listImage({ image: this.#server.image }));
    await bridge.start();
    await bridge.sendList(this.#server.list, "disk0");
    await bridge.sendList(back, "target");
    const disk = { device: "disk0" };
    const tape = { device: "tape0", cartridges: [ARCHIVE] };
    // A scrub goes on at the tape file that it was at: it needs several.
    for (const position of ["overwrite", "append", "append"] as const) {
      const options = { tapeBlockBytes: 1024, position };
      const jobId = `made-${position}-${randomUUID()}`;
      const report = await bridge.run({ jobId, type: "backup", disk, tape, ...list, options });
      if (report.state !== "succeeded") throw new Error(`the archive: ${report.failure?.message}`);
    }
    await machine.stop();
    await machine.close(true);
  }

  async read(type: Reading, list: Pick<Spec, "listId" | "volume">): Promise<{ target: Buffer; report: JobReport }> {
    const machine = await this.copy("archived", `undisturbed-${type}`, PLAIN);
    await machine.bridge.start();
    const report = await machine.bridge.run(readingJob("undisturbed", type, list));
    await machine.stop();
    const target = readFileSync(machine.target);
    await machine.close(false);
    if (report.state !== "succeeded") throw new Error(`undisturbed ${type}: ${report.failure?.message}`);
    return { target, report };
  }
}

export type Reading = "restore" | "clone" | "verify" | "scrub";

/** A job on what is archived, without its key. */
export function readingJob(jobId: string, type: Reading, list: Pick<Spec, "listId" | "volume">): Omit<Spec, "keys"> {
  const tape = { device: "tape0", cartridges: [ARCHIVE] };
  switch (type) {
    case "restore":
      return { jobId, type, tape, disk: { device: "target" }, listId: "back" };
    case "clone":
      return { jobId, type, disk: { device: "disk0" }, toDisk: { device: "target" }, ...list };
    default:
      return { jobId, type, tape };
  }
}
