// A small opcode table and a keeper that lets everybody do everything: for tests of what lies below the gate.
import type { MappedLun, PathKeeper } from "../../src/fabric/sessions.js";
import type { ClassRow, Plane, Punt } from "../../src/plane.js";

const CLASS = { always: 0, read: 1, write: 2, punt: 3 } as const;
const row = (opcode: number, kind: "read" | "write"): ClassRow => ({
  opcode,
  class: CLASS[kind],
  handling: "forward",
  ...(kind === "write" && { writes: true }),
});

/** What initiators need to find a disk and to read and write it. */
export const DISK_ROWS: readonly ClassRow[] = [
  { opcode: 0x12, class: CLASS.always, handling: "identity", noAttention: true },
  { opcode: 0xa0, class: CLASS.always, handling: "luns", noAttention: true },
  { opcode: 0x03, class: CLASS.always, handling: "sense", noAttention: true },
  { opcode: 0x5e, class: CLASS.punt, handling: "punt" },
  ...[0x00, 0x1a, 0x5a, 0x25, 0x9e, 0x08, 0x28, 0xa8, 0x88, 0xa3].map((opcode) => row(opcode, "read")),
  ...[0x0a, 0x2a, 0xaa, 0x8a, 0x35, 0x91, 0x42, 0x41, 0x93].map((opcode) => row(opcode, "write")),
];

/** Gives each session every LUN of its map; answers punts by whatever the test says. */
export class OpenKeeper implements PathKeeper {
  readonly punts: Punt[] = [];
  readonly refusals: { readonly why: string; readonly opcode: number }[] = [];
  readonly #plane: Plane;
  readonly #paths = new Map<number, readonly MappedLun[]>();
  gate = 0xffff;

  constructor(plane: Plane) {
    this.#plane = plane;
  }

  opened(session: { readonly nexus: number; readonly luns: readonly MappedLun[] }): void {
    this.mapped(session);
  }

  mapped({ nexus, luns }: { readonly nexus: number; readonly luns: readonly MappedLun[] }): void {
    for (const { lun } of this.#paths.get(nexus) ?? [])
      if (!luns.some((entry) => entry.lun === lun)) this.#plane.clearPath(nexus, lun);
    for (const { lun, unit } of luns)
      this.#plane.setPath(nexus, lun, unit, {
        gate: this.gate,
        reservation: 0xffff,
        visible: true,
        writeProtected: false,
      });
    this.#paths.set(nexus, luns);
  }

  closed(nexus: number): void {
    this.#paths.delete(nexus);
  }

  onPunt(punt: Punt): void {
    this.punts.push(punt);
    this.#plane.answer(punt.id, 0, undefined, new Uint8Array(8));
  }

  onNote(note: Parameters<PathKeeper["onNote"]>[0]): void {
    if (note.kind === "refused") this.refusals.push(note);
  }

  get sessions(): number {
    return this.#paths.size;
  }
}
