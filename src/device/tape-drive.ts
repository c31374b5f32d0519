// A tape drive, opened for a copy: variable-block mode, position, filemarks. Data blocks are the engine's; here
// is what happens between them.
import type { CopyLu, ScsiAnswer } from "../native/types.js";
import { GantryError } from "../sys/errors.js";
import * as cdb from "../wire/cdb.js";
import { decodeModeSense6, encodeModeSelect6, encodeTapeParameter, MODE_PAGE, tapeParameter } from "../wire/mode.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { residual } from "../wire/sense.js";
import { decodeBlockLengthLimits, decodeLongPosition, decodeShortPosition, type TapePosition } from "../wire/tape.js";
import { deviceFailure, isIllegalRequest, senseOf } from "./failure.js";
import type { CommandOptions, ScsiUnit } from "./scsi-unit.js";

/** Loading and threading a cartridge; the first load of some media takes far longer and says so by 04h/01h. */
const READY_MS = 7_200_000;
const MOTION_MS = 3_600_000;
/** SSC-4 READ BLOCK LIMITS: 0 is "no limit"; READ(6) and WRITE(6) count to 2^24 - 1. */
const LENGTH_MAX = 0xffffff;
const MODE_BYTES = 252;

export interface TapeDrive {
  readonly unit: ScsiUnit;
  readonly copyLu: CopyLu;
  readonly maxBlockBytes: number;
  readonly writeProtected: boolean;
  rewind(): Promise<void>;
  /** To a logical object number; by LOCATE where the drive has it, else by REWIND and SPACE. */
  locate(object: bigint): Promise<void>;
  /** Past the last recorded object; resolves with its number. */
  endOfData(): Promise<bigint>;
  /** Logical object number where the drive stands; undefined when it does not know. */
  position(): Promise<bigint | undefined>;
  /** Over filemarks; negative backward. Resolves false when there were fewer. */
  spaceFilemarks(count: number): Promise<boolean>;
  /** Over blocks; negative backward. Stops at a filemark (resolves false). */
  spaceBlocks(count: number): Promise<boolean>;
  /** Bytes of the block in front of the head, which is read for it; undefined where a filemark or the end of data
   * stands. @param most bytes that are asked for. */
  blockLength(most: number): Promise<number | undefined>;
  /** 0: only waits until everything written is on the medium. */
  writeFilemarks(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function openTapeDrive(unit: ScsiUnit): Promise<TapeDrive> {
  await unit.ready(READY_MS);
  await unit.expectType(1);
  const limits = decodeBlockLengthLimits((await unit.command(cdb.readBlockLimits(), { dataIn: 6 })).data);
  const writeProtected = await chooseVariableBlocks(unit);
  return new Drive(unit, limits.maxBlockBytes === 0 ? LENGTH_MAX : limits.maxBlockBytes, writeProtected);
}

/**
 * The drive as servers have set it, and whether it is ready or not: READ and WRITE with FIXED 0 move one block of any length,
 * whatever the mode (SSC-4 4.2.17).
 */
export async function openTapeAsItIs(unit: ScsiUnit): Promise<TapeDrive> {
  const limits = decodeBlockLengthLimits((await unit.command(cdb.readBlockLimits(), { dataIn: 6 })).data);
  return new Drive(unit, limits.maxBlockBytes === 0 ? LENGTH_MAX : limits.maxBlockBytes, false);
}

/** MODE SELECT with block length 0; everything else stays as the drive has it. Returns the WP bit. */
async function chooseVariableBlocks(unit: ScsiUnit): Promise<boolean> {
  const answer = await unit.command(cdb.modeSense6(MODE_PAGE.ALL, MODE_BYTES), { dataIn: MODE_BYTES });
  const mode = decodeModeSense6(answer.data);
  const [descriptor] = mode.blockDescriptors;
  const { writeProtected, bufferedMode, speed } = tapeParameter(mode.deviceSpecific);
  if (descriptor?.blockBytes !== 0) {
    const parameters = encodeModeSelect6({
      deviceSpecific: encodeTapeParameter(bufferedMode, speed),
      blockDescriptor: { density: descriptor?.density ?? 0, blocks: 0, blockBytes: 0 },
    });
    await unit.command(cdb.modeSelect6(parameters.length), { dataOut: parameters });
  }
  return writeProtected;
}

/** SPACE met a filemark, an end of data or the beginning of the tape: not an error but an answer. */
const endedShort = (answer: ScsiAnswer): boolean => {
  const sense = senseOf(answer);
  return sense?.key === SENSE_KEY.BLANK_CHECK || (sense?.key === SENSE_KEY.NO_SENSE && (sense.filemark || sense.eom));
};

/** Object 0 is at the beginning of the partition, and BOP says so (SSC-4, READ POSITION data); zeros without it are no answer. */
const trusted = ({ object, bop }: TapePosition): bigint | undefined => (object === 0n && !bop ? undefined : object);

class Drive implements TapeDrive {
  readonly unit: ScsiUnit;
  readonly maxBlockBytes: number;
  readonly writeProtected: boolean;

  constructor(unit: ScsiUnit, maxBlockBytes: number, writeProtected: boolean) {
    this.unit = unit;
    this.maxBlockBytes = maxBlockBytes;
    this.writeProtected = writeProtected;
  }

  /**
   * All that was learnt of the tape when it was opened holds as long as nothing happens to it. A drive that was reset
   * stands at the beginning: READ POSITION repeated there would call a full tape empty.
   */
  #command(command: Uint8Array, options: CommandOptions = {}): Promise<ScsiAnswer> {
    return this.unit.command(command, { ...options, steady: true });
  }

  get copyLu(): CopyLu {
    return { lu: this.unit.lu, type: 1, blockBytes: 0, blocks: 0n, maxIoBytes: this.maxBlockBytes };
  }

  async rewind(): Promise<void> {
    await this.#command(cdb.rewind(), { timeoutMs: MOTION_MS });
  }

  async locate(object: bigint): Promise<void> {
    const timeoutMs = MOTION_MS;
    if (object === 0n) return this.rewind();
    const long = await this.#command(cdb.locate16(object), { timeoutMs, accept: isIllegalRequest });
    if (long.status === STATUS.GOOD) return;
    if (object <= 0xffffffffn) {
      const short = await this.#command(cdb.locate10(object), { timeoutMs, accept: isIllegalRequest });
      if (short.status === STATUS.GOOD) return;
    }
    await this.rewind();
    await this.#forward(object);
  }

  /** From the beginning, over blocks and, where they come in the way, filemarks: both are logical objects. */
  async #forward(objects: bigint): Promise<void> {
    if (objects > 0x7fffffn) {
      throw new GantryError(
        "DEVICE_ERROR",
        `${this.unit.name} has no LOCATE, and ${objects} objects are too far for SPACE.`,
      );
    }
    if (await this.spaceBlocks(Number(objects))) return;
    throw new GantryError(
      "DEVICE_ERROR",
      `${this.unit.name} has no LOCATE, and a filemark or the end of data lies before object ${objects}.`,
    );
  }

  async endOfData(): Promise<bigint> {
    await this.#command(cdb.space6(cdb.SPACE.END_OF_DATA, 0), { timeoutMs: MOTION_MS, accept: endedShort });
    const object = await this.position();
    if (object === undefined) {
      throw new GantryError(
        "DEVICE_ERROR",
        `${this.unit.name} does not tell its position, so nothing can be appended; overwrite instead.`,
      );
    }
    return object;
  }

  async position(): Promise<bigint | undefined> {
    const long = await this.#command(cdb.readPosition(cdb.POSITION.LONG), { dataIn: 32, accept: isIllegalRequest });
    if (long.status === STATUS.GOOD && long.data.length >= 32) return trusted(decodeLongPosition(long.data));
    const short = await this.#command(cdb.readPosition(cdb.POSITION.SHORT), {
      dataIn: 20,
      accept: isIllegalRequest,
    });
    if (short.status !== STATUS.GOOD || short.data.length < 20) return undefined;
    return trusted(decodeShortPosition(short.data));
  }

  spaceFilemarks(count: number): Promise<boolean> {
    return this.#space(cdb.SPACE.FILEMARKS, count);
  }

  spaceBlocks(count: number): Promise<boolean> {
    return this.#space(cdb.SPACE.BLOCKS, count);
  }

  async #space(code: number, count: number): Promise<boolean> {
    const answer = await this.#command(cdb.space6(code, count), { timeoutMs: MOTION_MS, accept: endedShort });
    return answer.status === STATUS.GOOD;
  }

  async blockLength(most: number): Promise<number | undefined> {
    const told = (answer: ScsiAnswer): boolean => senseOf(answer)?.ili === true || endedShort(answer);
    const answer = await this.#command(cdb.read6(most), { dataIn: most, timeoutMs: MOTION_MS, accept: told });
    // By the sense first: at a filemark some drives count the bytes of nothing as moved.
    if (endedShort(answer)) return undefined;
    const sense = senseOf(answer);
    // INFORMATION is the length asked for less the length there is, and negative when there is more (SSC-4 5.10).
    const less = sense === undefined ? undefined : residual(sense);
    return most - (less === undefined ? answer.residual : Number(less));
  }

  async writeFilemarks(count: number): Promise<void> {
    const command = cdb.writeFilemarks(count);
    const answer = await this.#command(command, {
      timeoutMs: MOTION_MS,
      accept: (bad) => senseOf(bad) !== undefined,
    });
    if (answer.status === STATUS.GOOD) return;
    // Past early warning a filemark is written and the warning given again (SSC-4 4.2.3): that is no failure.
    const sense = senseOf(answer);
    if (sense?.key === SENSE_KEY.NO_SENSE && sense.eom) return;
    throw deviceFailure(this.unit.name, { ...answer, cdb: command }, "writing a filemark");
  }

  close(): Promise<void> {
    return this.unit.close();
  }
}
