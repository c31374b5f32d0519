// One connection to an MQTT server, from CONNECT to close; link.ts makes the next. The only user of `mqtt`.
//
// Acknowledgement of what comes in is ours: a QoS 1 message gets its PUBACK when the handler is done with it, in
// the order in which the messages came [MQTT-4.6.0-2], and meanwhile other packets go on being read, so that a
// slow handler holds up neither PUBACKs nor pings. What was not acknowledged when the connection breaks comes again.
import net from "node:net";
import tls from "node:tls";
import type { IClientOptions, IPublishPacket, MqttClient } from "mqtt";
import { GantryError, messageOf } from "../sys/errors.js";
import { FrameGuard } from "./frame-guard.js";
import { Client, codec } from "./mqtt-client.js";
import type { Publication } from "./outbox.js";

export interface TlsOptions {
  /** PEM: certificates that the server's must descend from; without it, those of the system. */
  readonly ca?: string | Buffer;
  /** PEM: our certificate and its key. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Name that the server's certificate must have; default: the host. */
  readonly serverName?: string;
}

export interface SessionOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsOptions;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly version: 5 | 4;
  /** Clean Session / Clean Start. */
  readonly clean: boolean;
  /** Seconds that the server keeps the session after the connection ends; 5.0 only, 3.1.1 servers decide. */
  readonly sessionExpiryS: number;
  readonly keepaliveS: number;
  readonly connectTimeoutMs: number;
  readonly will?: Publication;
  /** Largest packet that is taken, bytes. */
  readonly maxPacketBytes: number;
  /** Messages that may be with the handler at once. */
  readonly maxInbound: number;
}

export interface InboundMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

export interface SessionEvents {
  /** CONNACK said yes. */
  connected(info: ConnectInfo): void;
  /** The message is acknowledged when the promise settles. */
  message(message: InboundMessage): Promise<void>;
  /** Called once, whatever happened before. */
  closed(info: CloseInfo): void;
}

export interface ConnectInfo {
  readonly sessionPresent: boolean;
  /** QoS 1 messages that the server takes unacknowledged. */
  readonly receiveMaximum: number;
  /** Largest packet that the server takes, bytes. */
  readonly maximumPacketSize: number;
}

export interface CloseInfo {
  readonly error?: Error;
  /** The transport (TCP or TLS) was up, but no CONNACK said yes. */
  readonly refused: boolean;
  /** The server sent a packet over maxPacketBytes. */
  readonly overlong: boolean;
}

interface Arrived {
  /** Undefined for QoS 0, which needs no acknowledgement but counts. */
  readonly messageId: number | undefined;
  handled: boolean;
}

// The codec would otherwise keep a Buffer for each of the 65536 numbers of two bytes: 10 MB and a pause at start.
codec.writeToStream.cacheNumbers = false;

/** MQTT 5.0 2.2.2.2: room for the topic and properties of a packet beside its payload, bytes. */
export const PACKET_OVERHEAD = 4096;

export class Session {
  readonly #options: SessionOptions;
  readonly #events: SessionEvents;
  #client: MqttClient | undefined;
  #error: Error | undefined;
  #transportUp = false;
  #accepted = false;
  #overlong = false;
  #closed = false;
  /** Messages that are with the handler or behind one that is, in order of arrival. */
  readonly #arrived: Arrived[] = [];
  /** Continues reading when it was stopped because too many messages were with the handler. */
  #readOn: (() => void) | undefined;

  constructor(options: SessionOptions, events: SessionEvents) {
    this.#options = options;
    this.#events = events;
  }

  open(): void {
    const client = new Client(() => this.#stream() as never, clientOptions(this.#options));
    this.#client = client;
    client.handleMessage = (packet, callback) => this.#message(client, packet, callback);
    client.on("connect", ({ sessionPresent, properties }) => {
      this.#accepted = true;
      this.#events.connected({
        sessionPresent,
        receiveMaximum: properties?.receiveMaximum ?? 65535,
        maximumPacketSize: properties?.maximumPacketSize ?? 2 ** 28,
      });
    });
    client.on("disconnect", ({ reasonCode }) => {
      this.#error ??= new Error(`the server closed the connection with reason code ${reasonCode}`);
    });
    client.on("error", (error) => {
      this.#error ??= error;
      // Some errors of the protocol are only told; going on after them would be guessing.
      client.stream.destroy();
    });
    client.on("close", () => this.#close());
  }

  /** Subscribes with QoS 1; resolves when all filters are granted. Throws LINK_REFUSED. */
  async subscribe(filters: readonly string[]): Promise<void> {
    try {
      await this.#client?.subscribeAsync([...filters], { qos: 1 });
    } catch (cause) {
      throw new GantryError("LINK_REFUSED", `The MQTT server refused a subscription: ${messageOf(cause)}.`, { cause });
    }
  }

  /**
   * Sends. `settle` is called when it is acknowledged (QoS 1) or written (QoS 0), with LINK_REFUSED when the server
   * says no, and not at all when the connection breaks before.
   */
  publish(publication: Publication, settle: (error?: GantryError) => void): void {
    const { topic, qos, retain, responseTopic, correlation, expiryS } = publication;
    const properties = {
      ...(responseTopic === undefined ? {} : { responseTopic }),
      ...(correlation === undefined ? {} : { correlationData: asBuffer(correlation) }),
      ...(expiryS === undefined ? {} : { messageExpiryInterval: expiryS }),
    };
    this.#client?.publish(topic, asBuffer(publication.payload), { qos, retain, properties }, (error) => {
      if (error === undefined || error === null) settle();
      else if ("code" in error && typeof error.code === "number" && !this.#closed) {
        settle(
          new GantryError("LINK_REFUSED", `The MQTT server refused a message to ${topic}: ${error.message}.`, {
            cause: error,
          }),
        );
      }
    });
  }

  /** Ends the connection: with DISCONNECT (no will), or just so. `closed` follows. */
  end(how: "disconnect" | "drop", error?: Error): void {
    this.#error ??= error;
    if (how === "drop") this.#client?.stream.destroy();
    else this.#client?.end(false, { reasonCode: 0 });
  }

  #stream(): net.Socket {
    const { host, port, tls: secure } = this.#options;
    const socket =
      secure === undefined
        ? net.connect({ host, port })
        : tls.connect({ ...tlsOptions(host, secure), host, port, rejectUnauthorized: true, minVersion: "TLSv1.2" });
    socket.once(secure === undefined ? "connect" : "secureConnect", () => {
      this.#transportUp = true;
    });
    const guard = new FrameGuard(this.#options.maxPacketBytes);
    socket.on("data", (bytes) => {
      if (guard.accept(bytes)) return;
      this.#overlong = true;
      this.#error ??= new Error(`the server sent a packet of more than ${this.#options.maxPacketBytes} bytes`);
      socket.destroy();
    });
    return socket;
  }

  #message(client: MqttClient, packet: IPublishPacket, callback: (error?: Error) => void): void {
    const { messageId, qos } = packet;
    const arrived: Arrived = { messageId: qos === 1 ? messageId : undefined, handled: false };
    this.#arrived.push(arrived);
    const handled = this.#events.message(inbound(packet)).catch(() => {});
    void handled.then(() => {
      arrived.handled = true;
      this.#acknowledge(client);
    });
    // An error keeps mqtt.js from sending the PUBACK itself and makes it read on.
    const readOn = (): void => callback(NOT_YET);
    if (this.#arrived.length < this.#options.maxInbound) readOn();
    else this.#readOn = readOn;
  }

  #acknowledge(client: MqttClient): void {
    if (this.#closed) return;
    while (this.#arrived[0]?.handled) {
      const { messageId } = this.#arrived[0];
      this.#arrived.shift();
      if (messageId === undefined) continue;
      // biome-ignore lint/complexity/useLiteralKeys: the method is private, and there is no public way to acknowledge later.
      client["_sendPacket"]({ cmd: "puback", messageId, reasonCode: 0 });
    }
    const readOn = this.#readOn;
    if (readOn === undefined || this.#arrived.length >= this.#options.maxInbound) return;
    this.#readOn = undefined;
    readOn();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client?.end(true);
    this.#events.closed({
      ...(this.#error === undefined ? {} : { error: this.#error }),
      refused: this.#transportUp && !this.#accepted,
      overlong: this.#overlong,
    });
  }
}

const NOT_YET = new Error("acknowledged later");

function clientOptions(options: SessionOptions): IClientOptions {
  const { will, version, sessionExpiryS, maxPacketBytes, maxInbound } = options;
  return {
    protocolVersion: version,
    clientId: options.clientId,
    clean: options.clean,
    keepalive: options.keepaliveS,
    connectTimeout: options.connectTimeoutMs,
    // Reconnection, subscriptions and the queue are the link's.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(version === 5
      ? {
          properties: {
            sessionExpiryInterval: sessionExpiryS,
            receiveMaximum: maxInbound,
            maximumPacketSize: maxPacketBytes,
          },
        }
      : {}),
    ...(will === undefined
      ? {}
      : { will: { topic: will.topic, payload: asBuffer(will.payload), qos: will.qos, retain: will.retain } }),
  };
}

function tlsOptions(host: string, options: TlsOptions): tls.ConnectionOptions {
  const { ca, cert, key, serverName } = options;
  const name = serverName ?? host;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    // RFC 6066 3: no literal addresses as server name.
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
  };
}

function inbound(packet: IPublishPacket): InboundMessage {
  const { topic, payload, retain, properties } = packet;
  return {
    topic,
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    retain,
    ...(properties?.responseTopic === undefined ? {} : { responseTopic: properties.responseTopic }),
    ...(properties?.correlationData === undefined ? {} : { correlation: properties.correlationData }),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
