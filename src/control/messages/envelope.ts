// What every message has around its own fields.
import * as v from "valibot";
import { bytes, map, name, oneOf, text, timeMs, whole } from "../fields.js";

/** Version of the protocol; a message of another is refused. */
export const PROTOCOL_VERSION = 1;

export const envelopeSchema = map({
  v: whole(PROTOCOL_VERSION, PROTOCOL_VERSION),
  kind: name,
  /** Message id: a command that comes twice with the same id is carried out once. */
  id: name,
  /** Topic for the reply; without it, MQTT 5's Response Topic; without both there is no reply. */
  reply: v.exactOptional(text(256, 1)),
  /** Given back in the reply; without it, MQTT 5's Correlation Data. */
  correlation: v.exactOptional(bytes(0, 128)),
  sentMs: timeMs,
});

export type Envelope = v.InferOutput<typeof envelopeSchema>;

export const remoteErrorSchema = map({
  code: text(64, 1),
  message: text(4096),
  details: v.exactOptional(v.record(v.string(), v.unknown())),
});

export const replySchema = map({
  ...envelopeSchema.entries,
  kind: oneOf(["accepted", "rejected"]),
  /** Id of the command; "" when it could not be read. */
  to: text(64),
  result: v.exactOptional(v.record(v.string(), v.unknown())),
  error: v.exactOptional(remoteErrorSchema),
});

export type Reply = v.InferOutput<typeof replySchema>;
