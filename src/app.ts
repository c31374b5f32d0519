// The object graph of the daemon: made in order, started in order, stopped in reverse. Each step may fail; what
// was started before it is stopped again.
import { randomUUID } from "node:crypto";
import { issuerKey } from "./admit/issuer-key.js";
import { jobGate } from "./admit/job-gate.js";
import { tellingWrites } from "./admit/job-writes.js";
import { KeyRing } from "./admit/key-ring.js";
import { MediaDesk } from "./admit/media-desk.js";
import { ReservationDesk } from "./admit/reservations/desk.js";
import { ReservationTeller } from "./admit/reservations/teller.js";
import { TrustedClock } from "./admit/trusted-clock.js";
import { AllJobs } from "./control/all-jobs.js";
import { ControlDoor } from "./control/door.js";
import { DurableChunkStore } from "./control/durable-chunk-store.js";
import { registerCommands } from "./control/job-commands.js";
import { ListReceiver } from "./control/list-receiver.js";
import { listSourceOf } from "./control/list-source.js";
import { ReportPublisher } from "./control/report-publisher.js";
import { registerServerCommands } from "./control/server-commands.js";
import { JobQueue } from "./copy/job-queue.js";
import { Journal } from "./copy/journal.js";
import { runJob } from "./copy/run-job.js";
import { checkSpec } from "./copy/spec-check.js";
import { CopyBook } from "./copy-manager/book.js";
import { DeviceRegistry } from "./device/registry.js";
import { zoned } from "./fabric/lun-map.js";
import type { Native } from "./native/types.js";
import { copiesDoneEvent, type ServerEvent } from "./server-events.js";
import { Servers } from "./servers.js";
import { serverOptions, waitForRestart } from "./settings.js";
import { lockState } from "./state-lock.js";
import { statusOf } from "./status.js";
import { type Clock, systemClock, systemTimers } from "./sys/clock.js";
import type { Config } from "./sys/config.js";
import { MOVER } from "./sys/config-fabric.js";
import { messageOf } from "./sys/errors.js";
import type { Logger } from "./sys/log.js";
import { LogLimit } from "./sys/log-limit.js";
import { openStore, type Store } from "./sys/store.js";
import { BUILT_MS, VERSION } from "./sys/version.js";

const MIB = 1024 * 1024;
const HOUSEKEEPING_MS = 60_000;
/** Of the boot id, in the ids of copies. */
const BOOT_PART = 8;

export interface App {
  readonly bridgeId: string;
  /** In force now. */
  config(): Config;
  /** True while the MQTT server is connected. */
  readonly connected: boolean;
  status(): Record<string, unknown>;
  broker(): { readonly connected: boolean; readonly sinceMs: number; readonly reason?: string };
  /** Takes over those keys of a new configuration that need no restart; returns the names of the others that differ. */
  reload(config: Config): Promise<readonly string[]>;
  stop(): Promise<void>;
  readonly store: Store;
  readonly devices: DeviceRegistry;
  readonly queue: JobQueue;
  readonly copies: CopyBook;
  /** Both. */
  readonly jobs: AllJobs;
  readonly ring: KeyRing;
  readonly reservations: ReservationDesk;
  readonly servers: Servers;
  readonly media: MediaDesk;
}

export interface AppOptions {
  readonly config: Config;
  readonly native: Native;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** Starts the daemon's parts; rejects with the first failure after stopping what had started. */
export async function startApp(options: AppOptions): Promise<App> {
  const undo: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => options.log.error({ error }, "a part of the daemon did not stop well"));
    }
  };
  try {
    return await start(options, undo, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  { config: first, native, log, clock = systemClock }: AppOptions,
  undo: (() => Promise<void> | void)[],
  stop: () => Promise<void>,
): Promise<App> {
  let config = first;
  const bridgeId = config.bridge.id;
  const bootId = randomUUID();
  const startedMs = clock.nowMs();

  undo.push(lockState(native, config.bridge.state_dir));
  const store = openStore(config.bridge.state_dir);
  undo.push(() => store.close());
  const arena = native.createArena(BigInt(config.memory.arena_mib * MIB));
  undo.push(() => arena.close());

  const time = new TrustedClock(clock, { mode: config.keys.clock, builtMs: BUILT_MS }, store);
  undo.push(() => time.remember());
  const ring = KeyRing.open({
    bridgeId,
    // Read at every key that comes in, so that a reload can add an issuer.
    get issuers() {
      return config.keys.issuers.map(({ kid, issuer, public_key }) => issuerKey(kid, public_key, issuer));
    },
    store,
    time,
    leewayMs: config.keys.leeway_s * 1000,
    maxLifetimeMs: config.keys.max_lifetime_h * 3_600_000,
  });

  const devices = new DeviceRegistry(native, config.device, {
    clock,
    log,
    ownTargets: () => config.target.map(({ name }) => name),
  });
  undo.push(() => devices.stop());
  devices.start();
  await devices.loadConfigured();
  await devices.discover();

  const reservations = new ReservationDesk({
    known: (name) => devices.all().some((device) => device.name === name),
    unload: (drive) => devices.unload(drive),
  });

  const chunks = new DurableChunkStore(store);
  const lists = new ListReceiver({
    store: chunks,
    clock,
    limits: {
      listBytes: config.jobs.max_list_mib * MIB,
      allBytes: config.jobs.max_list_mib * MIB,
      incompleteMs: config.jobs.list_timeout_s * 1000,
    },
  });
  await lists.load();
  const listSource = listSourceOf(lists, chunks);

  const journal = new Journal(store);
  const reports: ReportPublisher = new ReportPublisher({ journal, door: () => door, log });
  const queue = new JobQueue({
    plant: { bridgeId, native, arena, devices, lists: listSource, journal, clock, log, config: () => config.jobs },
    admit: jobGate({
      ring,
      time,
      timers: systemTimers,
      bytesOf: (spec) => (spec.listId === undefined ? undefined : listSource.header(spec.listId)?.bytes),
      zoned: (device) => zoned(config.zone, MOVER, device),
    }),
    run: reservations.running(tellingWrites(runJob, (device, extents) => servers.wrote(device, extents))),
    mayStart: (spec) => reservations.mayStart(spec),
    check: (spec) => checkSpec(spec, devices, listSource),
    onProgress: (progress) => void door.progress(progress),
    onReport: ({ jobId }) => reports.changed(jobId),
    onForget: (jobIds) => {
      for (const jobId of jobIds) reports.changed(jobId);
    },
    newId: randomUUID,
  });

  const publish = (event: ServerEvent): void => {
    // Nobody waits for it: the lists say the same to who asks.
    door.event(event).catch((error: unknown) => log.warn({ event: event.event, error }, "the broker was not told"));
  };
  const copies = new CopyBook({
    clock,
    timers: systemTimers,
    log,
    records: journal.copies,
    keep: () => config.jobs.keep_reports,
    boot: bootId.slice(0, BOOT_PART),
    onProgress: (progress) => void door.progress(progress),
    onReport: (jobId) => reports.changed(jobId),
    onDone: (sum) => publish(copiesDoneEvent(sum)),
  });
  undo.push(() => copies.stop());
  const jobs = new AllJobs(queue, copies);

  const teller = new ReservationTeller({
    clock,
    timers: systemTimers,
    tell: (event) => {
      log[event.severity === "warning" ? "warn" : "info"]({ event: event.event, ...event.details }, event.message);
      publish(event);
    },
  });
  undo.push(() => teller.stop());
  const servers: Servers = new Servers(
    {
      native,
      devices,
      ring,
      time,
      store,
      clock,
      timers: systemTimers,
      log,
      desk: reservations,
      onReservation: (facts, why) => {
        teller.changed(facts, why);
        queue.wake();
      },
      onWanted: (wanted) => teller.wanted(wanted),
      book: copies,
      publish: (event) => door.event(event),
    },
    first,
  );

  const problems = new LogLimit({
    clock,
    lines: 20,
    periodMs: HOUSEKEEPING_MS,
    onSkipped: (count) => log.warn({ count }, "more messages could not be handled than were logged"),
  });
  let link = { connected: false, sinceMs: startedMs };
  const door: ControlDoor = new ControlDoor({
    bridgeId,
    version: VERSION,
    bootId,
    server: serverOptions(config),
    nextBdSeq: () => nextNumber(store, ["control", "bdSeq"]),
    lists,
    clock,
    newId: randomUUID,
    onState: ({ connected, protocol, error }) => {
      if (connected !== link.connected) link = { connected, sinceMs: clock.nowMs() };
      if (connected) log.info({ protocol }, "connected to the MQTT server");
      else {
        reports.disconnected();
        log.warn({ reason: error === undefined ? "" : messageOf(error) }, "not connected to the MQTT server");
      }
    },
    onBorn: (bdSeq, before) => void reports.connected(bdSeq, before),
    onProblem: (error, topic) => {
      if (problems.take()) log.warn({ error, topic: topic.slice(0, 200) }, "a message could not be handled");
    },
  });
  const status = (): Record<string, unknown> => {
    const { state } = door;
    return statusOf({
      bridgeId,
      bootId,
      startedMs,
      clock,
      time,
      state,
      stateSinceMs: link.sinceMs,
      ring,
      devices,
      queue,
      copies,
      servers,
      lists,
      arena,
    });
  };
  const media = new MediaDesk({ devices, reservations, jobsOn: (device) => queue.jobsOn(device) });
  registerCommands(door.router, { jobs, queue, ring, devices, reservations, media, status });
  registerServerCommands(door.router, servers);

  await copies.start();
  // Before jobs go on: what servers have reserved and kept over a loss of power is theirs.
  await servers.start();
  undo.push(() => servers.stop());
  await queue.start();
  undo.push(() => queue.stop());
  door.start();
  undo.push(() => door.stop());

  const housekeeping = setInterval(() => {
    void Promise.all([time.remember(), lists.expire(), ring.prune(), servers.expire()]).catch((error: unknown) =>
      log.error({ error }, "housekeeping failed"),
    );
  }, HOUSEKEEPING_MS);
  undo.push(() => clearInterval(housekeeping));

  return {
    bridgeId,
    config: () => config,
    get connected() {
      return door.state.connected;
    },
    broker: () => {
      const { error } = door.state;
      return { ...link, ...(error === undefined ? {} : { reason: messageOf(error) }) };
    },
    status,
    store,
    devices,
    queue,
    copies,
    jobs,
    ring,
    reservations,
    servers,
    media,
    async reload(next) {
      await servers.reload({ ...next, device: config.device });
      const waiting = waitForRestart(config, next);
      config = {
        ...config,
        jobs: { ...next.jobs, concurrent: config.jobs.concurrent },
        keys: { ...config.keys, issuers: next.keys.issuers },
        iscsi: next.iscsi,
        target: next.target,
        lio: next.lio,
        zone: next.zone,
        board: next.board,
        log: next.log,
      };
      log.level = next.log.level;
      return waiting;
    },
    stop,
  };
}

async function nextNumber(store: ReturnType<typeof openStore>, key: readonly string[]): Promise<bigint> {
  const before = store.get(key);
  const next = before === undefined ? 1n : Buffer.from(before).readBigUInt64LE() + 1n;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(next);
  await store.put(key, bytes);
  return next;
}
