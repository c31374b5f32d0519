// When a kill comes, and what the daemon says of itself up to that instant.

/** Steps of the daemon that the hook can kill it at. */
export const PLACES = [
  "journal.put",
  "journal.ask",
  "journal.checkpoint",
  "journal.finish",
  "journal.addPage",
  "queue.start",
  "queue.submit",
  "device.load",
  "device.openTape",
  "device.openDisk",
  "tape.filemark",
  "engine.start",
  "report.publish",
  "list.chunk",
  "list.meta",
  "key.install",
  "key.revoke",
] as const;
export type Place = (typeof PLACES)[number];

export type Moment =
  | { readonly kind: "time"; readonly ms: number }
  | {
      readonly kind: "place";
      readonly place: Place;
      /** At its how manieth time in this life of the daemon. */
      readonly nth: number;
      /** Before the step, `ms` after its beginning, or when it is done and nobody was told so. */
      readonly when: "before" | "during" | "after";
      readonly ms: number;
    };

/** How the hook is told; environment variables of the daemon. */
export const MOMENT_VARIABLE = "GANTRY_TEST_KILL";
export const MARKS_VARIABLE = "GANTRY_TEST_MARKS";
/** The hook kills its whole process group. */
export const GROUP_VARIABLE = "GANTRY_TEST_KILL_GROUP";

export const MARKS_BYTES = 4096;

/** What the daemon is at; written by the hook whenever it changes. */
export interface Marks {
  readonly pid: number;
  /** The queue has taken up what an earlier life left. */
  readonly up: boolean;
  readonly inside: readonly Place[];
  /** Engine runs. */
  readonly engines: number;
  readonly jobs: readonly {
    readonly type: string;
    readonly state: string;
    /** A cartridge is full, or a further one not begun. */
    readonly changing: boolean;
    readonly paused: boolean;
    readonly cancelling: boolean;
    readonly readingBack: boolean;
  }[];
}

export const PHASES = [
  "start-up",
  "start-up with jobs to recover",
  "acceptance",
  "queued",
  "opening",
  "running backup",
  "running restore",
  "running verify",
  "running clone",
  "running scrub",
  "reading back",
  "changing cartridges",
  "checkpoint",
  "paused",
  "cancelling",
  "finishing",
  "reporting",
  "journal write",
  "list reception",
  "key install",
  "key revocation",
] as const;
export type Phase = (typeof PHASES)[number];

/** Everything that a kill hit at once. @param jobs has the daemon jobs that had not ended when it was launched? */
export function phasesOf(marks: Marks | undefined, jobs: boolean): Phase[] {
  const found = new Set<Phase>();
  if (marks?.up !== true) {
    found.add("start-up");
    if (jobs) found.add("start-up with jobs to recover");
  }
  for (const place of marks?.inside ?? []) {
    if (place.startsWith("journal.")) found.add("journal write");
    const phase = OF_PLACE[place];
    if (phase !== undefined) found.add(phase);
  }
  for (const { type, state, changing, paused, cancelling, readingBack } of marks?.jobs ?? []) {
    if (state === "queued" && marks?.up === true) found.add("queued");
    if (state !== "running") continue;
    if ((marks?.engines ?? 0) > 0) found.add(`running ${type}` as Phase);
    if (readingBack) found.add("reading back");
    if (changing) found.add("changing cartridges");
    if (paused) found.add("paused");
    if (cancelling) found.add("cancelling");
  }
  return [...found];
}

const OF_PLACE: Partial<Record<Place, Phase>> = {
  "journal.checkpoint": "checkpoint",
  "journal.finish": "finishing",
  "queue.submit": "acceptance",
  "device.load": "opening",
  "device.openTape": "opening",
  "device.openDisk": "opening",
  "report.publish": "reporting",
  "list.chunk": "list reception",
  "list.meta": "list reception",
  "key.install": "key install",
  "key.revoke": "key revocation",
};
