// What devices say of themselves: identity, readiness, log pages, TapeAlert.
import { isIllegalRequest } from "../device/failure.js";
import type { ScsiUnit } from "../device/scsi-unit.js";
import { GantryError } from "../sys/errors.js";
import type { Row } from "../sys/text.js";
import * as cdb from "../wire/cdb.js";
import { hexForPeople } from "../wire/hex.js";
import { decodeInquiry, decodeSupportedPages, VPD } from "../wire/inquiry.js";
import { decodeTapeAlerts, LOG_PAGE } from "../wire/log.js";
import { STATUS, TAPE_ALERTS } from "../wire/names.js";
import { endInWords, senseInWords } from "../wire/sense.js";
import { alertWords } from "./alert-words.js";
import { inquiring, LOOK_MS, looking, readiness, sourceOf, usersOf } from "./device-look.js";
import { flagsOf, inquiryWords, VPD_SHOWN, vpdName, vpdWords } from "./inquiry-words.js";
import { logPageName, logWords } from "./log-words.js";
import type { Asked, Handler, ShellRoom } from "./room.js";
import { mayDo } from "./verb.js";

const INQUIRY_BYTES = 96;
/** Devices of SPC-2 look at the low byte of an allocation length only, which is 252 here. */
const PAGE_BYTES = 1020;
const LOG_BYTES = 8192;
const ALERT_RESPONSE = 0x12;
/** Failed jobs that are looked through for what a device said last. */
const REPORTS = 200;

export const DEVICE_HANDLERS: readonly (readonly [string, Handler])[] = [
  ["device inquire", inquire],
  ["device sense", sense],
  ["device log", log],
  ["device alerts", tapeAlerts],
];

async function inquire(room: ShellRoom, { args: [device = "", page] }: Asked): Promise<unknown> {
  return inquiring(room, device, async (unit) => {
    const { data } = await unit.command(cdb.inquiry(INQUIRY_BYTES), { dataIn: INQUIRY_BYTES, timeoutMs: LOOK_MS });
    const { deviceType } = decodeInquiry(data);
    if (page !== undefined) return onePage(unit, hexNumber(page, 0xff), deviceType);
    const supported = await vpd(unit, VPD.SUPPORTED);
    const pages = supported === undefined ? [] : decodeSupportedPages(supported);
    const shown: Record<string, unknown> = {};
    for (const code of VPD_SHOWN.filter((one) => pages.includes(one))) {
      const bytes = await vpd(unit, code);
      if (bytes !== undefined) shown[vpdName(code, deviceType)] = vpdWords(code, bytes, deviceType);
    }
    return {
      device,
      ...inquiryWords(data),
      pages: pages.map((code) => ({ page: vpdName(code, deviceType) })),
      ...shown,
    };
  });
}

async function onePage(unit: ScsiUnit, page: number, deviceType: number): Promise<Row> {
  const data = await vpd(unit, page);
  if (data === undefined)
    throw new GantryError("DEVICE_ERROR", `${unit.name} has no page ${vpdName(page, deviceType)}.`);
  return {
    page: vpdName(page, deviceType),
    decoded: vpdWords(page, data, deviceType),
    bytes: hexForPeople(data, PAGE_BYTES),
  };
}

/** Undefined: the device does not have it. */
async function vpd(unit: ScsiUnit, page: number): Promise<Uint8Array | undefined> {
  const answer = await unit.command(cdb.inquiry(PAGE_BYTES, page), {
    dataIn: PAGE_BYTES,
    timeoutMs: LOOK_MS,
    accept: isIllegalRequest,
  });
  return answer.status === STATUS.GOOD ? answer.data : undefined;
}

async function sense(room: ShellRoom, { args: [device = ""] }: Asked): Promise<Row> {
  const source = sourceOf(room.devices.config(device).type);
  const said = await looking(room, device, async (unit) => {
    const ready = await readiness(unit, source);
    const answer = await unit.lu.execute(cdb.requestSense(), { dataIn: 252, timeoutMs: LOOK_MS });
    const good = answer.outcome === "delivered" && answer.status === STATUS.GOOD;
    return {
      testUnitReady: ready,
      requestSense: good ? senseInWords(answer.data, source) : endInWords(answer, source),
      ...(good && answer.data.length > 0 ? { bytes: hexForPeople(answer.data, 252) } : {}),
    };
  });
  const last = lastFailure(room, device);
  return { device, usedBy: usersOf(room, device), ...said, ...(last === undefined ? {} : { lastFailure: last }) };
}

/** What the device said to the last job that it failed. */
function lastFailure({ jobs }: ShellRoom, device: string): Row | undefined {
  const ended = [...jobs.list()]
    .sort((a, b) => b.submittedMs - a.submittedMs)
    .slice(0, REPORTS)
    .map(({ jobId }) => jobs.progress(jobId))
    .flatMap((seen) => ("endedMs" in seen ? [seen] : []))
    .filter(({ failure }) => failure?.device === device)
    .sort((a, b) => b.endedMs - a.endedMs)[0];
  if (ended?.failure === undefined) return undefined;
  const { jobId, endedMs, failure } = ended;
  return { jobId, endedMs, code: failure.code, said: failure.sense ?? failure.message };
}

async function log(room: ShellRoom, { args: [device = "", page] }: Asked): Promise<unknown> {
  const { type } = room.devices.config(device);
  return looking(room, device, async (unit) => {
    const wanted = page === undefined ? undefined : hexNumber(page, 0x3f);
    if (wanted === LOG_PAGE.TAPE_ALERT) throw takeRefused(device);
    const supported = [...(await logPage(unit, LOG_PAGE.SUPPORTED))].slice(4);
    const shown = (wanted === undefined ? supported : [wanted]).filter(
      (one) => one !== LOG_PAGE.SUPPORTED && one !== LOG_PAGE.TAPE_ALERT,
    );
    const answer: Record<string, unknown> = {
      device,
      pages: supported.map((one) => ({ page: logPageName(one & 0x3f, type) })),
    };
    for (const code of shown)
      answer[logPageName(code & 0x3f, type)] = await logPage(unit, code & 0x3f).then(
        (data) => logWords(data, type),
        (error: unknown) => ({ problem: error instanceof Error ? error.message : String(error) }),
      );
    return answer;
  });
}

async function logPage(unit: ScsiUnit, page: number): Promise<Uint8Array> {
  const { data } = await unit.command(cdb.logSense(page, 0, LOG_BYTES), { dataIn: LOG_BYTES, timeoutMs: LOOK_MS });
  return data;
}

async function tapeAlerts(room: ShellRoom, { args: [device = ""], options, role }: Asked): Promise<unknown> {
  const take = options.take !== undefined;
  if (take && !mayDo(role, { role: "administrator" }))
    throw new GantryError("SHELL_ROLE", "`device alerts --take` deactivates flags, and is for administrators.");
  return looking(room, device, async (unit) => {
    const supported = [...(await logPage(unit, LOG_PAGE.SUPPORTED))].slice(4);
    if (supported.includes(ALERT_RESPONSE)) {
      const data = await logPage(unit, ALERT_RESPONSE);
      // One parameter, 0000h, of 64 flags (SSC-4 8.2.4).
      return flagsOf(data.subarray(8, 16)).map((flag) => alertWords(flag, TAPE_ALERTS[flag]));
    }
    if (!supported.includes(LOG_PAGE.TAPE_ALERT))
      throw new GantryError("DEVICE_ERROR", `${device} has no TapeAlert pages.`, { details: { device } });
    if (!take) throw takeRefused(device);
    return decodeTapeAlerts(await logPage(unit, LOG_PAGE.TAPE_ALERT)).map(({ flag, name }) => alertWords(flag, name));
  });
}

const takeRefused = (device: string): GantryError =>
  new GantryError(
    "SHELL_VERB",
    `The TapeAlert page (2Eh) deactivates what it tells, so that backup software would not see it any more; \`device alerts ${device} --take\` reads it all the same.`,
  );

function hexNumber(text: string, most: number): number {
  const value = /^[0-9a-fA-F]{1,2}h?$/.test(text) ? Number.parseInt(text, 16) : -1;
  if (value >= 0 && value <= most) return value;
  throw new GantryError("SHELL_VERB", `A page is a number in hexadecimal up to ${most.toString(16).toUpperCase()}h.`);
}
