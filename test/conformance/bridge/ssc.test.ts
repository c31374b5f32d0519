// SSC-4 over the bridge, by two initiators on one drive: block lengths, residuals, filemarks, positions, the end of the
// medium, and what one sees of what the other did.
import test from "ava";
import { type Host, startRig } from "./rig.js";
import {
  blockLength,
  filemarks,
  locate10,
  READ_POSITION,
  REWIND,
  readFixed,
  readVariable,
  space,
  TEST_UNIT_READY,
  writeFixed,
  writeVariable,
} from "./words.js";

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

async function position(host: Host): Promise<number> {
  const { data } = await host.send(READ_POSITION, { in: 20 });
  return data.readUInt32BE(4);
}

test("variable blocks: one that is shorter or longer than asked for is ILI, with the difference as residual", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "tape0"), await rig.host("b", "tape0")];
  for (const length of [1000, 3000, 2000])
    t.is(await a.says(writeVariable(length), { out: filled(length, 7) }), "good");
  t.is(await b.says(REWIND), "good");
  const short = await b.send(readVariable(2000), { in: 2000 });
  t.is(short.words, "0/00/00 ILI");
  t.is(short.information, 1000, "asked for less what was there (SSC-4 6.8)");
  t.is(short.residual, 1000);
  t.deepEqual(short.data, Buffer.from(filled(1000, 7)));
  const long = await a.send(readVariable(2000), { in: 2000 });
  t.is(long.words, "0/00/00 ILI");
  t.is(long.information, -1000);
  t.deepEqual(long.data, Buffer.from(filled(2000, 7)), "as much as there is room for");
  t.is(await position(b), 2, "and the tape stands behind the whole block, for both");
  const sili = await a.send(readVariable(4000, true), { in: 4000 });
  t.is(sili.words, "good", "SILI: a shorter block is no error");
  t.is(sili.residual, 2000);
  t.is(sili.data.length, 2000);
});

test("fixed blocks: a block of another length and a filemark end the read, with the blocks left as residual", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "tape0"), await rig.host("b", "tape0")];
  t.is(await a.put(blockLength(512)), "good");
  t.deepEqual(await b.attentions(), ["2a/01"], "MODE PARAMETERS CHANGED: the other initiator is told");
  t.is(await a.says(writeFixed(4), { out: filled(2048, 1) }), "good");
  t.is(await b.says(filemarks(1)), "good");
  t.is(await a.says(writeFixed(2), { out: filled(1024, 2) }), "good");
  t.is(await a.says(REWIND), "good");
  const mark = await b.send(readFixed(6), { in: 3072 });
  t.is(mark.words, "0/00/01 FM");
  t.is(mark.information, 2, "blocks that were not read");
  t.is(mark.data.length, 2048);
  t.is(await position(a), 5, "behind the filemark");
  t.is(await a.says(readFixed(2), { in: 1024 }), "good");
  t.regex(await b.says(readFixed(1), { in: 512 }), /^8\/00\/05/, "BLANK CHECK at the end of data");
  t.is(await b.put(blockLength(0)), "good");
  await a.attentions();
  t.is(await a.says(readFixed(1), { in: 512 }), "5/24/00", "no fixed blocks without a block length (SSC-4 6.8)");
});

test("LOCATE, SPACE and filemarks: the position is the drive's, whoever moved it", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "tape0"), await rig.host("b", "tape0")];
  for (let file = 0; file < 3; file++) {
    for (let block = 0; block < 4; block++) await a.says(writeVariable(512), { out: filled(512, file * 16 + block) });
    t.is(await a.says(filemarks(1)), "good");
  }
  t.is(await position(b), 15);
  t.is(await b.says(locate10(6)), "good");
  const read = await a.send(readVariable(512), { in: 512 });
  t.is(read.data[0], 17, "object 6 is block 1 of file 1");
  t.is(await a.says(space(1, 1)), "good");
  t.is(await position(b), 10, "behind the second filemark");
  t.is(await b.says(space(1, -2)), "good");
  t.is(await position(a), 4, "before the first filemark");
  const over = await a.send(space(0, 5));
  t.is(over.words, "0/00/01 FM");
  t.is(over.information, 5, "none of five blocks before the filemark");
  const far = await b.send(space(1, 9));
  t.regex(far.words, /^8\/00\/05/);
  t.is(far.information, 7);
  t.is(await a.says(space(3, 0)), "good");
  t.is(await position(b), 15);
  t.is(await b.says(REWIND), "good");
  t.regex((await a.send(space(0, -1))).words, /^0\/00\/04 EOM/, "beginning of partition");
});

test("early warning: EOM with GOOD data, then the end of the medium; both initiators see it", async (t) => {
  const rig = await startRig(t, { tape: { capacityBytes: 64n << 10n, earlyWarningBytes: 16n << 10n } });
  const [a, b] = [await rig.host("a", "tape0"), await rig.host("b", "tape0")];
  const answers: string[] = [];
  let blocks = 0;
  for (let turn = 0; turn < 80 && !(answers.at(-1) ?? "").startsWith("d/"); turn++) {
    const host = turn % 2 === 0 ? a : b;
    const answer = await host.send(writeVariable(1024), { out: filled(1024, turn) });
    answers.push(answer.words);
    if (answer.words === "good" || answer.words === "0/00/02 EOM") blocks++;
    if (answer.words.startsWith("0/")) t.is(answer.information ?? 0, 0, "all of it was written");
  }
  const first = answers.indexOf("0/00/02 EOM");
  t.true(first > 30, answers.join(" "));
  t.deepEqual([...new Set(answers.slice(0, first))], ["good"]);
  t.deepEqual([...new Set(answers.slice(first, -1))], ["0/00/02 EOM"], "every write behind early warning says so");
  t.is(answers.at(-1), "d/00/02 EOM", "VOLUME OVERFLOW");
  t.is(await position(a), blocks);
  t.is(await a.says(filemarks(1)), "0/00/02 EOM", "there is room for the filemark (SSC-4 4.2.4)");
  await b.says(REWIND);
  for (let block = 0; block < blocks; block++) {
    const { words, data } = await b.send(readVariable(1024), { in: 1024 });
    if (words !== "good" || data[0] !== block) return t.fail(`block ${block}: ${words} ${data[0]}`);
  }
  t.is(await a.says(TEST_UNIT_READY), "good");
});
