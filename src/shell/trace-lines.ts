// Recorded commands between daemon and client, and as lines for people. The client starts with this; what decodes CDBs is
// the daemon's.

/** A command as the client gets it: in words, and as it was for a file. */
export interface TraceLine {
  readonly serial: number;
  readonly beganMs: number;
  readonly tookUs: number;
  /** With `lun`, of a server's command; absent: the bridge sent it itself, for a copy job above all. */
  readonly nexus?: number;
  readonly initiator: string;
  readonly peer: string;
  readonly lun?: number;
  readonly device: string;
  readonly command: string;
  readonly ended: string;
  readonly direction: string;
  readonly dataBytes: number;
  readonly residual: number;
  readonly outcome: string;
  readonly status: number;
  /** Hexadecimal. */
  readonly cdb: string;
  readonly sense: string;
}

export interface TraceAnswer {
  readonly lines: readonly TraceLine[];
  readonly lost: bigint | string;
  readonly on: readonly string[];
}

/**
 * "23:06:21.123456 iqn.x:a LUN 0 disk0: READ(10) LBA 0, 8 blocks; GOOD, 4096 bytes in, 130 us", or of the bridge's own
 * "23:06:21.123456 bridge disk0: READ(10) …".
 */
export function traceLineText(line: TraceLine): string {
  const at = new Date(line.beganMs).toISOString().slice(11, 19);
  const us = String(Math.floor(((line.beganMs % 1000) + 1000) * 1000) % 1_000_000).padStart(6, "0");
  const moved = Math.max(0, line.dataBytes - Math.max(0, line.residual));
  const data = line.direction === "none" ? "" : `, ${moved} bytes ${line.direction}`;
  const where = line.device === "" ? "no device" : line.device;
  const server = `${line.initiator === "" ? `nexus ${line.nexus}` : line.initiator} LUN ${line.lun}`;
  const who = line.nexus === undefined ? "bridge" : server;
  return `${at}.${us} ${who} ${where}: ${line.command}; ${line.ended}${data}, ${line.tookUs} us`;
}
