// The ends of a segment for the naive interpretation (copy-naive.ts): what gives bytes, and what takes them.
import { type Disk, get, type Plant, type Tape, writeObjects } from "./copy-steps.js";

export interface NaiveDevice {
  readonly name: string | undefined;
  readonly pad: boolean;
  /** STREAM BLOCK LENGTH; 0: variable. */
  readonly fixed: number;
  /** Null device: length of its blocks. */
  readonly nullBlock: number;
}

export interface From {
  readonly pad: boolean;
  readonly tape?: string;
  /** All that the segment says is there. */
  readonly inRange: boolean;
  /** The next bytes; undefined: there are no more. */
  readonly read: () => number[] | undefined;
  readonly commit: () => void;
}

export interface To {
  readonly pad: boolean;
  readonly tape?: string;
  readonly unit: number;
  /** False: out of range. */
  readonly fits: (bytes: number) => boolean;
  readonly write: (data: number[]) => void;
}

export class Ends {
  private readonly plant: Plant;
  readonly devices: (id: number) => NaiveDevice;

  constructor(plant: Plant, devices: (id: number) => NaiveDevice) {
    this.plant = plant;
    this.devices = devices;
  }

  blocksFrom(id: number, lba: bigint): number {
    const { block, data } = get(this.plant.disks, this.devices(id).name ?? "");
    return data.length / block - Number(lba);
  }

  blocks(id: number, lba: bigint, blocks: number): From {
    const device = this.devices(id);
    const disk = get(this.plant.disks, device.name ?? "");
    return reader(disk, device.pad, Number(lba) * disk.block, blocks, disk.block);
  }

  bytes(id: number, lba: bigint, offset: number, bytes: number): From {
    const device = this.devices(id);
    const disk = get(this.plant.disks, device.name ?? "");
    return reader(disk, device.pad, Number(lba) * disk.block + offset, bytes, 1);
  }

  disk(id: number, lba: bigint, offset?: number): To {
    const { name, pad, nullBlock } = this.devices(id);
    if (name === undefined) return nowhere(offset === undefined ? nullBlock : 1, pad);
    const { block, data } = get(this.plant.disks, name);
    const start = Number(lba) * block + (offset ?? 0);
    return {
      pad,
      unit: offset === undefined ? block : 1,
      fits: (bytes) => bytes === 0 || start + bytes <= data.length,
      write: (out) => {
        data.set(out, out.length > 0 ? start : 0);
      },
    };
  }

  tape({ source }: { source: number; transfer: number }): From {
    const { name = "", pad } = this.devices(source);
    const tape: Tape = get(this.plant.tapes, name);
    let at = tape.at;
    return {
      pad,
      tape: name,
      inRange: true,
      read: () => {
        const object = tape.objects[at++];
        if (object === undefined || object === "mark") throw new Error("the tape of the test is too short");
        return [...object];
      },
      commit: () => {
        tape.at = at;
      },
    };
  }

  tapeTo({ destination, transfer }: { destination: number; transfer: number }): To {
    const { name, pad, fixed } = this.devices(destination);
    if (name === undefined) return nowhere(1, pad);
    const unit = fixed || transfer;
    return {
      pad,
      tape: name,
      unit,
      fits: () => true,
      write: (out) => {
        const blocks: Uint8Array[] = [];
        for (let from = 0; from < out.length; from += unit) blocks.push(Uint8Array.from(out.slice(from, from + unit)));
        if (blocks.length > 0) writeObjects(get(this.plant.tapes, name), blocks);
      },
    };
  }
}

export const memory = (data: Uint8Array): From => ({
  pad: false,
  inRange: true,
  read: once([...data]),
  commit: () => {},
});

export const nowhere = (unit: number, pad: boolean): To => ({ pad, unit, fits: () => true, write: () => {} });

function once(data: number[]): () => number[] | undefined {
  let given = data.length === 0;
  return () => {
    if (given) return undefined;
    given = true;
    return data;
  };
}

/** `count` units from a byte address on. */
function reader({ data }: Disk, pad: boolean, start: number, count: number, unit: number): From {
  let [at, left] = [start, count];
  return {
    pad,
    inRange: count === 0 || start + count * unit <= data.length,
    read: () => {
      if (left-- <= 0 || at + unit > data.length) return undefined;
      at += unit;
      return [...data.subarray(at - unit, at)];
    },
    commit: () => {},
  };
}
