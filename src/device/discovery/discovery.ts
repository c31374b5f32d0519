// Keeps an eye on the SCSI devices of this machine while it runs: looks when the kernel says that one came or went, and
// now and then where the kernel cannot be heard.
import type { Timers } from "../../sys/clock.js";
import type { Logger } from "../../sys/log.js";
import type { Pages } from "./identity.js";
import { type Places, type ScsiNode, scanNodes } from "./sysfs.js";

/** A rescan of a bus is many messages. */
const CALM_MS = 100;
const LOOK_MS = 10_000;

export interface DiscoveryOptions {
  readonly places: Places;
  readonly timers: Timers;
  readonly log: Pick<Logger, "info" | "debug" | "error">;
  /** Asks a device for the pages that the kernel does not have. */
  readonly ask: (path: string) => Promise<Pick<Pages, "identification" | "serial">>;
  /** Calls back when a device came, went or changed; throws where that cannot be heard. */
  readonly listen: (onChange: () => void) => () => void;
  /** After each look that found something else than the one before. */
  readonly onChange: (nodes: readonly ScsiNode[]) => void;
}

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #asked = new Map<string, Pick<Pages, "identification" | "serial">>();
  #seen = "";
  #looking: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #hush: (() => void) | undefined;
  #timer: (() => void) | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** Listens first, so that nothing is missed; resolves after the first look. */
  async start(): Promise<void> {
    const { listen, log } = this.#options;
    try {
      this.#hush = listen(() => this.#soon(CALM_MS));
    } catch (error) {
      log.info(
        { error, everyMs: LOOK_MS },
        "the kernel's messages about devices cannot be heard here; it is looked now and then",
      );
      this.#soon(LOOK_MS);
    }
    await this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#hush?.();
    this.#hush = undefined;
    this.#timer?.();
    this.#timer = undefined;
  }

  /** Looks now; resolves when what is there has been told. */
  async look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true;
      return this.#looking;
    }
    this.#looking = this.#lookAll();
    try {
      await this.#looking;
    } finally {
      this.#looking = undefined;
    }
  }

  async #lookAll(): Promise<void> {
    do {
      this.#again = false;
      const nodes = await Promise.all((await scanNodes(this.#options.places)).map((node) => this.#whole(node)));
      if (this.#stopped) return;
      const stamps = new Set(nodes.map(({ stamp }) => stamp));
      for (const stamp of this.#asked.keys()) if (!stamps.has(stamp)) this.#asked.delete(stamp);
      const seen = nodes.map(fingerprint).join("\n");
      if (seen === this.#seen) continue;
      this.#seen = seen;
      this.#options.log.debug(
        { nodes: nodes.map(({ path, address }) => `${path} ${address}`) },
        "SCSI devices are other than before",
      );
      this.#options.onChange(nodes);
    } while (this.#again);
  }

  /** With the pages that the kernel did not ask for. A device that does not answer is asked again at the next look. */
  async #whole(node: ScsiNode): Promise<ScsiNode> {
    if (node.identification !== undefined || node.serial !== undefined) return node;
    const known = this.#asked.get(node.stamp);
    if (known !== undefined) return { ...node, ...known };
    try {
      const pages = await this.#options.ask(node.path);
      this.#asked.set(node.stamp, pages);
      return { ...node, ...pages };
    } catch {
      return node;
    }
  }

  #soon(ms: number): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#options.timers.after(ms, () => {
      this.#timer = undefined;
      void this.look()
        .catch((error: unknown) =>
          this.#options.log.error({ error }, "a look at the devices met a defect of the bridge"),
        )
        .then(() => {
          if (this.#hush === undefined) this.#soon(LOOK_MS);
        });
    });
  }
}

const fingerprint = ({ stamp, state, type, identification, serial }: ScsiNode): string =>
  [stamp, state, type, hex(identification), hex(serial)].join(" ");
const hex = (page: Uint8Array | undefined): string => (page === undefined ? "" : Buffer.from(page).toString("hex"));
