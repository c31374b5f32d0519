// Does a restore list fit an archive? Every question is asked before anything moves.
import { GantryError } from "../../sys/errors.js";
import type { ManifestMember } from "./manifest-format.js";
import { type ManifestSource, ManifestWalk } from "./manifest-walk.js";
import { archiveName, hasData } from "./member-header.js";
import type { FoundMember, NameIndex } from "./name-index.js";
import { RestoreFault, restorePieces } from "./restore-pieces.js";

/** Problems that a refusal names; more are only counted. */
const PROBLEMS_NAMED = 20;

export class Problems {
  readonly #named: string[] = [];
  #count = 0;

  add(name: string, fault: string): void {
    if (this.#count++ < PROBLEMS_NAMED) this.#named.push(`${JSON.stringify(name)} ${fault}.`);
  }

  /** @throws GantryError ARCHIVE_RESTORE_REFUSED when there are any. */
  refuse(): void {
    if (this.#count === 0) return;
    const more = this.#count > 1 ? ` (and ${this.#count - 1} more problems)` : "";
    throw new GantryError("ARCHIVE_RESTORE_REFUSED", `Member ${this.#named[0]}${more}`, {
      details: { problems: [...this.#named], count: this.#count },
    });
  }
}

export interface Findings {
  /** Members of the list with data, and their data bytes on tape. */
  readonly members: number;
  readonly bytes: bigint;
}

/** Marks in the index which of the archive's members is meant by each of the list's (of several of one name the
 * last, as tar has it), and goes through all their data. */
export async function examine(
  index: NameIndex,
  manifest: ManifestSource,
  blockBytes: bigint,
  problems: Problems,
): Promise<Findings> {
  await match(index, manifest);
  for (let ordinal = 0; ordinal < index.size; ordinal++) {
    if (index.matchOf(ordinal) === 0) problems.add(archiveName(await index.member(ordinal)), "is not in the archive");
  }
  let [members, bytes] = [0, 0n];
  const walk = new ManifestWalk(manifest);
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    const found = await index.find(member.name);
    if (found === undefined || index.matchOf(found.ordinal) !== walk.tag) continue;
    const fault = await faultOf(walk, member, found, blockBytes);
    if (fault !== undefined) problems.add(member.name, fault);
    if (hasData(member)) members++;
    bytes += member.bytes;
  }
  return { members, bytes };
}

async function match(index: NameIndex, manifest: ManifestSource): Promise<void> {
  const walk = new ManifestWalk(manifest);
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    const found = await index.find(member.name);
    if (found !== undefined) index.setMatch(found.ordinal, walk.tag);
  }
}

async function faultOf(
  walk: ManifestWalk,
  member: ManifestMember,
  { member: wanted, extents }: FoundMember,
  blockBytes: bigint,
): Promise<string | undefined> {
  if (hasData(member) !== hasData(wanted)) return `is a ${member.type} in the archive and a ${wanted.type} in the list`;
  if (!hasData(member)) return undefined;
  if (member.size !== wanted.size) return `has ${member.size} bytes in the archive and ${wanted.size} in the list`;
  try {
    for await (const _piece of restorePieces(walk, member, wanted, extents, blockBytes));
    return undefined;
  } catch (error) {
    if (error instanceof RestoreFault) return error.message;
    throw error;
  }
}
