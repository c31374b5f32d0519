// Compares digests that the engine reports while an archive is read with those of the manifest.
import type { ManifestMember, MemberDigest } from "./manifest-format.js";

export interface DigestVerdict {
  /** Name in the archive. */
  readonly name: string;
  readonly ok: boolean;
  /** Archive offset of the member's first data byte. */
  readonly data: bigint;
  /** What is wrong, a sentence; "" when nothing is. */
  readonly fault: string;
}

/** Expected digests of members that are on their way. */
export class DigestCheck {
  readonly #expected = new Map<number, ManifestMember>();

  expect(tag: number, member: ManifestMember): void {
    this.#expected.set(tag, member);
  }

  /** Members whose digest has not been reported. */
  get open(): number {
    return this.#expected.size;
  }

  /** Their names, at most `most`. */
  openNames(most: number): string[] {
    return [...this.#expected.values()].slice(0, most).map((member) => member.name);
  }

  /** Judges a reported digest. Undefined: no such member was read. */
  take(tag: number, bytes: bigint, digest: MemberDigest): DigestVerdict | undefined {
    const member = this.#expected.get(tag);
    if (member === undefined) return undefined;
    this.#expected.delete(tag);
    const fault = faultOf(member, bytes, digest);
    return { name: member.name, data: member.data, ok: fault === "", fault };
  }
}

function faultOf(member: ManifestMember, bytes: bigint, digest: MemberDigest): string {
  if (bytes !== member.bytes) return `${bytes} bytes were read instead of ${member.bytes}.`;
  if (digest.crc32c !== member.crc32c) return "The CRC32C of the data is not that of the manifest.";
  const sha256 = digest.sha256 === undefined ? undefined : Buffer.from(digest.sha256).toString("hex");
  if (sha256 === undefined || member.sha256 === undefined || sha256 === member.sha256) return "";
  return "The SHA-256 of the data is not that of the manifest.";
}
