// Quantities as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 → "1.5 KiB". */
export function byteSize(bytes: number): string {
  let left = bytes;
  let unit = 0;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit++;
  }
  return unit === 0 ? `${left} B` : `${left.toFixed(1)} ${UNITS[unit]}`;
}
