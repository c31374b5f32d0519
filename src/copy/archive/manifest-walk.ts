// Walks over a manifest member by member, with the ranges of a member's map drawn one by one, so that a map of any
// length never exists as a whole. Checks that offsets rise and that maps are what they must be.
import { GantryError } from "../../sys/errors.js";
import type { ManifestEnd, ManifestHead, ManifestMember, ManifestTrailer } from "./manifest-format.js";
import { type ManifestRecord, parseManifest } from "./manifest-read.js";
import type { Ranges } from "./member-data.js";

/** The manifest's bytes, from the beginning whenever it is called. */
export type ManifestSource = () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface Range {
  /** Byte offset in the member. */
  readonly offset: bigint;
  readonly bytes: bigint;
}

export class ManifestWalk {
  readonly #records: AsyncGenerator<ManifestRecord, void, void>;
  #ahead: ManifestRecord | undefined;
  #head: ManifestHead | undefined;
  #end: ManifestEnd | undefined;
  #trailer: ManifestTrailer | undefined;
  #member: ManifestMember | undefined;
  #tag = 0;
  #map: Ranges = [];
  #at = 0;
  #whole = false;
  #rangeEnd = 0n;
  #bytesSeen = 0n;
  #dataEnd = 0n;

  constructor(source: ManifestSource) {
    this.#records = parseManifest(source());
  }

  /** Known after the first member() or when there is none. */
  get head(): ManifestHead | undefined {
    return this.#head;
  }

  /** Known when member() has given undefined. */
  get end(): ManifestEnd | undefined {
    return this.#end;
  }

  get trailer(): ManifestTrailer | undefined {
    return this.#trailer;
  }

  /** Number of the member: 1, 2, 3, … */
  get tag(): number {
    return this.#tag;
  }

  /** The next member; what was left of the map of the one before it is passed over. Undefined at the end.
   * @throws GantryError ARCHIVE_INVALID */
  async member(): Promise<ManifestMember | undefined> {
    for (let record = await this.#next(); record !== undefined; record = await this.#next()) {
      if (record.kind === "head") this.#head = record.head;
      else if (record.kind === "end") this.#end = record.end;
      else if (record.kind === "trailer") this.#trailer = record.trailer;
      else if (record.kind === "member") return this.#open(record.member, record.map);
    }
    if (this.#trailer === undefined) throw this.#bad("it ends early");
    return undefined;
  }

  /** The next range of the member's data; undefined after the last. @throws GantryError ARCHIVE_INVALID */
  async range(): Promise<Range | undefined> {
    const member = this.#member;
    if (member === undefined) return undefined;
    if (this.#whole) {
      this.#whole = false;
      this.#bytesSeen = member.bytes;
      return { offset: 0n, bytes: member.bytes };
    }
    while (this.#at >= this.#map.length) {
      const record = await this.#next();
      if (record?.kind !== "map") {
        this.#ahead = record;
        this.#member = undefined;
        if (this.#bytesSeen !== member.bytes) throw this.#bad(`the map of ${JSON.stringify(member.name)} is wrong`);
        return undefined;
      }
      this.#map = record.map;
      this.#at = 0;
    }
    const [offset = 0n, bytes = 0n] = this.#map.slice(this.#at, this.#at + 2);
    this.#at += 2;
    this.#bytesSeen += bytes;
    const fits = offset <= member.size && bytes <= member.size - offset && this.#bytesSeen <= member.bytes;
    if (bytes === 0n || offset < this.#rangeEnd || !fits) {
      throw this.#bad(`the map of ${JSON.stringify(member.name)} is wrong at offset ${offset}`);
    }
    this.#rangeEnd = offset + bytes;
    return { offset, bytes };
  }

  #open(member: ManifestMember, map: Ranges): ManifestMember {
    if (member.header < this.#dataEnd || member.data < member.header) {
      throw this.#bad(`${JSON.stringify(member.name)} lies before the end of the member before it`);
    }
    this.#tag++;
    this.#dataEnd = member.data + member.bytes;
    this.#member = member;
    this.#map = map;
    this.#at = 0;
    this.#whole = member.bytes > 0n && member.bytes === member.size;
    this.#rangeEnd = 0n;
    this.#bytesSeen = 0n;
    return member;
  }

  async #next(): Promise<ManifestRecord | undefined> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead !== undefined) return ahead;
    const step = await this.#records.next();
    return step.done ? undefined : step.value;
  }

  #bad(fault: string): GantryError {
    return new GantryError("ARCHIVE_INVALID", `The manifest contradicts itself: ${fault}.`);
  }
}
