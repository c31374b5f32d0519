// The log: structured lines (pino) on standard output, where journald or whoever started the daemon keeps them.
import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Bigints do not exist in JSON; a log writes them as text. */
const serialisable = (value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

/** @param onLine gets every line as well */
export function createLogger(level: string, bridgeId: string, onLine?: (line: string) => void): Logger {
  const output = pino.destination({ fd: 1, sync: true });
  return pino(
    {
      level,
      base: { bridge: bridgeId },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (object) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, serialisable(value)])),
      },
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    {
      write: (line: string) => {
        output.write(line);
        onLine?.(line);
      },
    },
  );
}

/** For tests and tools: says nothing. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
