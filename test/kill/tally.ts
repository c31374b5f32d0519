// What a campaign counts, and the table at its end.
import { PHASES, type Phase } from "./moment.js";

export class Tally {
  readonly phases = new Map<Phase, { kills: number; groups: number }>(
    PHASES.map((phase) => [phase, { kills: 0, groups: 0 }]),
  );
  readonly failures: string[] = [];
  rounds = 0;
  kills = 0;
  groups = 0;
  /** Kills that came at a named step of the daemon. */
  placed = 0;
  jobs = 0;
  resumes = 0n;
  tapes = 0;
  disks = 0;
  reports = 0;
  acknowledged = 0;

  hit(phases: readonly Phase[], group: boolean, placed: boolean): void {
    if (group) this.groups++;
    else this.kills++;
    if (placed) this.placed++;
    for (const phase of phases) {
      const count = this.phases.get(phase);
      // A job type that no table knows must be seen.
      if (count === undefined) throw new Error(`a kill hit "${phase}", which is not counted`);
      if (group) count.groups++;
      else count.kills++;
    }
  }

  /** Phases that no kill hit. */
  get missed(): readonly Phase[] {
    return PHASES.filter((phase) => {
      const count = this.phases.get(phase);
      return count === undefined || count.kills + count.groups === 0;
    });
  }

  get facts(): Record<string, number> {
    return {
      rounds: this.rounds,
      "kills of the daemon": this.kills,
      "kills of the process group": this.groups,
      "of these at a named step": this.placed,
      "jobs that ended": this.jobs,
      resumes: Number(this.resumes),
      "tapes compared": this.tapes,
      "disks compared": this.disks,
      "reports compared": this.reports,
      "acknowledgements checked": this.acknowledged,
      failures: this.failures.length,
    };
  }

  table(): string {
    const line = (name: string, ...values: (number | string)[]): string =>
      `${name.padEnd(32)}${values.map((value) => String(value).padStart(8)).join("")}`;
    return [
      line("killed while", "daemon", "group"),
      ...[...this.phases].map(([phase, { kills, groups }]) => line(phase, kills, groups)),
      "",
      ...Object.entries(this.facts).map(([name, value]) => line(name, value)),
    ].join("\n");
  }
}
