// From a list member to the header blocks that stand in front of its data: a ustar block, and an extended
// header when that cannot say everything.
import type { ListMember } from "../../list.js";
import { GantryError } from "../../sys/errors.js";
import {
  BLOCK,
  fallback,
  fits,
  ID_MAX,
  NAME_MAX,
  OWNER_MAX,
  paxHeader,
  paxRecord,
  SIZE_MAX,
  TypeFlag,
  ustarBlock,
} from "./ustar.js";

/** Longest member name and link text, UTF-8 bytes (PATH_MAX less its NUL); keeps a continuation lead constant. */
export const MEMBER_NAME_MAX = 4095;

/** Folder of the archive's own members; a list may not use it. */
export const OWN_FOLDER = ".gantry/";

const TYPEFLAGS: Record<ListMember["type"], string> = {
  file: TypeFlag.FILE,
  image: TypeFlag.FILE,
  directory: TypeFlag.DIRECTORY,
  symlink: TypeFlag.SYMLINK,
  hardlink: TypeFlag.HARDLINK,
};

/** Name under which a list member stands in the archive: images get ".img", directories end in "/". */
export function archiveName(member: Pick<ListMember, "name" | "type">): string {
  if (member.type === "image") return `${member.name}.img`;
  if (member.type === "directory") return `${member.name.replace(/\/+$/, "")}/`;
  return member.name;
}

/** True for the types that have data. */
export function hasData(member: Pick<ListMember, "type">): boolean {
  return member.type === "file" || member.type === "image";
}

/** @throws GantryError ARCHIVE_LIST_INVALID: the member cannot stand in an archive, or not safely. */
export function checkMember(member: ListMember): void {
  const wrong = memberFault(member);
  if (wrong === undefined) return;
  throw new GantryError("ARCHIVE_LIST_INVALID", `Member ${JSON.stringify(member.name)} ${wrong}.`, {
    details: { member: member.name },
  });
}

function memberFault(member: ListMember): string | undefined {
  const name = pathFault(member.name);
  if (name !== undefined) return `has a name that ${name}`;
  if (`${member.name}/`.replace(/^(\.\/)+/, "").startsWith(OWN_FOLDER)) {
    return `lies in ${OWN_FOLDER}, which is the archive's own folder; leave it out of the list`;
  }
  if (member.type !== "directory" && member.name.endsWith("/"))
    return 'has a name that ends in "/" but is no directory';
  if (member.size < 0n || member.size > 0x7fffffffffffffffn)
    return `has a size of ${member.size} bytes, which is out of range`;
  if (!hasData(member) && member.extents !== 0) return `is a ${member.type} and must have no extents`;
  if (!isId(member.uid) || !isId(member.gid)) return "has a uid or gid that is no number from 0 to 2^32-1";
  if (!Number.isInteger(member.mode) || member.mode < 0 || member.mode > 0o7777) return "has a mode outside 0 to 07777";
  for (const text of [member.uname ?? "", member.gname ?? ""]) {
    if (text.includes("\0") || /\p{Surrogate}/u.test(text)) return "has an owner or group name that is no UTF-8 text";
  }
  return linkFault(member);
}

function linkFault(member: ListMember): string | undefined {
  if (member.type !== "symlink" && member.type !== "hardlink") return undefined;
  const link = member.linkName ?? "";
  const fault = member.type === "hardlink" ? pathFault(link) : textFault(link);
  return fault === undefined ? undefined : `is a ${member.type} with a link name that ${fault}`;
}

function pathFault(path: string): string | undefined {
  if (path.startsWith("/")) return 'begins with "/"; it must be relative';
  if (path.split("/").includes("..")) return 'has a ".." part';
  return textFault(path);
}

function textFault(text: string): string | undefined {
  if (text === "") return "is empty";
  if (text.includes("\0")) return "has a NUL";
  if (/\p{Surrogate}/u.test(text)) return "is no UTF-8 text";
  const bytes = Buffer.byteLength(text);
  return bytes > MEMBER_NAME_MAX ? `is ${bytes} bytes long; at most ${MEMBER_NAME_MAX} are allowed` : undefined;
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id <= 0xffffffff;
}

/** The header of a member, whose length is known before it is made. */
export interface MemberHeader {
  /** Bytes: one block, and an extended header if there has to be one. */
  readonly bytes: number;
  make(): Uint8Array;
}

/** Header blocks of a member.
 * @param stored bytes that follow the header (a sparse member's map among them), before padding.
 * @param sparse the data is in GNU sparse format 1.0 ("PAX Format, Version 1.0" of the GNU tar manual): the map
 *   stands in front of the data, the name in GNU.sparse.name and the size in GNU.sparse.realsize. */
export function memberHeader(member: ListMember, stored: bigint, sparse: boolean): MemberHeader {
  const name = archiveName(member);
  const link = member.type === "symlink" || member.type === "hardlink" ? (member.linkName ?? "") : "";
  const records = extendedRecords(member, name, link, stored, sparse);
  const body = records.reduce((sum, record) => sum + record.length, 0);
  return {
    bytes: body === 0 ? BLOCK : 2 * BLOCK + Math.ceil(body / BLOCK) * BLOCK,
    make() {
      const main = mainBlock(member, sparse ? sparseName(name) : name, link, stored);
      if (body === 0) return main;
      const extended = paxHeader(TypeFlag.EXTENDED, shown(`PaxHeaders/${baseName(name)}`, NAME_MAX), records);
      return Buffer.concat([extended, main]);
    },
  };
}

function mainBlock(member: ListMember, name: string, link: string, stored: bigint): Uint8Array {
  return ustarBlock({
    name: shown(name, NAME_MAX),
    typeflag: TYPEFLAGS[member.type],
    size: stored,
    mode: member.mode,
    uid: member.uid,
    gid: member.gid,
    mtime: floorSeconds(member.mtimeNs),
    linkName: shown(link, NAME_MAX),
    uname: shown(member.uname ?? "", OWNER_MAX),
    gname: shown(member.gname ?? "", OWNER_MAX),
  });
}

/** The text if the field holds it, else what of it can be shown. */
function shown(value: string, max: number): string {
  return fits(value, max) ? value : fallback(value, max);
}

function extendedRecords(
  member: ListMember,
  name: string,
  link: string,
  stored: bigint,
  sparse: boolean,
): Uint8Array[] {
  const records: Uint8Array[] = [];
  const put = (keyword: string, value: string) => records.push(paxRecord(keyword, value));
  if (sparse) {
    put("GNU.sparse.major", "1");
    put("GNU.sparse.minor", "0");
    put("GNU.sparse.name", name);
    put("GNU.sparse.realsize", String(member.size));
  } else if (!fits(name, NAME_MAX)) put("path", name);
  if (!fits(link, NAME_MAX)) put("linkpath", link);
  if (stored > SIZE_MAX) put("size", String(stored));
  if (member.uid > ID_MAX) put("uid", String(member.uid));
  if (member.gid > ID_MAX) put("gid", String(member.gid));
  if (!fits(member.uname ?? "", OWNER_MAX)) put("uname", member.uname ?? "");
  if (!fits(member.gname ?? "", OWNER_MAX)) put("gname", member.gname ?? "");
  const seconds = floorSeconds(member.mtimeNs);
  if (seconds * 1_000_000_000n !== member.mtimeNs || seconds < 0n || seconds > SIZE_MAX) {
    put("mtime", decimalSeconds(member.mtimeNs));
  }
  return records;
}

/** Seconds with up to nine decimals, as pax has times: -1500000000n is "-1.5". */
export function decimalSeconds(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const fraction = String(size % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${ns < 0n ? "-" : ""}${size / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

function floorSeconds(ns: bigint): bigint {
  const seconds = ns / 1_000_000_000n;
  return ns < 0n && seconds * 1_000_000_000n !== ns ? seconds - 1n : seconds;
}

function baseName(name: string): string {
  const parts = name.split("/").filter((part) => part !== "");
  return parts[parts.length - 1] ?? "";
}

/** What readers that know no sparse files call the member: as GNU tar writes it, with 0 for the process id. */
function sparseName(name: string): string {
  const slash = name.lastIndexOf("/");
  return `${slash < 0 ? "." : name.slice(0, slash)}/GNUSparseFile.0/${name.slice(slash + 1)}`;
}
