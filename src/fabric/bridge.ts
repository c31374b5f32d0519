// The bridge itself: servers log in, get the paths that zones and keys give them, and are followed until they go. Here
// the parts meet: the data plane, the login door, the units, the path keeper and the arbiter.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfiguredCredentials, type Credentials, readSecret, type SecretSource } from "../admit/credentials.js";
import type { DeviceRegistry } from "../device/registry.js";
import type { Native, NativePlane, TargetStats } from "../native/types.js";
import type { ClassRow, PlaneNote } from "../plane.js";
import type { Clock, Timers } from "../sys/clock.js";
import type { Logger } from "../sys/log.js";
import { LogLimit } from "../sys/log-limit.js";
import { LoginDoor, type RefusedLogin, type SessionFacts } from "./iscsi/door.js";
import { GuessGuard } from "./iscsi/guess-guard.js";
import { LioFront, type LioSession, lioPort } from "./lio/front.js";
import { ConfigTree, type Tree } from "./lio/tree.js";
import { uioOf } from "./lio/uio.js";
import { ConfiguredDirectory, devicesInMaps, type FabricSettings, lunsFor, PORTAL_GROUP_TAG } from "./lun-map.js";
import { Portals } from "./portals.js";
import { type PathKeeper, Sessions, type SessionView } from "./sessions.js";
import { type UnitFacts, Units } from "./units.js";

/** RFC 7143 11.9.1: the target ends all connections of the session. */
const ASYNC_DROP_SESSION = 3;
const LOG_PERIOD_MS = 60_000;
/**
 * The front end looks for the next command for so long before it sleeps: who sends one command at a time is answered in
 * half the time, for less than going to sleep and being woken costs. A bridge at rest sleeps all the same.
 */
const SPIN_US = 50;
/** Where the kernel shows its target and the devices of its rings. */
const KERNEL = { target: "/sys/kernel/config/target", uio: "/sys/class/uio", dev: "/dev" } as const;
const NO_PORTAL = -1;

export interface BridgeOptions {
  readonly native: Pick<Native, "openPlane">;
  readonly devices: Pick<DeviceRegistry, "config" | "emulated" | "target" | "onReachable">;
  readonly settings: FabricSettings;
  readonly classes: readonly ClassRow[];
  readonly keeper: (plane: NativePlane) => PathKeeper;
  readonly keySecrets?: SecretSource;
  /** Initiators that hold keys. */
  readonly holders?: () => readonly string[];
  /** Name of the bridge: what it leaves in the kernel is told by it from what others have there. */
  readonly name?: string;
  /** Instead of the kernel's configfs. */
  readonly lioTree?: Tree;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
}

export interface BridgeFacts extends Pick<TargetStats, "connections"> {
  readonly portals: readonly string[];
  readonly sessions: number;
  /** What of the kernel's own target is not as it should be, and is tried again. */
  readonly kernelTarget?: string;
}

export class Bridge {
  readonly #options: BridgeOptions;
  readonly #plane: NativePlane;
  readonly #keeper: PathKeeper;
  readonly #units: Units;
  readonly #portals: Portals;
  readonly #door: LoginDoor;
  readonly #lio: LioFront;
  readonly #sessions: Sessions;
  readonly #refusals: LogLimit;
  #settings: FabricSettings;
  #credentials: Credentials;

  private constructor(options: BridgeOptions) {
    const { native, clock, timers, log, settings } = options;
    this.#options = options;
    this.#settings = settings;
    this.#refusals = new LogLimit({
      clock,
      lines: 20,
      periodMs: LOG_PERIOD_MS,
      onSkipped: (count) => log.warn({ count }, "more logins were refused than were logged"),
    });
    this.#plane = native.openPlane(
      { spinUs: SPIN_US },
      {
        onLogin: (request) => this.#door.onLogin(request),
        onGone: (connection) => this.#door.onGone(connection),
        onColdReset: (nexus) => this.#coldReset(nexus),
        onPunt: (punt) => this.#keeper.onPunt(punt),
        onNote: (note) => this.#note(note),
        onRing: (ring, state) => this.#lio.onRing(ring, state),
      },
    );
    this.#plane.classes(options.classes);
    this.#keeper = options.keeper(this.#plane);
    this.#portals = new Portals(this.#plane);
    this.#credentials = this.#credentialsOf(settings);
    this.#units = new Units({
      plane: this.#plane,
      devices: options.devices,
      timers,
      log,
      onChange: (device) => this.#sessions.remap(device),
    });
    this.#sessions = new Sessions({
      plane: this.#plane,
      keeper: this.#keeper,
      settings: () => this.#settings,
      unit: (device) => this.#units.number(device),
      clock,
    });
    this.#door = new LoginDoor({
      plane: this.#plane,
      directory: new ConfiguredDirectory(
        () => this.#settings,
        () => this.#portals.all(),
      ),
      credentials: {
        mustProve: (initiator, portal) => this.#credentials.mustProve(initiator, portal),
        known: (initiator) => this.#credentials.known(initiator),
        secrets: (initiator, chapName) => this.#credentials.secrets(initiator, chapName),
        own: () => this.#credentials.own(),
      },
      guard: new GuessGuard(clock),
      clock,
      timers,
      random: randomBytes,
      onSession: (facts) => this.#opened(facts),
      onRefused: (refused) => this.#refused(refused),
      onDefect: (error) => log.error({ error }, "a login met a defect of the bridge"),
    });
    this.#lio = new LioFront({
      bridge: options.name ?? "",
      rings: this.#plane.rings,
      tree: options.lioTree ?? new ConfigTree(KERNEL.target),
      uio: (unit) => uioOf(KERNEL.uio, KERNEL.dev, unit),
      host: {
        holders: options.holders ?? (() => []),
        luns: (target, initiator) => lunsFor(this.#settings, target, initiator),
        opened: (session) => this.#openedLio(session),
        reachable: (nexus) => this.#keeper.reachable?.(nexus) ?? [],
        isSequential: (device) => options.devices.config(device).type !== "disk",
      },
      timers,
      log,
    });
  }

  /** Opens the plane and listens. Rejects with PORTAL_UNUSABLE, CONFIG_INVALID; then nothing runs. */
  static async start(options: BridgeOptions): Promise<Bridge> {
    const bridge = new Bridge(options);
    try {
      bridge.#units.want(devicesInMaps(options.settings));
      await bridge.#portals.set(options.settings.iscsi.portals);
      bridge.#lio.set(options.settings.lio ?? []);
      return bridge;
    } catch (error) {
      await bridge.stop();
      throw error;
    }
  }

  /** Takes over another configuration while sessions run. @throws CONFIG_INVALID when a secret cannot be used: nothing changed */
  async reload(settings: FabricSettings): Promise<void> {
    this.#credentials = this.#credentialsOf(settings);
    this.#settings = settings;
    const names = new Set(settings.target.map(({ name }) => name));
    this.#units.want(devicesInMaps(settings));
    for (const session of this.#sessions.all()) {
      const port = this.#portals.byNumber(session.portal);
      if (session.kernel === true) this.#sessions.map(session);
      else if (!names.has(session.target) || port === undefined || !settings.iscsi.portals.includes(port.address))
        this.#plane.closeNexus(session.nexus, ASYNC_DROP_SESSION);
      else this.#sessions.map(session);
    }
    this.#lio.set(settings.lio ?? []);
    await this.#portals.set(settings.iscsi.portals);
  }

  /** Keys, reservations or units made or took paths. */
  pathsChanged(): void {
    this.#lio.look();
  }

  /** @param forGood what the kernel's target has of the bridge goes too, else its commands wait for the next start */
  async stop(forGood = false): Promise<void> {
    if (forGood) await this.#lio.clear();
    this.#lio.stop();
    this.#units.stop();
    this.#door.close();
    for (const { nexus, kernel } of this.#sessions.all())
      if (kernel !== true) this.#plane.closeNexus(nexus, ASYNC_DROP_SESSION);
    await this.#plane.close();
    for (const { nexus } of this.#sessions.all()) this.#sessions.end(nexus);
  }

  /** Sessions with what went over their paths. */
  sessions(): readonly SessionView[] {
    return this.#sessions.views();
  }

  units(): readonly UnitFacts[] {
    return this.#units.facts();
  }

  /** For traces. */
  get plane(): Pick<NativePlane, "trace" | "takeTrace"> {
    return this.#plane;
  }

  /** Of the front end, since the start. */
  stats(): TargetStats {
    return this.#plane.stats();
  }

  facts(): BridgeFacts {
    const portals = this.#portals.all().map(({ address }) => address);
    const { problem } = this.#lio;
    return {
      portals,
      sessions: this.#sessions.size,
      connections: this.#plane.stats().connections,
      ...(problem === undefined ? {} : { kernelTarget: problem }),
    };
  }

  #opened(facts: SessionFacts): void {
    const { initiator: name, isid } = facts;
    this.#sessions.begin({ ...facts, origin: { protocol: "iscsi", name, isid } });
    const { initiator, target, peer, nexus } = facts;
    this.#options.log.info({ initiator, target, peer, nexus }, "a server logged in");
  }

  /** An initiator of the kernel's target: nobody says whether it has logged in there. */
  #openedLio(session: LioSession): void {
    const { nexus, entry, initiator } = session;
    const origin = lioPort(session);
    this.#sessions.begin({
      nexus,
      initiator,
      origin,
      kernel: true,
      isid: origin.protocol === "iscsi" ? origin.isid : "",
      target: entry.name,
      peer: entry.fabric,
      portal: NO_PORTAL,
      portalGroupTag: PORTAL_GROUP_TAG,
    });
  }

  #note(note: PlaneNote): void {
    if (note.kind === "unit-down") this.#units.down(note.unit);
    if (note.kind === "nexus-closed") {
      const session = this.#sessions.end(note.nexus);
      if (session?.kernel === true) this.#lio.onClosed(note.nexus);
      else this.#door.onNexusClosed(note.nexus);
      if (session !== undefined) {
        const { initiator, target, peer, nexus } = session;
        this.#options.log.info({ initiator, target, peer, nexus }, "a server is gone");
      }
    }
    this.#keeper.onNote(note);
  }

  /** TARGET COLD RESET ends all sessions of the target (RFC 7143 11.5.1); the front end has ended the asker's own. */
  #coldReset(nexus: number): void {
    const target = this.#sessions.get(nexus)?.target;
    for (const session of this.#sessions.all())
      if (session.target === target) this.#plane.closeNexus(session.nexus, ASYNC_DROP_SESSION);
  }

  #refused({ peer, initiator, status, reason }: RefusedLogin): void {
    if (this.#refusals.take())
      this.#options.log.warn({ peer, initiator, status: status.toString(16).padStart(4, "0") }, reason);
  }

  #credentialsOf({ iscsi }: FabricSettings): Credentials {
    const read = (file: string): Uint8Array => readSecret(readFileSync(file, "utf8"), file);
    const { target_user: user, target_secret_file: file, authentication } = iscsi;
    return new ConfiguredCredentials({
      authentication,
      isLoopback: (portal) => this.#portals.byNumber(portal)?.loopback ?? false,
      configured: iscsi.credentials.map((entry) => ({
        initiator: entry.initiator,
        name: entry.user,
        secret: read(entry.secret_file),
      })),
      ...(user === undefined || file === undefined ? {} : { own: { name: user, secret: read(file) } }),
      ...(this.#options.keySecrets === undefined ? {} : { keys: this.#options.keySecrets }),
    });
  }
}
