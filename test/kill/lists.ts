// A block list of many small chunks, so that a kill finds one on its way.
import type { BridgeClient } from "../../src/control/client.js";
import { ListTally } from "../../src/control/list-tally.js";
import type { ListStatus } from "../../src/control/messages/commands.js";

/** Sends a list of files of eight blocks each, one in a chunk; resolves when the bridge has it whole. */
export function sendChunkedList(
  client: BridgeClient,
  listId: string,
  count: number,
  onChunk: () => void,
): Promise<ListStatus> {
  const tally = new ListTally();
  const chunks = Array.from({ length: count }, (_, index) => {
    const extents = {
      fileOffset: BigUint64Array.of(0n),
      lba: BigUint64Array.of(BigInt(index * 8)),
      blocks: Uint32Array.of(8),
    };
    const member = { name: `file-${index}`, type: "file" as const, size: 4096n, mode: 0o600, uid: 0, gid: 0 };
    return tally.add({ index, members: [{ ...member, mtimeNs: 0n, extents: 1 }], extents });
  });
  const header = tally.header(listId, { id: "v", generation: "g", sequence: 1n }, 512);
  return client.sendList(header, "disk0", chunks, { onChunk });
}
