// Tokens as a server asks for them and presents them, for tests.
import type { ExecutionContext } from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { decodeTokenInformation, STATUS_LID4, type TokenInformation } from "../../src/wire/xcopy/copy-results.js";
import type { BlockRange } from "../../src/wire/xcopy/ranges.js";
import {
  encodePopulateToken,
  encodeWriteUsingToken,
  type PopulateToken,
  type WriteUsingToken,
} from "../../src/wire/xcopy/token-lists.js";
import { type CopyHost, type Name, words } from "./copy-plant.js";

export const LIST_ID = 0x0102_0304;
/** Why a token is none (SPC-4 table 113). */
export const NONE = {
  unknown: "5/23/4",
  corrupt: "5/23/5",
  expired: "5/23/7",
  cancelled: "5/23/8",
  deleted: "5/23/9",
} as const;

export const range = (lba: number, blocks: number): BlockRange => ({ lba: BigInt(lba), blocks });

/** Orders it, and says with what it ends. */
export async function ordered(host: CopyHost, at: Name, more: Partial<PopulateToken>): Promise<string> {
  const out = encodePopulateToken({ immediate: false, inactivitySeconds: 0, ranges: [range(0, 8)], ...more });
  const cdb = encodeCopyCommand({ kind: "populate-token", listId: LIST_ID, length: out.length });
  return words(await host.send(at, cdb, { out }));
}

export async function information(host: CopyHost, at: Name): Promise<TokenInformation> {
  const cdb = encodeCopyCommand({ kind: "token-information", listId: LIST_ID, length: 4096 });
  return decodeTokenInformation((await host.send(at, cdb, { in: 4096 })).data);
}

export async function populate(
  t: ExecutionContext<unknown>,
  host: CopyHost,
  at: Name,
  ranges: readonly BlockRange[],
  more: Partial<PopulateToken> = {},
): Promise<Uint8Array> {
  t.is(await ordered(host, at, { ranges, ...more }), "good");
  let told = await information(host, at);
  while (told.status === STATUS_LID4.BACKGROUND) told = await information(host, at);
  const [made] = told.tokens;
  if (made === undefined) throw new Error("no token was made");
  return made.token;
}

export async function write(
  host: CopyHost,
  at: Name,
  token: Uint8Array,
  ranges: readonly BlockRange[],
  more: Partial<WriteUsingToken> = {},
): Promise<string> {
  const out = encodeWriteUsingToken({ immediate: false, deleteToken: false, offset: 0n, token, ranges, ...more });
  const cdb = encodeCopyCommand({ kind: "write-using-token", listId: LIST_ID, length: out.length });
  return words(await host.send(at, cdb, { out }));
}

export const write10 = (host: CopyHost, name: Name, lba: number) =>
  host.send(name, Uint8Array.of(0x2a, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, 1, 0), { out: new Uint8Array(512) });

export const bytes = (disk: Buffer, block: number, ranges: readonly BlockRange[]): Buffer =>
  Buffer.concat(ranges.map(({ lba, blocks }) => disk.subarray(Number(lba) * block, (Number(lba) + blocks) * block)));
