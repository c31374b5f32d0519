// TransportIDs (SPC-4 7.6.4): bytes by hand, words, and what hostile ones get.
import test from "ava";
import fc from "fast-check";
import { isGantryError } from "../../../src/sys/errors.js";
import { decodePrOut } from "../../../src/wire/persistent-reserve.js";
import {
  decodeTransportId,
  decodeTransportIds,
  encodeTransportId,
  initiatorOf,
  initiatorText,
  type TransportId,
} from "../../../src/wire/transport-id.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const NAME = "iqn.2001-01.org.example:a";
const KNOWN: readonly (readonly [TransportId, string])[] = [
  [{ protocol: "fc", name: "2100000e1e1b9d60" }, `00${"00".repeat(7)}2100000e1e1b9d60${"00".repeat(8)}`],
  [{ protocol: "sas", address: "5000c500a1b2c3d4" }, `06${"00".repeat(3)}5000c500a1b2c3d4${"00".repeat(12)}`],
  // 25 characters, a null, padded to 28.
  [{ protocol: "iscsi", name: NAME }, `0500001c${Buffer.from(NAME).toString("hex")}${"00".repeat(3)}`],
  [
    { protocol: "iscsi", name: NAME, isid: "00023d000001" },
    `4500002c${Buffer.from(`${NAME},i,0x00023d000001`).toString("hex")}0000`,
  ],
  // At least 20 bytes behind the header.
  [{ protocol: "iscsi", name: "iqn.a" }, `05000014${Buffer.from("iqn.a").toString("hex")}${"00".repeat(15)}`],
];

test("TransportIDs have the bytes of SPC-4 7.6.4 and come back from them", (t) => {
  for (const [id, bytes] of KNOWN) {
    t.is(hex(encodeTransportId(id)), bytes);
    t.deepEqual(decodeTransportId(Buffer.from(bytes, "hex")), { id, length: bytes.length / 2 });
  }
  const all = Buffer.from(KNOWN.map(([, bytes]) => bytes).join(""), "hex");
  t.deepEqual(
    decodeTransportIds(all),
    KNOWN.map(([id]) => id),
  );
});

test("an initiator port has the same words however its name was written", (t) => {
  const words = "iscsi:iqn.2001-01.org.example:a,i,0x00023d000001";
  t.is(initiatorText({ protocol: "iscsi", name: NAME.toUpperCase(), isid: "00023d000001" }), words);
  const shouted = Buffer.from(
    "4500002c" +
      Buffer.from(`${NAME.replace("iqn.2001-01.org", "IQN.2001-01.ORG")},I,0X00023D000001`).toString("hex") +
      "0000",
    "hex",
  );
  const { id } = decodeTransportId(shouted);
  t.is("isid" in id ? initiatorText(id) : "", words);
  for (const text of [words, "fc:2100000e1e1b9d60", "sas:5000c500a1b2c3d4"]) {
    const port = initiatorOf(text);
    t.is(port && initiatorText(port), text);
  }
  for (const text of ["", "iscsi:x", "fc:21", "sas:zz00c500a1b2c3d4", "iscsi:iqn.a,i,0x12"])
    t.is(initiatorOf(text), undefined);
});

const BAD: Readonly<Record<string, string>> = {
  "nothing behind the header": "05000000",
  "not a multiple of four": `05000015${"61".repeat(20)}00`,
  "no null at its end": `05000014${Buffer.from("iqn.aaaaaaaaaaaaaaaa").toString("hex")}`,
  "something behind the null": `05000014${Buffer.from("iqn.a\0b").toString("hex")}${"00".repeat(13)}`,
  "no iSCSI name": `05000014${Buffer.from("host").toString("hex")}${"00".repeat(16)}`,
  "a name with a separator and no identifier": `05000014${Buffer.from("iqn.a,i,0x").toString("hex")}${"00".repeat(10)}`,
  "two identifiers": `45000028${Buffer.from("iqn.a,i,0x000000000001,i,0x000000000001").toString("hex")}00`,
  "form 2": `85000014${Buffer.from("iqn.a").toString("hex")}${"00".repeat(15)}`,
  "a form of FC": `40${"00".repeat(23)}`,
  "a protocol that is none": `0f${"00".repeat(23)}`,
  "cut short": "06000000",
};
for (const [what, bytes] of Object.entries(BAD)) {
  test(`a TransportID with ${what} is refused`, (t) => {
    const error = t.throws(() => decodeTransportId(Buffer.from(bytes, "hex")));
    t.true(isGantryError(error));
  });
}

test("whatever comes as TransportIDs or as parameter list ends in a value or in our own error", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        for (const id of decodeTransportIds(bytes)) t.truthy(id.protocol);
      } catch (error) {
        if (!isGantryError(error)) throw error;
      }
      for (let action = 0; action < 32; action++) {
        const cdb = Uint8Array.of(0x5f, action, 0, 0, 0, 0, 0, bytes.length >> 8, bytes.length & 0xff, 0);
        decodePrOut(cdb, bytes);
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
