// Between the front end and the login machines: one machine for each connection that logs in, with its time and place;
// then, in the full-feature phase, one for its Text Requests. What goes in and out of sessions is told to the bridge.
import type { Credentials } from "../../admit/credentials.js";
import type { FullFeature, LoginRequest, Plane } from "../../plane.js";
import type { Clock, Timers } from "../../sys/clock.js";
import { messageOf } from "../../sys/errors.js";
import type { LoginDirectory } from "./directory.js";
import type { GuessGuard } from "./guess-guard.js";
import { type Entering, LoginMachine, type Pdu, type Step } from "./login-machine.js";
import { STATUS } from "./login-pdu.js";
import { DEFAULT_OFFER, type Offer } from "./negotiation.js";
import { SessionTable } from "./session-table.js";
import { isPeerError, TextMachine } from "./text-machine.js";

export interface SessionFacts {
  readonly nexus: number;
  readonly portal: number;
  readonly peer: string;
  readonly initiator: string;
  /** 12 hexadecimal digits; with the name, the initiator port. */
  readonly isid: string;
  readonly target: string;
  readonly portalGroupTag: number;
  /** The CHAP name that was proved; absent: nothing had to be. */
  readonly chapName?: string;
}

export interface RefusedLogin {
  readonly portal: number;
  readonly peer: string;
  /** As claimed; absent: it did not come so far. */
  readonly initiator?: string;
  /** Status-Class and Status-Detail. */
  readonly status: number;
  readonly reason: string;
}

export interface DoorOptions {
  readonly plane: Pick<Plane, "loginAnswer" | "loginClose" | "openNexus" | "closeNexus">;
  readonly directory: LoginDirectory;
  readonly credentials: Credentials;
  readonly guard: GuessGuard;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly timers: Timers;
  readonly random: (bytes: number) => Uint8Array;
  /** Set the paths of the nexus: its initiator is in as soon as this returns. A throw refuses the login. */
  readonly onSession: (session: SessionFacts) => void;
  readonly onRefused: (refused: RefusedLogin) => void;
  /** A defect: the connection was closed. */
  readonly onDefect: (error: unknown) => void;
  readonly offer?: Offer;
  /** CmdSN window of a session. Default 128. */
  readonly queueDepth?: number;
  /** Logins at a time; one more ends the one that began first. Default 256. */
  readonly logins?: number;
  /** Default 15 s. */
  readonly loginTimeoutMs?: number;
}

interface Login {
  readonly connection: number;
  readonly portal: number;
  readonly peer: string;
  readonly machine: LoginMachine;
  /** An answer is being held back, or waits for another session; nothing may come meanwhile. */
  busy: boolean;
  readonly cancel: (() => void)[];
}

/** Largest text in one PDU that the front end takes. */
const TEXT_SEGMENT_MAX = 65_536;

export class LoginDoor {
  readonly #options: DoorOptions;
  readonly #logins = new Map<number, Login>();
  readonly #texts = new Map<number, { readonly machine: TextMachine; full: FullFeature }>();
  readonly #sessions: SessionTable;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#sessions = new SessionTable((nexus) => options.plane.closeNexus(nexus));
  }

  /** Logins under way and sessions, for facts and tests. */
  get counts(): { readonly logins: number; readonly texts: number; readonly sessions: number } {
    return { logins: this.#logins.size, texts: this.#texts.size, sessions: this.#sessions.size };
  }

  /** A Login or Text Request. Never throws. */
  onLogin(request: LoginRequest): void {
    this.#guarded(request.connection, () => {
      if (request.text || this.#texts.has(request.connection)) this.#text(request);
      else this.#step(this.#logins.get(request.connection) ?? this.#begin(request), request);
    });
  }

  onGone(connection: number): void {
    this.#end(connection);
    this.#texts.delete(connection);
  }

  onNexusClosed(nexus: number): void {
    try {
      this.#sessions.closed(nexus);
    } catch (error) {
      this.#options.onDefect(error);
    }
  }

  /** No more logins; sessions are the front end's. */
  close(): void {
    for (const connection of [...this.#logins.keys()]) {
      this.#end(connection);
      this.#options.plane.loginClose(connection);
    }
  }

  #begin({ connection, portal, peer }: LoginRequest): Login {
    const { directory, credentials, random, timers, offer = DEFAULT_OFFER, queueDepth = 128 } = this.#options;
    this.#makeRoom();
    const machine = new LoginMachine({ portal, directory, credentials, random, offer, queueDepth });
    const login: Login = { connection, portal, peer, machine, busy: false, cancel: [] };
    this.#logins.set(connection, login);
    login.cancel.push(
      timers.after(this.#options.loginTimeoutMs ?? 15_000, () => {
        this.#refuse(login, undefined, STATUS.INITIATOR_ERROR, "The login took too long.");
      }),
    );
    return login;
  }

  /** A flood of logins that lead nowhere must not keep out those that do, which are through in a moment. */
  #makeRoom(): void {
    const [oldest] = this.#logins.values();
    if (oldest === undefined || this.#logins.size < (this.#options.logins ?? 256)) return;
    this.#refuse(oldest, undefined, STATUS.OUT_OF_RESOURCES, "Too many logins are under way at once.");
  }

  #step(login: Login, request: LoginRequest): void {
    if (login.busy) {
      this.#refuse(login, undefined, STATUS.INITIATOR_ERROR, "A request came before the answer to the last one.");
      return;
    }
    const step = login.machine.step(request.header, request.data);
    if (!step.judged) {
      this.#do(login, step);
      return;
    }
    const name = login.machine.initiator ?? "";
    const waitMs = this.#options.guard.admit(name, login.peer);
    if (waitMs === undefined) {
      this.#refuse(
        login,
        login.machine.refusal(request.header, STATUS.SERVICE_UNAVAILABLE),
        STATUS.SERVICE_UNAVAILABLE,
        "Too many wrong proofs came under this name or address.",
      );
      return;
    }
    // Told apart at once, so that guesses in parallel count at once; told to the peer when its time has come.
    if (step.kind === "refused" && step.status === STATUS.AUTHENTICATION_FAILURE)
      this.#options.guard.failed(name, login.peer);
    else if (step.kind !== "refused") this.#options.guard.passed(name, login.peer);
    if (waitMs === 0) this.#do(login, step);
    else this.#later(login, waitMs, step);
  }

  #later(login: Login, waitMs: number, step: Step): void {
    login.busy = true;
    login.cancel.push(
      this.#options.timers.after(waitMs, () => {
        login.busy = false;
        this.#guarded(login.connection, () => this.#do(login, step));
      }),
    );
  }

  #do(login: Login, step: Step): void {
    if (step.kind === "refused") this.#refuse(login, step.pdu, step.status, step.reason);
    else if (step.kind === "answer") this.#options.plane.loginAnswer(login.connection, step.pdu.header, step.pdu.data);
    else if (step.entering.target === undefined) this.#discover(login, step.entering);
    else this.#session(login, step.entering);
  }

  /** Discovery sessions have no nexus, and none is ended for another. */
  #discover(login: Login, entering: Entering): void {
    const tsih = entering.tsih === 0 ? this.#sessions.allocate() : undefined;
    if (tsih === undefined) {
      const { header } = entering.refuse(STATUS.SESSION_DOES_NOT_EXIST);
      this.#refuse(login, { header, data: new Uint8Array() }, STATUS.SESSION_DOES_NOT_EXIST, "No such session.");
      return;
    }
    this.#enter(login, entering, tsih);
  }

  #session(login: Login, entering: Entering): void {
    const { initiator, isid, target, tsih, cid } = entering;
    if (target === undefined) return;
    login.busy = true;
    const identity = { initiator, isid, target: target.name, portalGroupTag: target.portalGroupTag };
    this.#sessions.login(identity, {
      connection: login.connection,
      tsih,
      cid,
      enter: (given) => this.#nexus(login, entering, given),
      refuse: (status, reason) => this.#refuse(login, entering.refuse(status), status, reason),
    });
  }

  /** The paths stand before the initiator hears that it is in. */
  #nexus(login: Login, entering: Entering, tsih: number): number | undefined {
    const { plane, onSession, onDefect } = this.#options;
    const { target, initiator, isid, chapName } = entering;
    const { portal, peer, connection } = login;
    if (target === undefined) return undefined;
    const nexus = plane.openNexus(connection);
    if (nexus === undefined) {
      this.#refuse(login, entering.refuse(STATUS.OUT_OF_RESOURCES), STATUS.OUT_OF_RESOURCES, "No nexus is left.");
      return undefined;
    }
    const facts = { nexus, portal, peer, initiator, isid, target: target.name, portalGroupTag: target.portalGroupTag };
    try {
      onSession({ ...facts, ...(chapName !== undefined && { chapName }) });
    } catch (error) {
      onDefect(error);
      this.#refuse(login, entering.refuse(STATUS.TARGET_ERROR), STATUS.TARGET_ERROR, messageOf(error));
      return nexus;
    }
    this.#enter(login, entering, tsih);
    return nexus;
  }

  #enter(login: Login, entering: Entering, tsih: number): void {
    const { connection, portal } = login;
    const { agreed, discovery, expCmdSn, statSn, cid, initiator, target } = entering;
    this.#end(connection);
    const machine = new TextMachine({
      initiator,
      portal,
      directory: this.#options.directory,
      segment: agreed.initiatorMaxRecvDataSegmentLength,
      segmentMax: TEXT_SEGMENT_MAX,
      ...(target !== undefined && { target: target.name }),
    });
    const { header, data } = entering.finish(tsih);
    const targetMaxRecvDataSegmentLength = entering.maxRecvDataSegmentLength;
    const full = { ...agreed, targetMaxRecvDataSegmentLength, discovery, expCmdSn, statSn, tsih, cid };
    this.#texts.set(connection, { machine, full });
    this.#options.plane.loginAnswer(connection, header, data, full);
  }

  /** In full-feature phase whoever breaks the rules of text loses the connection (RFC 7143 6.2.3). */
  #text({ connection, header, data }: LoginRequest): void {
    const { plane } = this.#options;
    const text = this.#texts.get(connection);
    try {
      const answer = text?.machine.step(header, data);
      if (text === undefined || answer === undefined) plane.loginClose(connection);
      else if (answer.segment === undefined) plane.loginAnswer(connection, answer.header, answer.data);
      else {
        text.full = { ...text.full, initiatorMaxRecvDataSegmentLength: answer.segment };
        plane.loginAnswer(connection, answer.header, answer.data, text.full);
      }
    } catch (error) {
      if (!isPeerError(error)) throw error;
      plane.loginClose(connection);
    }
  }

  #refuse(login: Login, pdu: Pdu | undefined, status: number, reason: string): void {
    const { connection, portal, peer, machine } = login;
    this.#end(connection);
    this.#options.plane.loginClose(connection, pdu?.header, pdu?.data);
    const { initiator } = machine;
    this.#options.onRefused({ portal, peer, status, reason, ...(initiator !== undefined && { initiator }) });
  }

  #end(connection: number): void {
    this.#sessions.forget(connection);
    const login = this.#logins.get(connection);
    this.#logins.delete(connection);
    for (const cancel of login?.cancel ?? []) cancel();
  }

  /** What is no error of the peer is a defect: the connection goes, the others stay. */
  #guarded(connection: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#end(connection);
      this.#options.onDefect(error);
      this.#options.plane.loginClose(connection);
    }
  }
}
