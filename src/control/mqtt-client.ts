// Loads the client of `mqtt` alone: the package's main module also loads its connections over WebSocket and through
// proxies, and an import of it scans all of that for names, which is half the time that the daemon's modules take to
// load. The bundle, where nothing is looked for, has a file of its own in this one's place (tools/bundle/bundle.ts).
import { createRequire } from "node:module";
import type { MqttClient } from "mqtt";

interface Codec {
  readonly writeToStream: { cacheNumbers: boolean };
}

const own = createRequire(import.meta.url);
const file = own.resolve("mqtt/lib/client");

export const Client: typeof MqttClient = own(file).default;
/** The codec that the client uses. */
export const codec: Codec = createRequire(file)("mqtt-packet");
