// What servers send to present a key, what their agent reads of it, and who writes on a disk as the store has it.
import { packPrivilege, unpackPrivilege } from "../../../src/admit/privilege-records.js";
import { encodeCbor } from "../../../src/wire/cbor-strict.js";
import {
  decodePresentedKey,
  decodePresentedStatus,
  decodeSecurityCdb,
  encodePresentedKey,
  encodePresentedStatus,
  PRESENTED_BYTES_MAX,
  securityProtocolIn,
  securityProtocolOut,
} from "../../../src/wire/security-protocol.js";
import { must, type Target } from "../target.js";

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const padded = (bytes: Uint8Array, by: number): Uint8Array => Uint8Array.from([...bytes, ...new Uint8Array(by)]);

const KEYS = [encodePresentedKey(new Uint8Array(90).fill(7)), padded(encodePresentedKey(Uint8Array.of(1)), 507)];
const COMMANDS = [securityProtocolOut(0xf0, 1, 4096), securityProtocolIn(0xf0, 1, 4096), securityProtocolIn(0, 0, 512)];
const STATUSES = [
  encodePresentedStatus({ code: "INSTALLED", message: "The key is installed." }),
  encodePresentedStatus({ code: "KEY_EXPIRED", message: "é".repeat(1000) }),
];
const RECORDS = [
  packPrivilege({ writer: "iqn.2024-01.org.example:host", sinceMs: 1_800_000_000_000 }),
  encodeCbor([2, "iqn.2024-01.org.example:host", 1]),
];

export const inbandTargets: readonly Target[] = [
  {
    name: "inband-key",
    codes: ["KEY_MALFORMED"],
    seeds: () => KEYS,
    run: (input) => {
      const token = decodePresentedKey(input);
      must(token.length > 0 && token.length <= PRESENTED_BYTES_MAX, "a key has 1 to 16,384 bytes");
      const again = encodePresentedKey(token);
      must(same(padded(again, input.length - again.length), input), "what was taken is not all that came");
      return token;
    },
    proportion: 8,
  },
  {
    name: "inband-command",
    codes: [],
    seeds: () => COMMANDS,
    run: (input) => {
      const command = decodeSecurityCdb(input);
      if (command === undefined) return undefined;
      must([0xa2, 0xb5].includes(input[0] ?? 0) && input.length >= 12, "not one of the two commands");
      const unit = ((input[4] ?? 0) & 0x80) === 0 ? 1 : 512;
      const make = command.out ? securityProtocolOut : securityProtocolIn;
      const again = make(command.protocol, command.specific, command.length / unit);
      for (const at of [0, 1, 2, 3, 6, 7, 8, 9]) must(again[at] === input[at], `byte ${at} was read wrong`);
      return command;
    },
    proportion: 64,
  },
  {
    name: "inband-status",
    codes: ["CBOR_INVALID", "SCSI_DATA_TRUNCATED"],
    seeds: () => STATUSES,
    run: (input) => {
      const status = decodePresentedStatus(input);
      must(typeof status.code === "string" && typeof status.message === "string", "both are text");
      return status;
    },
    proportion: 64,
  },
  {
    name: "privilege-record",
    codes: [],
    seeds: () => RECORDS,
    run: (input) => {
      const record = unpackPrivilege(input);
      if (record === undefined) return undefined;
      const again = unpackPrivilege(packPrivilege(record));
      must(again?.writer === record.writer && again.sinceMs === Math.floor(record.sinceMs), "it does not come back");
      return record;
    },
    proportion: 64,
  },
];
