// The disk of the power cuts, used by QEMU's own client: what is flushed stays, what is not may go.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { Lot } from "../kill/random.js";
import { VolatileDisk } from "./lib/volatile-disk.js";

const BYTES = 1024 * 1024;
const SECTOR = 512;

test("what was flushed survives every power cut; of what was not, any sectors are lost", async (t) => {
  const { disk, image, socket } = await served(t);
  t.teardown(() => disk.stop());
  const seen = new Set<string>();
  for (let round = 1; round <= 20; round++) {
    const client = await QemuIo.start(socket);
    await client.say(`write -P ${round} 0 64k`);
    await client.say("flush");
    await client.say(`write -P ${round + 100} 32k 64k`);
    // It reads what it wrote, flushed or not.
    await client.say(`read -P ${round} 0 32k`);
    await client.say(`read -P ${round + 100} 32k 64k`);
    await client.kill();
    const { sectors, of } = await disk.cut(new Lot(round));
    const content = await readFile(image);
    t.is(of, 65536 / SECTOR);
    t.true(all(content.subarray(0, 32768), round), "flushed, and not written again");
    const unflushed = content.subarray(32768, 98304);
    let kept = 0;
    for (let at = 0; at < unflushed.length; at += SECTOR)
      if (all(unflushed.subarray(at, at + SECTOR), round + 100)) kept++;
    t.is(kept, of - sectors);
    seen.add(sectors === 0 ? "nothing" : sectors === of ? "everything" : "some");
  }
  t.true(seen.has("some") && seen.size > 1, [...seen].join(", "));
});

test("a disk that is stopped has everything that was written", async (t) => {
  const { disk, image, socket } = await served(t);
  const client = await QemuIo.start(socket);
  await client.say("write -P 7 512 1024");
  await client.kill();
  await disk.stop();
  const content = await readFile(image);
  t.true(all(content.subarray(512, 1536), 7));
  t.true(all(content.subarray(1536), 0));
});

async function served(t: ExecutionContext): Promise<{ disk: VolatileDisk; image: string; socket: string }> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-volatile-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const [image, socket] = [join(folder, "image"), join(folder, "socket")];
  await writeFile(image, Buffer.alloc(BYTES));
  return { disk: await VolatileDisk.start(image, socket), image, socket };
}

const all = (bytes: Buffer, value: number): boolean => bytes.every((byte) => byte === value);

class QemuIo {
  readonly #child: ChildProcessWithoutNullStreams;
  #heard = "";

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stderr.resume();
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#heard += text;
    });
  }

  static async start(socket: string): Promise<QemuIo> {
    const options = `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${socket}`;
    const client = new QemuIo(spawn("qemu-io", ["-t", "writeback", "--image-opts", options]));
    await client.#prompt();
    return client;
  }

  /** Carries a command out. @throws Error when it does not succeed */
  async say(command: string): Promise<void> {
    this.#child.stdin.write(`${command}\n`);
    const answer = await this.#prompt();
    if (/fail|error/i.test(answer)) throw new Error(answer);
  }

  /** Without closing the disk, which would flush it. */
  async kill(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  async #prompt(): Promise<string> {
    while (!this.#heard.includes("qemu-io> ")) {
      if (this.#child.exitCode !== null) throw new Error(`qemu-io ended: ${this.#heard}`);
      await sleep(5);
    }
    const answer = this.#heard;
    this.#heard = "";
    return answer;
  }
}
