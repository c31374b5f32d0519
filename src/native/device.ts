// Emulated devices: checks the options in words and holds the handle.
import type { Addon, DeviceHandle } from "./addon.js";
import { flag, integer, oneOf, optionalText, text, U16_MAX, U32_MAX, U64_MAX, wide } from "./check.js";
import { call, callLater } from "./failure.js";
import type {
  CartridgeOptions,
  DiskOptions,
  EmulatedDevice,
  EmulatedTape,
  Fault,
  StreamCounts,
  TapeOptions,
} from "./types.js";

// Lengths of the INQUIRY fields, SPC-4 6.6.2; the unit serial number page has room for more than anybody uses.
const VENDOR_BYTES = 8;
const PRODUCT_BYTES = 16;
const SERIAL_BYTES = 32;
const MAX_BLOCK_BYTES = 8 << 20;

/** Numbers of csrc/transport/lu.h gt_outcome. */
const FAULT_OUTCOME = { transport: 1, "timed-out": 2 } as const;

class Device implements EmulatedDevice {
  constructor(
    protected readonly addon: Addon,
    readonly handle: DeviceHandle,
  ) {}

  inject(fault: Fault): void {
    const outcome =
      fault.outcome === undefined ? undefined : oneOf("outcome", fault.outcome, ["transport", "timed-out"]);
    call(() =>
      this.addon.deviceInject(
        this.handle,
        integer("opcode", fault.opcode, 0, U16_MAX, U16_MAX),
        wide("first", fault.first, 0n),
        wide("last", fault.last, U64_MAX),
        integer("skip", fault.skip, 0, U32_MAX, 0),
        integer("count", fault.count, 0, U32_MAX, 1),
        integer("status", fault.status, 0, 0xff, 0),
        integer("key", fault.key, 0, 0x0f, 0),
        integer("asc", fault.asc, 0, 0xff, 0),
        integer("ascq", fault.ascq, 0, 0xff, 0),
        outcome === undefined ? 0 : FAULT_OUTCOME[outcome],
        flag("after", fault.after),
        flag("deferred", fault.deferred),
        integer("delayMs", fault.delayMs, 0, U32_MAX, 0),
      ),
    );
  }

  clearFaults(): void {
    call(() => this.addon.deviceClearFaults(this.handle));
  }

  pace(bytesPerS: bigint): void {
    call(() => this.addon.devicePace(this.handle, wide("bytesPerS", bytesPerS)));
  }

  close(): void {
    call(() => this.addon.deviceClose(this.handle));
  }
}

class Tape extends Device implements EmulatedTape {
  /** Settled when the last load or unload that was asked for has ended, well or not. */
  #turn: Promise<void> = Promise.resolve();

  async load(cartridge: CartridgeOptions): Promise<void> {
    const path = text("path", cartridge.path);
    const capacityBytes = wide("capacityBytes", cartridge.capacityBytes, 0n);
    const earlyWarningBytes = wide("earlyWarningBytes", cartridge.earlyWarningBytes, 0n);
    const writeProtected = flag("writeProtected", cartridge.writeProtected);
    const worm = flag("worm", cartridge.worm);
    await this.#inTurn(() =>
      this.addon.tapeLoad(this.handle, path, capacityBytes, earlyWarningBytes, writeProtected, worm),
    );
  }

  async unload(): Promise<void> {
    await this.#inTurn(() => this.addon.tapeUnload(this.handle));
  }

  stream(bytesPerS: bigint, bufferBytes: bigint): void {
    call(() => this.addon.tapeStream(this.handle, wide("bytesPerS", bytesPerS), wide("bufferBytes", bufferBytes)));
  }

  streamCounts(): StreamCounts {
    const [starts, underruns] = call(() => this.addon.tapeStreamCounts(this.handle));
    return { starts, underruns };
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const ended = this.#turn.then(() => callLater(work));
    this.#turn = ended.catch(() => {});
    return ended;
  }
}

export function openDisk(addon: Addon, options: DiskOptions): EmulatedDevice {
  const handle = call(() =>
    addon.openDisk(
      text("path", options.path),
      oneOf("blockBytes", options.blockBytes, [512, 4096]),
      wide("blocks", options.blocks),
      optionalText("vendor", options.vendor, VENDOR_BYTES),
      optionalText("product", options.product, PRODUCT_BYTES),
      optionalText("serial", options.serial, SERIAL_BYTES),
      flag("thin", options.thin),
      flag("readOnly", options.readOnly),
      integer("maxTransferBlocks", options.maxTransferBlocks, 0, U32_MAX, 0),
      flag("volatileCache", options.volatileCache),
      flag("removable", options.removable),
      integer("physicalBlockBytes", options.physicalBlockBytes, 0, U32_MAX, 0),
    ),
  );
  return new Device(addon, handle);
}

export function openTape(addon: Addon, options: TapeOptions): EmulatedTape {
  const handle = call(() =>
    addon.openTape(
      optionalText("vendor", options.vendor, VENDOR_BYTES),
      optionalText("product", options.product, PRODUCT_BYTES),
      optionalText("serial", options.serial, SERIAL_BYTES),
      integer("maxBlockBytes", options.maxBlockBytes, 0, MAX_BLOCK_BYTES, 0),
      flag("volatileCache", options.volatileCache),
    ),
  );
  return new Tape(addon, handle);
}

/** The handle behind a device of this module, or undefined for anything else. */
export function deviceHandle(device: unknown): DeviceHandle | undefined {
  return device instanceof Device ? device.handle : undefined;
}
