// Which logical unit a copy means, and whether the asker may use it so. A CSCD descriptor finds nothing but what the
// asking nexus sees: its own LUNs, through the gate, by the designators that VPD page 83h gives (a copy manager that looked
// among all units of the machine let every initiator read every other's disks: CVE-2020-28374). What the nexus sees and
// may not use fails as its own command to that unit would, and that is forwarded.
import { COMMAND_CLASSES, type CommandClassName } from "../admit/opcodes.js";
import type { PathVerdict } from "../admit/path-verdict.js";
import type { Verdict } from "../plane.js";
import { isGantryError } from "../sys/errors.js";
import { fromHex } from "../wire/hex.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { fixedSense } from "../wire/sense-encode.js";
import { copyDevice } from "../wire/xcopy/copy-devices.js";
import type { CopyList } from "../wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../wire/xcopy/cscd.js";
import { type BinaryDesignator, sameDesignator } from "../wire/xcopy/designator.js";
import { ASC, aborted, CopyRefusal, type Forwarded } from "../wire/xcopy/refusal.js";
import type { CopyAccess, CopyUnit, UnitLookup } from "./steps.js";
import type { CopyUnits } from "./units.js";

/** What the asking nexus sees of a device. */
export interface SeenPath {
  readonly device: string;
  readonly unit: number;
  readonly verdict: Pick<PathVerdict, "gate" | "reservation" | "writeProtected"> & Pick<Verdict, "visible">;
}

export interface Asker {
  readonly nexus: number;
  /** The logical unit that the command came to. */
  readonly lun: number;
  /** LUN → path, as it is now. */
  readonly paths: () => ReadonlyMap<number, SeenPath>;
  /** Whether it sees a tape, so that its copy manager knows streams. */
  readonly streams: boolean;
}

const ACCESS_CLASS: Readonly<Record<CopyAccess, CommandClassName>> = {
  read: "read",
  write: "write",
  position: "position",
  look: "status",
  reserve: "reserve",
};
const NO_ACCESS_RIGHTS = fixedSense(SENSE_KEY.ILLEGAL_REQUEST, 0x20, 0x02);
const WRITE_PROTECTED = fixedSense(SENSE_KEY.DATA_PROTECT, 0x27, 0x00);

/** A device whose path is gone while a copy uses it: its key is. */
export const NOT_THERE: Forwarded = { status: STATUS.CHECK_CONDITION, sense: NO_ACCESS_RIGHTS };

/** What the device would answer to the asker's own command; undefined: it would carry it out. */
export function forbidden({ verdict }: SeenPath, access: CopyAccess): Forwarded | undefined {
  const bit = 1 << COMMAND_CLASSES[ACCESS_CLASS[access]].bit;
  if ((verdict.gate & bit) === 0 || (access === "write" && verdict.writeProtected)) {
    const sense = access === "write" && verdict.visible ? WRITE_PROTECTED : NO_ACCESS_RIGHTS;
    return { status: STATUS.CHECK_CONDITION, sense };
  }
  if ((verdict.reservation & bit) === 0) return { status: STATUS.RESERVATION_CONFLICT, sense: new Uint8Array(0) };
  return undefined;
}

/** A unit of the list that was found, or what its device said when it was asked what it is. */
type Found = { readonly path: SeenPath; readonly facts: CopyUnit | CopyRefusal };

/**
 * Finds every unit of the list before anything is copied, since a plan does not wait; what is wrong is told when the
 * segment's turn comes. @param used told which device is used how
 */
export async function resolveUnits(
  list: CopyList,
  asker: Asker,
  units: CopyUnits,
  used: (device: string, access: CopyAccess) => void,
): Promise<UnitLookup> {
  const own = asker.paths().get(asker.lun);
  const found = new Map<string, Found>();
  const byCscd = new Map<IdentificationCscd, SeenPath>();
  const seen = [...asker.paths().values()].filter(({ verdict }) => verdict.visible);
  for (const cscd of list.cscds) {
    if (cscd.form !== "identification" || cscd.nul) continue;
    const path = await findPath(cscd.designator, seen, units);
    if (path !== undefined) byCscd.set(cscd, path);
  }
  for (const path of new Set([...byCscd.values(), ...(own === undefined ? [] : [own])]))
    if (!found.has(path.device)) found.set(path.device, { path, facts: await factsOf(path.device, units) });

  return (id, role, segment, access) => {
    const device = copyDevice(list, id, role, segment);
    if (device.is === "null") return undefined;
    const path =
      device.is === "this-unit" ? own : device.cscd.form === "identification" ? byCscd.get(device.cscd) : undefined;
    const known = path === undefined ? undefined : found.get(path.device);
    const pointer = { byte: role === "source" ? 4 : 6, inSegment: true };
    // As it is now: keys and reservations change while a copy runs, and what was found may be seen no more.
    const now = [...asker.paths().values()].find((one) => one.device === path?.device);
    if (path === undefined || known === undefined || now === undefined)
      throw aborted(ASC.UNREACHABLE, "there is no such logical unit for this initiator", segment, pointer);
    const answer = forbidden(now, access);
    if (answer !== undefined) throw deviceSaid(answer, role, segment, `${path.device} does not let it`);
    if (known.facts instanceof CopyRefusal) throw atSegment(known.facts, role, segment);
    used(path.device, access);
    return known.facts;
  };
}

async function findPath(
  designator: BinaryDesignator,
  seen: readonly SeenPath[],
  units: CopyUnits,
): Promise<SeenPath | undefined> {
  for (const path of seen)
    if ((await units.designators(path.device)).some((own) => sameDesignator(own, designator))) return path;
  return undefined;
}

async function factsOf(device: string, units: CopyUnits): Promise<CopyUnit | CopyRefusal> {
  try {
    const leased = await units.lease(device);
    await units.giveBack(leased, true);
    return leased.facts;
  } catch (error) {
    return failureOf(error, "source", 0);
  }
}

/** COPY ABORTED because a device failed; its own words are forwarded. */
export function deviceSaid(
  answer: Forwarded,
  role: "source" | "destination",
  segment: number,
  problem: string,
  residual?: bigint,
): CopyRefusal {
  const [asc, ascq] = ASC.DEVICE_FAILURE;
  return new CopyRefusal(
    { key: SENSE_KEY.COPY_ABORTED, asc, ascq, segment, [role]: answer, ...(residual !== undefined && { residual }) },
    problem,
  );
}

/** From what ScsiUnit throws (device/failure.ts keeps status and sense in its details). */
export function failureOf(error: unknown, role: "source" | "destination", segment: number): CopyRefusal {
  if (error instanceof CopyRefusal) return error;
  if (isGantryError(error)) {
    const { status, sense, outcome } = error.details as { status?: number; sense?: string; outcome?: string };
    if (status !== undefined && outcome === "delivered")
      return deviceSaid(
        { status, sense: senseBytes(error) ?? new Uint8Array(0) },
        role,
        segment,
        sense ?? error.message,
      );
  }
  const [asc, ascq] = ASC.NOT_REACHABLE;
  const why = error instanceof Error ? error.message : String(error);
  return new CopyRefusal({ key: SENSE_KEY.COPY_ABORTED, asc, ascq, segment }, why);
}

function senseBytes(error: { readonly details: Readonly<Record<string, unknown>> }): Uint8Array | undefined {
  const { senseHex } = error.details;
  return typeof senseHex === "string" ? fromHex(senseHex) : undefined;
}

/** The same, told of the segment whose turn it is. */
function atSegment(refusal: CopyRefusal, role: "source" | "destination", segment: number): CopyRefusal {
  const { source, destination, ...rest } = refusal.fault;
  const answer = source ?? destination;
  return new CopyRefusal({ ...rest, segment, ...(answer && { [role]: answer }) }, refusal.message);
}
