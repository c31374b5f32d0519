// Lists as jobs read them: what was received whole, from the chunk store, chunk by chunk.
import type { ListSource } from "../copy/job-context.js";
import type { DurableChunkStore } from "./durable-chunk-store.js";
import { decodeChunk } from "./list-chunk.js";
import type { ListReceiver, WholeList } from "./list-receiver.js";

export function listSourceOf(lists: ListReceiver, chunks: DurableChunkStore): ListSource {
  const whole = (listId: string): WholeList | undefined => {
    try {
      return lists.whole(listId);
    } catch {
      // Unknown or not whole: for a job both mean that there is no list to work from.
      return undefined;
    }
  };
  return {
    header: (listId) => whole(listId)?.header,
    device: (listId) => whole(listId)?.device,
    async read(listId, index) {
      const bytes = await chunks.get(listId, index);
      if (bytes === undefined) throw new Error(`chunk ${index} of list ${listId} is gone`);
      return decodeChunk(bytes, index);
    },
    hold: (listId) => lists.hold(listId),
  };
}
