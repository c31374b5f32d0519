// The grammar of segments as people read it: one table for the help and for XCOPY.md. segment-parse.ts reads the words,
// segment-words.ts writes them; a test holds the three together.

export interface GrammarRow {
  readonly words: string;
  readonly means: string;
  /** SPC-4. */
  readonly clause: string;
  /** DESCRIPTOR TYPE CODE, the second with `hold`. */
  readonly codes: string;
  readonly example: string;
}

export const GRAMMAR: readonly GrammarRow[] = [
  {
    words: "blocks D@LBA+N -> D@LBA [cat] [dc] [hold]",
    means: "N blocks from disk to disk; with dc N counts blocks of the destination",
    clause: "6.4.6.4",
    codes: "02h 0Dh",
    example: "blocks d0@0+2048 -> d1@4096",
  },
  {
    words: "blocks D@LBA+N -> T/SIZE [cat] [hold]",
    means: "N blocks from disk to tape, in tape blocks of SIZE",
    clause: "6.4.6.2",
    codes: "00h 0Bh",
    example: "blocks d0@0+128 -> t0/64KiB",
  },
  {
    words: "tape T/SIZE -> D@LBA+N [cat] [hold]",
    means: "from tape, in tape blocks of SIZE, to N blocks of a disk",
    clause: "6.4.6.3",
    codes: "01h 0Ch",
    example: "tape t0/64KiB -> d1@0+128",
  },
  {
    words: "tape T/SIZE+BYTES -> T/SIZE [cat] [hold]",
    means: "BYTES from tape to tape",
    clause: "6.4.6.5",
    codes: "03h 0Eh",
    example: "tape t0/32KiB+1MiB -> t1/64KiB",
  },
  {
    words: "bytes D@LBA:OFFSET+BYTES -> T/SIZE [cat]",
    means: "BYTES from disk, from OFFSET in a block on, to tape",
    clause: "6.4.6.10",
    codes: "08h",
    example: "bytes d0@10:100+5000 -> t0/10KiB",
  },
  {
    words: "bytes T/SIZE -> D@LBA:OFFSET+BYTES [cat]",
    means: "BYTES from tape to disk, from OFFSET in a block on; the rest of the blocks stays",
    clause: "6.4.6.11",
    codes: "09h",
    example: "bytes t0/10KiB -> d1@10:100+5000",
  },
  {
    words: "bytes D@LBA:OFFSET+BYTES -> D@LBA:OFFSET [cat]",
    means: "BYTES from disk to disk, from offsets in blocks on",
    clause: "6.4.6.12",
    codes: "0Ah",
    example: "bytes d0@10:100+5000 -> d1@20:0",
  },
  {
    words: "inline DATA -> T/SIZE [cat]",
    means: "data that comes behind the segments, to tape; at most what the copy manager takes",
    clause: "6.4.6.6",
    codes: "04h",
    example: 'inline "header" -> t0/512',
  },
  {
    words: "embed DATA -> T/SIZE [cat]",
    means: "data within the segment, to tape",
    clause: "6.4.6.7",
    codes: "05h",
    example: "embed hex:00ff -> t0/512",
  },
  {
    words: "discard T/SIZE+BYTES [cat] [hold]",
    means: "BYTES from tape, to nowhere; hold keeps them for the data command",
    clause: "6.4.6.8",
    codes: "06h 0Fh",
    example: "discard t0/64KiB+1MiB hold",
  },
  {
    words: "verify D [untested]",
    means: "is the device there and ready; untested: is it there",
    clause: "6.4.6.9",
    codes: "07h",
    example: "verify d0",
  },
  {
    words: "filemarks T N [immediate]",
    means: "N filemarks to tape",
    clause: "6.4.6.13",
    codes: "10h",
    example: "filemarks t0 2",
  },
  {
    words: "space T WHAT N | eod",
    means: "over N of WHAT (below), backwards with -N; eod: to the end of data",
    clause: "6.4.6.14",
    codes: "11h",
    example: "space t0 filemarks 1",
  },
  {
    words: "locate T N",
    means: "to logical object N",
    clause: "6.4.6.15",
    codes: "12h",
    example: "locate t0 17",
  },
  {
    words: "image T -> T [filemarks N]",
    means: "blocks and filemarks as they are, to N consecutive filemarks, or to the end of data",
    clause: "6.4.6.16",
    codes: "13h",
    example: "image t0 -> t1 filemarks 2",
  },
  {
    words: "image D@LBA[+N] -> D@LBA",
    means: "N blocks from disk to disk, or all that there are from LBA on",
    clause: "6.4.6.19",
    codes: "16h",
    example: "image d0@0 -> d1@0",
  },
  {
    words: "register D key=KEY action=KEY",
    means: "registers a persistent reservation key",
    clause: "6.4.6.17",
    codes: "14h",
    example: "register d0 key=0x1 action=0x2",
  },
  {
    words: "move D to PORT [port=N] key=KEY action=KEY [unregister] [aptpl]",
    means: "moves a registration to another initiator port: iscsi:NAME[,i,0xISID], fc:HEX or sas:HEX",
    clause: "6.4.6.18",
    codes: "15h",
    example: "move d0 to fc:2100000e1e1b9d60 port=1 key=0x1 action=0x2 unregister",
  },
  {
    words: "rod D@LBA+N[,LBA+N]… -> R",
    means: "adds ranges of blocks to a ROD; D has to be this",
    clause: "6.4.6.20",
    codes: "BEh",
    example: "rod this@0+8,64+8 -> r0",
  },
  {
    words: "rodrange D@LBA+N -> R",
    means: "adds one range of blocks to a ROD; D has to be this",
    clause: "6.4.6.21",
    codes: "BFh",
    example: "rodrange this@0+8 -> r0",
  },
];

const DEVICES: readonly (readonly [string, string])[] = [
  ["NAME=naa.HEX | eui.HEX | t10.TEXT | iqn.NAME", "a device by its designator; a text with spaces stands in quotes"],
  ["NAME=lun:N", "another logical unit of the same target, which is asked for its designator"],
  ["NAME=/dev/sgN | iscsi://HOST:PORT/TARGET/LUN", "any logical unit that can be asked"],
  ["NAME=designator:CODESET.ASSOCIATION.TYPE.HEX", "a designator that has no words"],
  ["NAME=this", "the logical unit that gets the command"],
  ["NAME=rod[,OPTION]…", "a ROD: rodtype=N, token=OFFSET, producer=N, lifetime=S, inactivity=S, return, delete"],
  [",disk ,tape ,type=N", "what it is; a disk unless it is said or asked for"],
  [",block=BYTES", "bytes of a disk's block"],
  [",fixed=BYTES", "a tape that is written in fixed blocks"],
  [",pad ,port=N ,null", "PAD, RELATIVE INITIATOR PORT IDENTIFIER, NUL"],
];

const NOTES = `D, T, R are names of disks, tapes and RODs; this, nulldisk, nulltape, maker and cscd:N need no --device.
Numbers are decimal or 0x…; SIZE and BYTES may have KiB, MiB or GiB. Of a tape with fixed=, SIZE is a multiple of that.
DATA: "text" (with \\" \\\\ \\n), hex:00ff, @FILE, and for inline data@OFFSET+BYTES, a part of --inline FILE.
WHAT: blocks, filemarks, sequential (filemarks), setmarks, sequential-setmarks, or code C for a CODE of SPACE (6).
cat keeps what is left over for the next segment; hold keeps a copy of the data for the data command.
A file (-f) has one segment a line, lines "device NAME=…", and # to the end of a line for what is not read.`;

/** For --help and for the reference. */
export function grammarText(): string {
  const width = Math.max(...[...GRAMMAR.map(({ words }) => words), ...DEVICES.map(([words]) => words)].map(length));
  const line = (words: string, means: string): string => `  ${words.padEnd(width)}  ${means}`;
  return [
    "Segments:",
    ...GRAMMAR.map(({ words, means }) => line(words, means)),
    "",
    "Devices (--device, or a line of the file):",
    ...DEVICES.map(([words, means]) => line(words, means)),
    "",
    NOTES,
  ].join("\n");
}

const length = (text: string): number => text.length;
