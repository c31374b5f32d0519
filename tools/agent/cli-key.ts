// `gantry-agent key present`: a server brings the key that it was given to the bridge by itself, over the SAN.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { native } from "../../src/native/index.js";
import type { Lu, LuTarget, ScsiAnswer } from "../../src/native/types.js";
import { GantryError } from "../../src/sys/errors.js";
import { fromHex } from "../../src/wire/hex.js";
import { STATUS, statusName } from "../../src/wire/names.js";
import {
  decodePresentedStatus,
  encodePresentedKey,
  PRESENT_KEY,
  PROTOCOL,
  type PresentedStatus,
  STATUS_BYTES_MAX,
  securityProtocolIn,
  securityProtocolOut,
} from "../../src/wire/security-protocol.js";
import { senseInWords } from "../../src/wire/sense.js";
import { printResult } from "./cli-io.js";
import { UsageError } from "./cli-list.js";

const TIMEOUT_MS = 30_000;
const UNIT_ATTENTION = 6;
const ATTENTIONS_MAX = 8;
const URL = /^iscsi:\/\/(\[[^\]]+\]:\d+|[^/:]+:\d+)\/([^/]+)\/(\d{1,5})$/;

interface PresentFlags {
  readonly device: string;
  readonly initiator?: string;
  readonly chapUser?: string;
  readonly chapSecretFile?: string;
  readonly json?: boolean;
}

export function addKeyCommands(program: Command): void {
  const key = program.command("key").description("keys of this server");
  key
    .command("present <file>")
    .description("bring a signed key to the bridge over the SAN: the bytes, or hexadecimal text")
    .requiredOption("--device <url|node>", "iscsi://host:port/target/lun, or /dev/sgN")
    .option("--initiator <name>", "iSCSI name of this server, that the key is for (with a URL)")
    .option("--chap-user <name>", "CHAP name")
    .option("--chap-secret-file <file>", "file whose first line is the CHAP secret")
    .option("--json", "print one JSON object")
    .action(present);
  for (const command of key.commands) command.exitOverride();
}

async function present(file: string, flags: PresentFlags): Promise<void> {
  const list = encodePresentedKey(keyBytes(await readFile(file)));
  const lu = await native.openLu(targetOf(flags));
  try {
    const answer = await execute(lu, securityProtocolOut(PROTOCOL.GANTRY, PRESENT_KEY, list.length), { dataOut: list });
    if (answer.status !== STATUS.GOOD) throw await refusal(lu, answer);
    const { code, message } = await status(lu);
    printResult(flags.json === true, { code, device: flags.device }, message);
  } finally {
    await lu.close();
  }
}

/** The bridge says why in words; a device that is no bridge of ours says it in sense data. */
async function refusal(lu: Lu, answer: ScsiAnswer): Promise<Error> {
  const words = inWords(answer);
  try {
    const { code, message } = await status(lu);
    if (code !== "NONE" && code !== "INSTALLED")
      return new GantryError("AGENT_KEY_REFUSED", `${code}: ${message}`, { details: { code } });
  } catch {
    // Not a bridge, or one that is out of reach by now: what the device said is all there is.
  }
  return new GantryError("AGENT_KEY_REFUSED", `The device did not take the key: ${words}.`, {
    details: { sense: words },
  });
}

const inWords = ({ sense, status: ended }: ScsiAnswer): string =>
  sense.length === 0 ? statusName(ended) : senseInWords(sense);

async function status(lu: Lu): Promise<PresentedStatus> {
  const cdb = securityProtocolIn(PROTOCOL.GANTRY, PRESENT_KEY, STATUS_BYTES_MAX);
  const answer = await execute(lu, cdb, { dataIn: STATUS_BYTES_MAX });
  if (answer.status === STATUS.GOOD) return decodePresentedStatus(answer.data);
  throw new GantryError("AGENT_KEY_REFUSED", `The device does not say what became of the key: ${inWords(answer)}.`);
}

/**
 * Unit attentions of a new session come first; and when a key gives LUN 0 a device, what was on its way to the place that
 * was there before is aborted. Both commands may be repeated.
 */
async function execute(
  lu: Lu,
  cdb: Uint8Array,
  data: { readonly dataOut?: Uint8Array; readonly dataIn?: number },
): Promise<ScsiAnswer> {
  for (let attentions = 0; ; attentions++) {
    const answer = await lu.execute(cdb, { ...data, timeoutMs: TIMEOUT_MS });
    if (answer.outcome !== "delivered")
      throw new GantryError("AGENT_KEY_REFUSED", `The command was not answered: ${answer.outcome}.`);
    const attention = ((answer.sense[2] ?? 0) & 0x0f) === UNIT_ATTENTION && answer.status === STATUS.CHECK_CONDITION;
    const again = attention || answer.status === STATUS.BUSY || answer.status === STATUS.TASK_ABORTED;
    if (!again || attentions >= ATTENTIONS_MAX) return answer;
  }
}

/** As the broker prints it with --json, or as it is signed. */
function keyBytes(file: Uint8Array): Uint8Array {
  const text = Buffer.from(file).toString("latin1").trim();
  return /^([0-9a-fA-F]{2})+$/.test(text) ? fromHex(text.toLowerCase()) : Uint8Array.from(file);
}

function targetOf({ device, initiator, chapUser, chapSecretFile }: PresentFlags): LuTarget {
  if (device.startsWith("/dev/")) return { transport: "sg", path: device };
  const [, portal, target, lun] = URL.exec(device) ?? [];
  if (portal === undefined || target === undefined || lun === undefined)
    throw new UsageError(`"${device}" is neither iscsi://host:port/target/lun nor a node below /dev.`);
  if (initiator === undefined) throw new UsageError("With a URL give --initiator: the name that the key is for.");
  if ((chapUser === undefined) !== (chapSecretFile === undefined))
    throw new UsageError("Give --chap-user and --chap-secret-file together.");
  return {
    transport: "iscsi",
    portal,
    target,
    lun: Number(lun),
    initiator,
    ...(chapUser === undefined || chapSecretFile === undefined
      ? {}
      : { chap: { user: chapUser, secret: readFileSync(chapSecretFile, "utf8").split(/\r?\n/, 1)[0] ?? "" } }),
  };
}
