// The list that a job works from: there, and whole.
import type { ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import type { ListSource } from "./job-context.js";

/** Throws LIST_NOT_WHOLE. */
export function wholeList({ lists }: { readonly lists: ListSource }, listId: string | undefined): ListHeader {
  const header = listId === undefined ? undefined : lists.header(listId);
  if (header !== undefined) return header;
  throw new GantryError("LIST_NOT_WHOLE", `List ${listId} is not here whole; send it, then submit the job.`);
}
