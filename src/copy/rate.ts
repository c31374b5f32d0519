// Bandwidth by time of day: which limit holds for a job now.
import type { Config } from "../sys/config.js";

const MIB = 1024n * 1024n;

type RateConfig = Pick<Config["jobs"], "mib_per_s" | "rate_windows">;

const minutesOf = (hour: string): number => Number(hour.slice(0, 2)) * 60 + Number(hour.slice(3));

/** Is this minute of the day in [from, to)? A window may pass midnight; from = to is the whole day. */
function covers(window: { readonly from: string; readonly to: string }, minute: number): boolean {
  const from = minutesOf(window.from);
  const to = minutesOf(window.to);
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

/**
 * Bytes per second that a job may move at a minute of the local day; 0n: unlimited. The smallest of the job's
 * own limit, the general one and those of every window that covers the minute.
 */
export function rateAt(config: RateConfig, jobBytesPerS: bigint, minute: number): bigint {
  const limits = [
    jobBytesPerS,
    BigInt(config.mib_per_s) * MIB,
    ...config.rate_windows.filter((window) => covers(window, minute)).map((window) => BigInt(window.mib_per_s) * MIB),
  ].filter((limit) => limit > 0n);
  return limits.reduce((least, limit) => (least === 0n || limit < least ? limit : least), 0n);
}

/** Minute of the local day, 0 to 1439. */
export function minuteOfDay(nowMs: number): number {
  const date = new Date(nowMs);
  return date.getHours() * 60 + date.getMinutes();
}
