// What a benchmark says: rows, as one JSON object or as a table.

export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Median of the runs. */
  readonly ours: number;
  /** The peer's median; null where there is no peer, and peer_name then names the floor. */
  readonly peer: number | null;
  readonly peer_name: string;
  /** ours / peer. */
  readonly ratio: number | null;
  /** Bound on the ratio, or on `ours` where there is no peer; null: said for information. */
  readonly target: number | null;
  readonly lower_is_better: boolean;
  readonly runs: number;
  /** (largest - smallest) / median of our runs. */
  readonly spread: number;
}

export interface RowFacts {
  readonly name: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly peer?: readonly number[];
  readonly peerName: string;
  readonly target?: number;
  readonly lowerIsBetter?: boolean;
}

export function row({ name, unit, ours, peer, peerName, target, lowerIsBetter = false }: RowFacts): Row {
  const mine = median(ours);
  const theirs = peer === undefined ? null : median(peer);
  return {
    name,
    unit,
    ours: rounded(mine),
    peer: theirs === null ? null : rounded(theirs),
    peer_name: peerName,
    ratio: theirs === null || theirs === 0 ? null : rounded(mine / theirs),
    target: target ?? null,
    lower_is_better: lowerIsBetter,
    runs: ours.length,
    spread: mine === 0 ? 0 : rounded((Math.max(...ours) - Math.min(...ours)) / mine),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

const rounded = (value: number): number => Number(value.toPrecision(4));

/** Undefined where nothing is to be met. */
export function met({ ours, ratio, target, lower_is_better: lower }: Row): boolean | undefined {
  if (target === null) return undefined;
  const value = ratio ?? ours;
  return lower ? value <= target : value >= target;
}

export function table(rows: readonly Row[]): string {
  const cells = rows.map((each) => [
    each.name,
    `${each.ours} ${each.unit}`,
    each.peer === null ? "" : `${each.peer}`,
    each.peer_name,
    each.ratio === null ? "" : `${each.ratio}`,
    each.target === null ? "" : `${each.lower_is_better ? "<=" : ">="} ${each.target}`,
    { true: "met", false: "MISSED", undefined: "" }[`${met(each)}`] ?? "",
    `${each.runs}`,
    `${Math.round(each.spread * 100)} %`,
  ]);
  const lines = [["", "ours", "peer", "against", "ratio", "target", "", "runs", "spread"], ...cells];
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
