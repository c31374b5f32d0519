// Where servers log in: listens where the configuration says, and follows it when it changes. A portal keeps its
// number as long as its address is configured; sessions that came through it stay when it goes only if the bridge lets
// them.
import type { Plane } from "../plane.js";
import { splitPortal } from "../sys/config-fabric.js";
import { GantryError, messageOf } from "../sys/errors.js";

/** Numbers of portals that the front end takes. */
const PORTALS_MAX = 64;

export interface Portal {
  readonly number: number;
  /** As configured: "127.0.0.1:3260". */
  readonly address: string;
  readonly loopback: boolean;
}

export class Portals {
  readonly #plane: Pick<Plane, "listen" | "unlisten">;
  readonly #portals = new Map<string, Portal>();

  constructor(plane: Pick<Plane, "listen" | "unlisten">) {
    this.#plane = plane;
  }

  all(): readonly Portal[] {
    return [...this.#portals.values()];
  }

  byNumber(number: number): Portal | undefined {
    return this.all().find((portal) => portal.number === number);
  }

  /**
   * Listens exactly there. Tries all; throws PORTAL_UNUSABLE when one of them could not be listened at, after the
   * others were.
   */
  async set(addresses: readonly string[]): Promise<void> {
    for (const portal of this.all()) {
      if (addresses.includes(portal.address)) continue;
      this.#portals.delete(portal.address);
      await this.#plane.unlisten(portal.number);
    }
    const problems: string[] = [];
    for (const address of addresses) {
      if (this.#portals.has(address)) continue;
      try {
        await this.#listen(address);
      } catch (error) {
        problems.push(`${address}: ${messageOf(error)}`);
      }
    }
    if (problems.length > 0)
      throw new GantryError("PORTAL_UNUSABLE", `Servers cannot log in at ${problems.join("; ")}.`, {
        details: { problems },
      });
  }

  async #listen(address: string): Promise<void> {
    const number = this.#freeNumber();
    const { host, port } = splitPortal(address);
    // In the table before the first connection can come.
    this.#portals.set(address, { number, address, loopback: isLoopback(host) });
    try {
      await this.#plane.listen(number, host, port);
    } catch (error) {
      this.#portals.delete(address);
      throw error;
    }
  }

  #freeNumber(): number {
    const used = new Set(this.all().map(({ number }) => number));
    for (let number = 0; number < PORTALS_MAX; number++) if (!used.has(number)) return number;
    throw new Error(`more than ${PORTALS_MAX} portals`);
  }
}

/** Whether only this machine reaches the address (RFC 1122 3.2.1.3, RFC 4291 2.5.3); an IPv4 one in IPv6 is not taken for that. */
export function isLoopback(host: string): boolean {
  return host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
