// TAPE DEVICE IMAGE COPY (SPC-4 6.4.6.15): blocks of every length and filemarks as they are, from where both tapes stand.
// One run of the engine for each file of the source; the filemark behind it is written between runs.
import { type RunControl, runCopy } from "../copy/copy-run.js";
import { ProgramBuilder, TO_FILEMARK } from "../native/program.js";
import { writeFilemarks } from "../wire/cdb.js";
import { SENSE_KEY } from "../wire/names.js";
import { decodeSense } from "../wire/sense.js";
import { COPY_LIMITS } from "./limits.js";
import { RING_BLOCKS } from "./memory.js";
import { failureOf } from "./resolver.js";
import { type RunPlant, refusalOf, type StepEnd, writtenOf } from "./run-data.js";
import type { ImageStep } from "./steps.js";
import type { Leased } from "./units.js";

const FROM = 0;
const TO = 1;
const MOTION_MS = 3_600_000;

/** @param onBytes more of them are on the destination */
export async function runImage(
  step: ImageStep,
  plant: RunPlant,
  control: RunControl,
  onBytes: (bytes: bigint) => void,
): Promise<StepEnd> {
  const handles: Leased[] = [];
  let sound = false;
  try {
    handles.push(await plant.units.lease(step.source));
    handles.push(await plant.units.lease(step.destination));
    const end = await copyFiles(step, plant, control, handles, onBytes);
    sound = end.refusal === undefined && !end.cancelled;
    return end;
  } finally {
    await Promise.all(handles.map((leased) => plant.units.giveBack(leased, sound)));
  }
}

async function copyFiles(
  step: ImageStep,
  plant: RunPlant,
  control: RunControl,
  handles: readonly Leased[],
  onBytes: (bytes: bigint) => void,
): Promise<StepEnd> {
  let [bytes, marks] = [0n, 0];
  for (;;) {
    const { done, written } = await copyFile(plant, control, handles);
    bytes += written;
    onBytes(bytes);
    if (done.result === "cancelled") return { bytes, cancelled: true };
    if (done.result === "tape-ended" && isBlank(done.failed?.sense)) return { bytes, cancelled: false };
    if (done.result !== "ok")
      return { bytes, cancelled: false, refusal: refusalOf(done, { segment: step.segment, residual: 0n }) };
    marks = written === 0n ? marks + 1 : 1;
    await handles[TO]?.unit
      .command(writeFilemarks(1), { timeoutMs: MOTION_MS })
      .catch((error: unknown) => Promise.reject(failureOf(error, "destination", step.segment)));
    if (marks === step.filemarks) return { bytes, cancelled: false };
    if (control.cancelled) return { bytes, cancelled: true };
  }
}

async function copyFile(plant: RunPlant, control: RunControl, handles: readonly Leased[]) {
  const { memory } = plant;
  const largest = Math.min(COPY_LIMITS.streamTransferBytes, memory.tapeBlockBytes);
  const blockBytes = Math.min(largest, ...handles.map(({ facts }) => facts.maxBlockBytes));
  const tapeObject = await handles[TO]?.drive?.position();
  const pieces = [
    new ProgramBuilder()
      .tape("gather", FROM, TO_FILEMARK)
      .tape("scatter", TO, TO_FILEMARK, 0, { asGathered: true })
      .take(),
  ];
  const ringBytes = RING_BLOCKS * Math.ceil(blockBytes / 4096) * 4096;
  const { done, stats } = await memory.use(ringBytes, (arena) =>
    runCopy({
      native: plant.native,
      control,
      next: async () => pieces.shift() ?? null,
      onEvent: () => undefined,
      copy: {
        ...plant.tuning(),
        arena,
        ringBytes,
        lus: handles.map(({ copyLu }) => copyLu),
        tapeBlockBytes: blockBytes,
        checkpointBytes: 0n,
        checkpointMs: 0,
        ...(tapeObject !== undefined && { tapeObject }),
      },
    }),
  );
  return { done, written: writtenOf(done, stats) };
}

/** End of data, and no filemark (SSC-4 6.4). */
const isBlank = (sense: Uint8Array | undefined): boolean =>
  sense !== undefined && sense.length > 0 && decodeSense(sense).key === SENSE_KEY.BLANK_CHECK;
