// What the list receiver knows about one list, its record in the store, and its status as it is told.
import * as v from "valibot";
import type { ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { decode, encode } from "./codec.js";
import { map, name, read, whole } from "./fields.js";
import { type ListStatus, listHeaderSchema } from "./messages/commands.js";

/** A list that is whole, as jobs see it. */
export interface WholeList {
  readonly header: ListHeader;
  /** Name of the device that the LBAs are of. */
  readonly device: string;
}

export interface ListEntry extends WholeList {
  state: "open" | "checking" | "whole" | "dropping";
  /** Length of each stored chunk by index; 0: missing. */
  readonly sizes: Uint32Array;
  stored: number;
  bytes: number;
  /** Puts under way, by index. */
  readonly pending: Map<number, Promise<void>>;
  checking?: Promise<void>;
  dropping?: Promise<void>;
  /** Monotonic milliseconds of the last change or use. */
  touchedMs: number;
  holds: number;
}

/** Most ranges of missing chunks in one answer. */
const MISSING_RANGES = 1000;

const recordSchema = map({ v: whole(1, 1), header: listHeaderSchema, device: name, whole: v.boolean() });

/** Key in `pending` of the record that open() writes. */
export const OPENING = -1;

export function newEntry(list: WholeList, nowMs: number): ListEntry {
  return {
    ...list,
    state: "open",
    sizes: new Uint32Array(list.header.chunks),
    stored: 0,
    bytes: 0,
    pending: new Map(),
    touchedMs: nowMs,
    holds: 0,
  };
}

export function record(entry: WholeList, isWhole: boolean): Uint8Array {
  return encode({ v: 1, header: entry.header, device: entry.device, whole: isWhole });
}

/** Undefined when the record is not one of ours. */
export function readRecord(bytes: Uint8Array, nowMs: number): ListEntry | undefined {
  try {
    const { header, device, whole: isWhole } = read("list record", recordSchema, decode(bytes));
    return { ...newEntry({ header, device }, nowMs), state: isWhole ? "whole" : "open" };
  } catch {
    return undefined;
  }
}

export function sameList(known: WholeList, header: ListHeader, device: string): boolean {
  return Buffer.compare(encode({ header: known.header, device: known.device }), encode({ header, device })) === 0;
}

export function statusOf(entry: ListEntry): ListStatus {
  const { state, header, stored } = entry;
  return {
    listId: header.listId,
    state: state === "dropping" ? "open" : state,
    chunks: header.chunks,
    stored,
    missing: missingRanges(entry.sizes),
  };
}

function missingRanges(sizes: Uint32Array): [number, number][] {
  const ranges: [number, number][] = [];
  for (let at = sizes.indexOf(0); at >= 0 && ranges.length < MISSING_RANGES; at = sizes.indexOf(0, at)) {
    const first = at;
    while (at < sizes.length && sizes[at] === 0) at += 1;
    ranges.push([first, at - 1]);
  }
  return ranges;
}

export function unknownList(listId: string): GantryError {
  return new GantryError("LIST_UNKNOWN", `There is no list ${listId}; open it first.`);
}
