// Tapes that are not what they should be: of others, cut short, or with flipped bits.
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { faultPlant, MEMBERS, TAPE_BLOCK } from "../lib/fault-bridge.js";
import { failedWith, succeeded } from "../lib/job-plant.js";

/** A tape image: records of these bytes; undefined is a filemark. */
function image(...objects: readonly (Buffer | undefined)[]): Buffer {
  const parts = objects.map((data) => {
    const word = Buffer.alloc(4);
    if (data === undefined) return word;
    word.writeUInt32LE(data.length);
    return Buffer.concat([word, data, Buffer.alloc(data.length & 1), word]);
  });
  return Buffer.concat(parts);
}

test.serial("tapes of others are refused in words, by verify and by restore, and the disk is left alone", async (t) => {
  const { verify, restore, tap, directory } = await faultPlant(t);
  writeFileSync(join(directory, "file"), "x".repeat(30_000));
  const tar = execFileSync("tar", ["-b", "20", "-cf", "-", "-C", directory, "file"]);
  const records = Array.from({ length: tar.length / 10240 }, (_, i) => tar.subarray(i * 10240, (i + 1) * 10240));
  const text = Buffer.alloc(TAPE_BLOCK, "This is no archive. ");
  const tapes: Record<string, [Buffer, string, RegExp]> = {
    TAR: [image(...records, undefined), "ARCHIVE_INVALID", /not the end of an archive/],
    TEXT: [image(text, text, undefined), "ARCHIVE_INVALID", /not the end of an archive/],
    LABEL: [image(Buffer.alloc(80, "VOL1"), Buffer.alloc(80, "HDR1"), undefined), "ARCHIVE_INVALID", /has 80 bytes/],
    UNENDED: [image(text, text), "TAPE_ENDED_EARLY", /never finished/],
    BLANK: [image(), "ARCHIVE_INVALID", /end of data stands at object 0/],
    MARK: [image(undefined, text, undefined), "ARCHIVE_INVALID", /filemark/],
  };
  for (const [cartridge, [bytes, code, words]] of Object.entries(tapes)) {
    writeFileSync(tap(cartridge), bytes);
    failedWith(t, await verify(`verify-${cartridge}`, cartridge), code, words);
    failedWith(t, await restore(`restore-${cartridge}`, cartridge), code, words);
  }
  t.true(readFileSync(join(directory, "target.img")).every((byte) => byte === 0));
});

test.serial("the wrong tape block size in a job is named as such", async (t) => {
  const { backup, verify } = await faultPlant(t);
  succeeded(t, await backup("A00001"));
  const size = (tapeBlockBytes: number) => ({ options: { tapeBlockBytes } });
  failedWith(t, await verify("small", "A00001", size(TAPE_BLOCK / 2)), "TAPE_BLOCK_TOO_LARGE", /tape block size/);
  failedWith(t, await verify("large", "A00001", size(TAPE_BLOCK * 2)), "ARCHIVE_INVALID", /tapeBlockBytes/);
  succeeded(t, await verify("right", "A00001", size(TAPE_BLOCK)));
});

test.serial(
  "flipped bits are found by verify, which names the member and the tape block; a restore of them fails",
  async (t) => {
    const { backup, verify, restore, tap } = await faultPlant(t);
    const report = await backup("GOOD", { options: { sha256: true } });
    succeeded(t, report);
    const good = readFileSync(tap("GOOD"));
    const manifestAt = Number(report.manifest?.offset ?? 0n);
    /** Where an archive byte lies in the tape image: each record has four bytes on either side. */
    const place = (offset: number): number => offset + 4 + 8 * Math.floor(offset / TAPE_BLOCK);
    const archive = Buffer.concat(
      Array.from({ length: Math.floor((good.length - 4) / (TAPE_BLOCK + 8)) }, (_, i) =>
        good.subarray(i * (TAPE_BLOCK + 8) + 4, (i + 1) * (TAPE_BLOCK + 8) - 4),
      ),
    );
    const lines = archive
      .subarray(manifestAt, manifestAt + Number(report.manifest?.bytes ?? 0n))
      .toString()
      .split("\n")
      .filter((line) => line.includes('"data"'))
      .map((line) => JSON.parse(line) as { name: string; header: number; data: number });
    const member = lines.find(({ name }) => name === "last") ?? { name: "", header: 0, data: 0 };
    const damaged = (cartridge: string, offset: number): void => {
      copyFileSync(tap("GOOD"), tap(cartridge));
      const bytes = Buffer.from(good);
      const at = place(offset);
      bytes.writeUInt8((bytes[at] ?? 0) ^ 0x04, at);
      writeFileSync(tap(cartridge), bytes);
    };
    const block = (offset: number): RegExp => new RegExp(`Tape block ${Math.floor(offset / TAPE_BLOCK)} `);

    const block0 = Math.floor((member.data + 70_000) / TAPE_BLOCK);
    damaged("DATA", member.data + 70_000);
    const data = await verify("verify-data", "DATA");
    failedWith(t, data, "VERIFY_DIFFERS", /last/);
    t.deepEqual(
      data.miscompares.map(({ member: name }) => name),
      ["last", "last"],
    );
    t.is(data.miscompares[1]?.memberOffset, BigInt(block0 * TAPE_BLOCK - member.data));
    t.is(data.miscompares[1]?.cartridge, "DATA");
    t.is(data.miscompares[1]?.object, BigInt(block0));
    t.regex(data.miscompares[1]?.reason ?? "", block(member.data + 70_000));

    damaged("HEADER", member.header + 100);
    const header = await verify("verify-header", "HEADER");
    failedWith(t, header, "VERIFY_DIFFERS");
    t.is(header.miscompares.length, 1);
    t.regex(header.miscompares[0]?.reason ?? "", block(member.header + 100));
    t.is(header.miscompares[0]?.streamOffset, BigInt(Math.floor((member.header + 100) / TAPE_BLOCK) * TAPE_BLOCK));

    damaged("README", 700);
    const readme = await verify("verify-readme", "README");
    failedWith(t, readme, "VERIFY_DIFFERS", /Tape block 0 /);

    damaged("MANIFEST", manifestAt + 300);
    failedWith(t, await verify("verify-manifest", "MANIFEST"), "ARCHIVE_INVALID", /manifest/);
    failedWith(t, await restore("restore-manifest", "MANIFEST"), "ARCHIVE_INVALID", /manifest/);

    const restored = await restore("restore-data", "DATA");
    failedWith(t, restored, "VERIFY_DIFFERS", /last/);
    succeeded(t, await restore("restore-others", "DATA", MEMBERS.slice(0, 2)));
    succeeded(t, await verify("verify-good", "GOOD"));
  },
);

test.serial("a tape that was cut off is not taken for whole", async (t) => {
  const { backup, verify, restore, tap } = await faultPlant(t);
  succeeded(t, await backup("GOOD"));
  for (const [cartridge, blocks] of [
    ["CUT", 9],
    ["ONE", 1],
  ] as const) {
    copyFileSync(tap("GOOD"), tap(cartridge));
    truncateSync(tap(cartridge), blocks * (TAPE_BLOCK + 8));
    failedWith(t, await verify(`verify-${cartridge}`, cartridge), "TAPE_ENDED_EARLY", /never finished/);
    failedWith(t, await restore(`restore-${cartridge}`, cartridge), "TAPE_ENDED_EARLY");
  }
});
