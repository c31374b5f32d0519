// The copy manager as a whole, among models: commands of two nexuses with whatever parameter list, while devices fail, and
// copies are aborted or lose their right. What has to hold of every one of them is in lib/copy-order-run.ts. An input is
// who asks (bit 0: the one who may only read a disk; bits 1 to 3: the LUN; bits 4 to 6: what happens meanwhile; bit 7: the
// length in the CDB is to stay as it is), a CDB of 16 bytes, and the parameter list.
import fc from "fast-check";
import { encodeCopyCommand } from "../../../src/wire/xcopy/commands.js";
import { carryOut, knownToken } from "../../lib/copy-order-run.js";
import { type Order, ordersWith } from "../../lib/copy-orders.js";
import { FULL, LUN, READER } from "../../lib/copy-room.js";
import { must, type Target } from "../target.js";

const HEAD = 17;
const SEEDS = 28;
/** The seeds of the corpus are always the same orders. */
const SEED = 10;
const COPY_OUT = 0x83;
const INQUIRY = Uint8Array.of(0x12, 1, 0x8f, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

export const bytesOf = ({ nexus, lun, event, cdb, data }: Order): Uint8Array =>
  Uint8Array.of((nexus === READER ? 1 : 0) | (lun << 1) | (event << 4), ...cdb, ...data);

export function orderOf(input: Uint8Array): Order | undefined {
  if (input.length < HEAD) return undefined;
  const who = input[0] ?? 0;
  const [cdb, data] = [input.slice(1, HEAD), input.slice(HEAD)];
  if ((who & 0x80) === 0 && cdb[0] === COPY_OUT) new DataView(cdb.buffer).setUint32(10, data.length);
  return { nexus: (who & 1) === 1 ? READER : FULL, lun: (who >> 1) & 7, event: (who >> 4) & 7, cdb, data };
}

const others: readonly Uint8Array[] = [
  encodeCopyCommand({ kind: "operating-parameters", listId: 0, length: 4096 }),
  encodeCopyCommand({ kind: "all-tokens", listId: 0, length: 4096 }),
  encodeCopyCommand({ kind: "abort", listId: 1, length: 0 }),
  INQUIRY,
];

async function seeds(): Promise<readonly Uint8Array[]> {
  const orders = fc.sample(ordersWith(await knownToken()), { numRuns: SEEDS, seed: SEED });
  const asking = others.map((cdb) => ({ nexus: FULL, lun: LUN.disk0, event: 0, cdb, data: new Uint8Array(0) }));
  return [...orders, ...asking].map(bytesOf);
}

async function run(input: Uint8Array): Promise<string> {
  const order = orderOf(input);
  // Nothing else is handed up to a copy manager.
  if (order === undefined || ![COPY_OUT, 0x84, INQUIRY[0]].includes(order.cdb[0])) return "none of its commands";
  const { problem, words } = await carryOut(order);
  must(problem === undefined, problem ?? "");
  return words;
}

/** Nearly right, which changed bytes seldom are. */
const structured = fc.asyncProperty(ordersWith(await knownToken()), async (order) => {
  const { problem } = await carryOut(order);
  must(problem === undefined, problem ?? "");
});

export const copyManagerTargets: readonly Target[] = [
  { name: "copy-manager", codes: [], seeds, run, roundTrip: structured as fc.IAsyncProperty<[unknown]>, cost: 2 },
];
