// An SNTP server (RFC 4330) on the host's loopback address, which the guest sees as 10.0.2.2: without it the bridge has no
// reason to believe its clock.
import { createSocket } from "node:dgram";
import { once } from "node:events";

const PORT = 123;
/** 1900 to 1970. */
const EPOCH_S = 2_208_988_800;

export interface TimeServer {
  readonly asked: () => number;
  close(): void;
}

export async function startTimeServer(): Promise<TimeServer> {
  const socket = createSocket("udp4");
  let asked = 0;
  socket.on("message", (query, { port, address }) => {
    if (query.length < 48) return;
    asked++;
    const answer = Buffer.alloc(48);
    answer[0] = 0x24; // no warning, version 4, server
    answer[1] = 2; // stratum
    answer[2] = 6;
    answer[3] = 0xec; // precision
    answer.write("TEST", 12, "latin1");
    writeTime(answer, 16);
    query.copy(answer, 24, 40, 48); // originate: what the client sent as transmit
    writeTime(answer, 32);
    writeTime(answer, 40);
    socket.send(answer, port, address);
  });
  socket.bind(PORT, "127.0.0.1");
  await once(socket, "listening");
  return { asked: () => asked, close: () => socket.close() };
}

function writeTime(to: Buffer, at: number): void {
  const nowMs = Date.now();
  to.writeUInt32BE(Math.floor(nowMs / 1000) + EPOCH_S, at);
  to.writeUInt32BE(Math.floor(((nowMs % 1000) / 1000) * 2 ** 32), at + 4);
}
