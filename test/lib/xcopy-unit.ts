// A copy manager that answers as a test says, in place of a logical unit, and the program around it.
import type { LuTarget, ScsiAnswer } from "../../src/native/types.js";
import type { Io } from "../../tools/xcopy/io.js";
import { main } from "../../tools/xcopy/main.js";

export interface Sent {
  readonly target: LuTarget;
  readonly cdb: Uint8Array;
  readonly dataOut?: Uint8Array;
}

export type Told = Partial<Pick<ScsiAnswer, "outcome" | "status" | "sense" | "data">>;

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly sent: readonly Sent[];
  readonly written: ReadonlyMap<string, Uint8Array>;
  readonly closed: number;
}

export interface Around {
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
  /** How often it has to be waited for until somebody interrupts. */
  readonly interruptAt?: number;
  readonly refuseToOpen?: boolean;
}

/** `gantry-xcopy` with these arguments, against a unit that answers so. */
export async function runXcopy(
  args: readonly string[],
  answer: (sent: Sent, index: number) => Told,
  { files = {}, interruptAt, refuseToOpen = false }: Around = {},
): Promise<Ran> {
  const sent: Sent[] = [];
  const written = new Map<string, Uint8Array>();
  let [out, err, closed, sleeps] = ["", "", 0, 0];
  let interrupt = (): void => {};
  const io: Io = {
    open: async (target) => {
      if (refuseToOpen) throw new Error("nobody listens there");
      return {
        execute: async (cdb, options = {}) => {
          const one = { target, cdb, ...(options.dataOut && { dataOut: options.dataOut }) };
          sent.push(one);
          const told = answer(one, sent.length - 1);
          // As the addon gives them.
          const [sense, data] = [Buffer.from(told.sense ?? []), Buffer.from(told.data ?? [])];
          return {
            ...{ outcome: told.outcome ?? "delivered", status: told.status ?? (sense.length > 0 ? 2 : 0), sense, data },
            ...{ residual: 0, hostStatus: 0, driverStatus: 0 },
          };
        },
        close: async () => {
          closed++;
        },
      };
    },
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readFile(path) {
      const file = files[path];
      if (file === undefined) throw new Error(`no file ${path}`);
      return typeof file === "string" ? Uint8Array.from(Buffer.from(file)) : file;
    },
    writeFile(path, bytes) {
      written.set(path, bytes);
    },
    sleep: async () => {
      if (++sleeps === interruptAt) interrupt();
    },
    terminal: false,
    onInterrupt(handler) {
      interrupt = handler;
      return () => {
        interrupt = () => {};
      };
    },
  };
  const code = await main(args, io);
  return { code, out, err, sent, written, closed };
}
