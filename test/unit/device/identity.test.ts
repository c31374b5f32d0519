import test from "ava";
import { identityNames, identityOf, isMeant } from "../../../src/device/discovery/identity.js";
import { encodeDesignator } from "../../../src/wire/xcopy/designator.js";
import { identificationPage, serialPage } from "../../lib/sysfs-tree.js";

const NAA = "5000c500a1b2c3d4";

function meant(words: string, pages: Parameters<typeof isMeant>[1]): boolean {
  const identity = identityOf(words);
  if (identity === undefined) throw new Error(`${words} is none`);
  return isMeant(identity, pages);
}

test("a unit is known by a designator of its own, in capital or small digits, and not by one of its port", (t) => {
  const pages = { identification: identificationPage(NAA), vendor: "ACME" };
  t.true(meant(`naa.${NAA}`, pages));
  t.true(meant(`naa.${NAA.toUpperCase()}`, pages));
  t.false(meant(`naa.${NAA.replace("d4", "d5")}`, pages));
  t.false(meant(`eui.${NAA}`, pages));
  const ofPort = encodeDesignator({ codeSet: 1, association: 1, type: 3, value: Buffer.from(NAA, "hex") });
  const page = Buffer.concat([Buffer.from([0, 0x83, 0, ofPort.length]), ofPort]);
  t.false(meant(`naa.${NAA}`, { identification: page, vendor: "ACME" }));
});

test("text ends before the spaces and zeros that fill it", (t) => {
  const own = encodeDesignator({ codeSet: 2, association: 0, type: 1, value: Buffer.from("ACME    DISK 7  \0\0") });
  const pages = { identification: Buffer.concat([Buffer.from([0, 0x83, 0, own.length]), own]), vendor: "ACME" };
  t.true(meant("t10.ACME    DISK 7", pages));
  t.false(meant("t10.ACME    DISK", pages));
  t.deepEqual(identityNames(pages), ["t10.ACME    DISK 7"]);
});

test("without page 83h: vendor and serial number together", (t) => {
  const pages = { serial: serialPage("  A-1.7  "), vendor: "ACME  " };
  t.true(meant("serial.ACME.A-1.7", pages));
  t.false(meant("serial.ACM.A-1.7", pages));
  t.false(meant("serial.ACME.A-1", pages));
  t.deepEqual(identityNames(pages), ["serial.ACME.A-1.7"]);
});

test("the best name of a unit comes first", (t) => {
  const pages = { identification: identificationPage(NAA), serial: serialPage("7"), vendor: "ACME" };
  t.deepEqual(identityNames(pages), [`naa.${NAA}`, "serial.ACME.7"]);
});

test("pages that are none say nothing, and words that are none mean nothing", (t) => {
  const broken = { identification: Buffer.from([0, 0x83, 0, 9, 1]), serial: Buffer.from([0, 0x80]), vendor: "ACME" };
  t.deepEqual(identityNames(broken), []);
  t.false(meant(`naa.${NAA}`, broken));
  t.false(meant("serial.ACME.7", broken));
  for (const words of ["", "naa.", "naa.5", "serial.ACME", "serial..7", "uuid.1", NAA])
    t.is(identityOf(words), undefined, words);
});
