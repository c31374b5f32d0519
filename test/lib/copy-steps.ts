// Carries out the steps of a copy plan on disks and tapes in memory, in whatever order the engine might: it reads ahead as
// far as it likes or not at all, and of the writes that are outstanding any may end first (csrc/copy/engine.h). It refuses
// what the engine refuses.
import type {
  CommandStep,
  CopyStep,
  DataStep,
  GatherPart,
  ImageStep,
  ScatterPart,
} from "../../src/copy-manager/steps.js";

export interface Disk {
  readonly block: number;
  readonly data: Uint8Array;
}

export interface Tape {
  objects: (Uint8Array | "mark")[];
  /** Object that comes next. */
  at: number;
}

export interface Plant {
  readonly disks: ReadonlyMap<string, Disk>;
  readonly tapes: ReadonlyMap<string, Tape>;
}

export const copyOf = (plant: Plant): Plant => ({
  disks: new Map([...plant.disks].map(([name, { block, data }]) => [name, { block, data: data.slice() }])),
  tapes: new Map([...plant.tapes].map(([name, { objects, at }]) => [name, { objects: [...objects], at }])),
});

export const get = <T>(map: ReadonlyMap<string, T>, name: string): T => {
  const found = map.get(name);
  if (found === undefined) throw new Error(`no device ${name}`);
  return found;
};

/** What writes at the tape's position write away. */
export function writeObjects(tape: Tape, objects: readonly (Uint8Array | "mark")[]): void {
  tape.objects = [...tape.objects.slice(0, tape.at), ...objects];
  tape.at += objects.length;
}

const OUTSTANDING = 16;

interface Write {
  readonly disk: Disk;
  readonly address: number;
  readonly at: number;
  readonly bytes: number;
  /** Nothing else is outstanding meanwhile. */
  readonly alone: boolean;
}

export class StepRunner {
  readonly plant: Plant;
  readonly held: number[] = [];
  readonly commands: string[] = [];
  private carried: Uint8Array = new Uint8Array(0);
  private readonly random: () => number;
  private readonly transfer: number;
  /** Probability of reading where writing is possible, too: 1 reads everything first, 0 nothing that need not be. */
  private readonly haste: number;

  /** @param transfer most bytes of a write */
  constructor(plant: Plant, transfer: number, seed: number) {
    this.plant = plant;
    this.transfer = transfer;
    this.random = generator(seed);
    this.haste = [0, 1, 0.5][seed % 3] ?? 0;
  }

  run(step: CopyStep): void {
    if (step.kind === "data") this.data(step);
    else if (step.kind === "tape-image") this.image(step);
    else this.command(step);
  }

  private command(step: CommandStep): void {
    this.commands.push(`${step.segment} ${step.kind} ${step.device}`);
    if (step.kind === "filemarks")
      writeObjects(get(this.plant.tapes, step.device), new Array<"mark">(step.count).fill("mark"));
    if (step.kind === "locate") get(this.plant.tapes, step.device).at = step.object;
  }

  private image({ segment, source, destination }: ImageStep): void {
    this.commands.push(`${segment} tape-image ${source} ${destination}`);
    const from = get(this.plant.tapes, source);
    writeObjects(get(this.plant.tapes, destination), from.objects.slice(from.at));
    from.at = from.objects.length;
  }

  private data(step: DataStep): void {
    checkShape(step, this.carried.length);
    const stream: number[] = [];
    const reads = step.gather.flatMap((part) => this.reads(part, step));
    const writes = this.writes(step.scatter);
    const outstanding: { write: Write; data: number[] }[] = [];
    const tapeRest = new Map<string, number[]>();
    while (reads.length > 0 || writes.length > 0 || outstanding.length > 0) {
      const next = writes[0];
      const canRead = reads.length > 0;
      const free = next !== undefined && this.fits(next, outstanding) && next.at + next.bytes <= stream.length;
      if (canRead && ((!free && outstanding.length === 0) || this.random() < this.haste)) {
        stream.push(...(reads.shift()?.(tapeRest) ?? []));
      } else if (free && (outstanding.length === 0 || this.random() < 0.7)) {
        writes.shift();
        outstanding.push({ write: next, data: stream.slice(next.at, next.at + next.bytes) });
      } else if (outstanding.length > 0) {
        const [done] = outstanding.splice(Math.floor(this.random() * outstanding.length), 1);
        if (done !== undefined) done.write.disk.data.set(done.data, done.write.address);
      } else if (canRead) {
        stream.push(...(reads.shift()?.(tapeRest) ?? []));
      } else {
        throw new Error("the step describes different numbers of bytes on its sides");
      }
    }
    this.scatterRest(step, stream);
  }

  private fits(next: Write, outstanding: readonly { write: Write }[]): boolean {
    if (outstanding.length >= OUTSTANDING) return false;
    if (outstanding.some(({ write }) => write.disk !== next.disk || write.alone)) return false;
    return !next.alone || outstanding.length === 0;
  }

  private reads(part: GatherPart, step: DataStep): ((rest: Map<string, number[]>) => number[])[] {
    switch (part.op) {
      case "inline":
        return [() => [...part.data]];
      case "zeros":
        return [() => new Array<number>(Number(part.bytes)).fill(0)];
      case "carried":
        return [() => [...this.carried.subarray(Number(part.skip), Number(part.skip + part.bytes))]];
      case "tape":
        return [(rest) => this.readTape(part.device, Number(part.bytes), step.sourceBlockBytes, rest)];
      case "extent": {
        const { block, data } = get(this.plant.disks, part.device);
        const start = Number(part.lba) * block + part.skip;
        if (part.skip >= block || start + Number(part.bytes) > data.length) throw new Error("read past the disk");
        return this.pieces(start, Number(part.bytes), block).map(([from, to]) => () => [...data.subarray(from, to)]);
      }
    }
  }

  /** What is left of a block stays for the next part of the same run. */
  private readTape(device: string, bytes: number, largest: number, rests: Map<string, number[]>): number[] {
    const tape = get(this.plant.tapes, device);
    const rest = rests.get(device) ?? [];
    rests.set(device, rest);
    while (rest.length < bytes) {
      const object = tape.objects[tape.at];
      if (object === undefined || object === "mark") throw new Error("the tape has ended");
      if (object.length > largest) throw new Error("a block is too large");
      tape.at++;
      rest.push(...object);
    }
    return rest.splice(0, bytes);
  }

  /** [from, to) byte addresses, each one command. */
  private pieces(start: number, bytes: number, block: number): [number, number][] {
    const pieces: [number, number][] = [];
    for (let from = start; from < start + bytes; ) {
      const edge = Math.ceil((from + 1) / block) * block;
      const to = Math.min(start + bytes, edge + Math.floor(this.random() * 4) * block);
      pieces.push([from, to]);
      from = to;
    }
    return pieces;
  }

  private writes(parts: readonly ScatterPart[]): Write[] {
    const writes: Write[] = [];
    let at = 0;
    for (const part of parts) {
      const bytes = Number(part.bytes);
      if (part.op === "extent") {
        const disk = get(this.plant.disks, part.device);
        const start = Number(part.lba) * disk.block + part.skip;
        if (part.skip >= disk.block || start + bytes > disk.data.length) throw new Error("written past the disk");
        for (const [from, to, alone] of this.commandsOf(start, bytes, disk.block))
          writes.push({ disk, address: from, at: at + from - start, bytes: to - from, alone });
      }
      at += bytes;
    }
    return writes;
  }

  /** How the engine cuts an extent: blocks that are not written whole are written by themselves. */
  private commandsOf(start: number, bytes: number, block: number): [number, number, boolean][] {
    const end = start + bytes;
    const found: [number, number, boolean][] = [];
    let from = start;
    if (from % block !== 0) {
      const to = Math.min(end, from - (from % block) + block);
      found.push([from, to, true]);
      from = to;
    }
    const whole = end - (end % block);
    while (from < whole) {
      const left = whole - from;
      const cut = left <= this.transfer ? left : block * (1 + Math.floor((this.random() * this.transfer) / block));
      const to = Math.min(whole, from + Math.min(cut, Math.max(block, this.transfer - (this.transfer % block))));
      found.push([from, to, false]);
      from = to;
    }
    if (from < end) found.push([from, end, true]);
    return found;
  }

  private scatterRest(step: DataStep, stream: readonly number[]): void {
    let at = 0;
    const onTape: number[] = [];
    for (const part of step.scatter) {
      const data = stream.slice(at, at + Number(part.bytes));
      at += data.length;
      if (part.held) this.held.push(...data);
      if (part.op === "carry") this.carried = Uint8Array.from(data);
      if (part.op === "tape") onTape.push(...data);
    }
    const device = step.scatter.find((part) => part.op === "tape")?.device;
    if (device === undefined) return;
    const objects: Uint8Array[] = [];
    for (let from = 0; from < onTape.length; from += step.tapeBlockBytes)
      objects.push(Uint8Array.from(onTape.slice(from, from + step.tapeBlockBytes)));
    writeObjects(get(this.plant.tapes, device), objects);
  }
}

/** What gt_copy_append would say, and what steps.ts promises. */
function checkShape(step: DataStep, carried: number): void {
  const { gather, scatter, segments } = step;
  const size = (part: GatherPart | ScatterPart): bigint =>
    part.op === "inline" ? BigInt(part.data.length) : part.bytes;
  const total = (parts: readonly (GatherPart | ScatterPart)[]) => parts.reduce((sum, part) => sum + size(part), 0n);
  if (total(gather) !== total(scatter)) throw new Error(`${total(gather)} bytes gathered, ${total(scatter)} scattered`);
  if ([...gather, ...scatter].some((part) => size(part) === 0n)) throw new Error("a part has no bytes");
  const tapes = (parts: readonly (GatherPart | ScatterPart)[]) =>
    new Set(parts.flatMap((part) => (part.op === "tape" ? [part.device] : [])));
  const [from, to] = [tapes(gather), tapes(scatter)];
  if (from.size > 1 || to.size > 1 || [...from].some((device) => to.has(device))) throw new Error("two tapes");
  if (from.size > 0 && gather.some((part) => part.op === "extent")) throw new Error("tape and disk are gathered");
  if (to.size > 0 && scatter.some((part) => part.op !== "tape")) throw new Error("tape and another are scattered");
  if (to.size > 0 && total(scatter) % BigInt(step.tapeBlockBytes) !== 0n) throw new Error("a short block");
  if (from.size > 0 !== step.sourceBlockBytes > 0 && from.size > 0) throw new Error("no source block length");
  for (const part of gather)
    if (part.op === "carried" && part.skip + part.bytes > BigInt(carried)) throw new Error("more than was carried");
  if (scatter.filter((part) => part.op === "carry").length > 1) throw new Error("two carries");
  let [last, end] = [-1, 0n];
  for (const segment of segments) {
    if (segment.segment <= last || segment.end < end) throw new Error("segments out of order");
    [last, end] = [segment.segment, segment.end];
  }
  if (end > total(scatter) || segments.length === 0) throw new Error("a segment ends behind the step");
}

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
