import test from "ava";
import fc from "fast-check";
import { type Agreed, DEFAULT_OFFER, Negotiation, OPERATIONAL } from "../../../src/fabric/iscsi/negotiation.js";

const OFFER = { ...DEFAULT_OFFER, maxBurstLength: 1_048_576, firstBurstLength: 131_072, maxOutstandingR2T: 8 };

/** What comes back for one pair, or for several at once. */
function offered(pairs: string, discovery = false): { readonly answer: string; readonly result: Agreed } {
  const negotiation = new Negotiation(OFFER);
  const answer = negotiation.answer(
    pairs
      .split(" ")
      .map((pair) => ({ key: pair.slice(0, pair.indexOf("=")), value: pair.slice(pair.indexOf("=") + 1) })),
    discovery,
  );
  return { answer: answer.map(({ key, value }) => `${key}=${value}`).join(" "), result: negotiation.result() };
}

/** RFC 7143 13.1 to 13.25: offer → answer. An empty answer is none. */
const table: readonly (readonly [string, string])[] = [
  // 13.1: the first of the initiator's list that is known
  ["HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C"],
  ["HeaderDigest=None,CRC32C", "HeaderDigest=None"],
  ["HeaderDigest=X-com.example.sum,CRC32C", "HeaderDigest=CRC32C"],
  ["HeaderDigest=X-com.example.sum", "HeaderDigest=Reject"],
  ["HeaderDigest=", "HeaderDigest=Reject"],
  ["DataDigest=CRC32C", "DataDigest=CRC32C"],
  ["DataDigest=crc32c", "DataDigest=Reject"],
  // 13.2
  ["MaxConnections=1", "MaxConnections=1"],
  ["MaxConnections=65535", "MaxConnections=1"],
  ["MaxConnections=0", "MaxConnections=Reject"],
  ["MaxConnections=65536", "MaxConnections=Reject"],
  // 13.10, 13.11: OR and AND
  ["InitialR2T=Yes", "InitialR2T=Yes"],
  ["InitialR2T=No", "InitialR2T=No"],
  ["InitialR2T=yes", "InitialR2T=Reject"],
  ["ImmediateData=Yes", "ImmediateData=Yes"],
  ["ImmediateData=No", "ImmediateData=No"],
  ["ImmediateData=1", "ImmediateData=Reject"],
  // 13.12: declared, so not answered; out of its range it is refused
  ["MaxRecvDataSegmentLength=512", ""],
  ["MaxRecvDataSegmentLength=0xffffff", ""],
  ["MaxRecvDataSegmentLength=511", "MaxRecvDataSegmentLength=Reject"],
  ["MaxRecvDataSegmentLength=16777216", "MaxRecvDataSegmentLength=Reject"],
  ["MaxRecvDataSegmentLength=lots", "MaxRecvDataSegmentLength=Reject"],
  // 13.13, 13.14: minimum
  ["MaxBurstLength=512", "MaxBurstLength=512"],
  ["MaxBurstLength=16777215", "MaxBurstLength=1048576"],
  ["MaxBurstLength=511", "MaxBurstLength=Reject"],
  ["MaxBurstLength=16777216", "MaxBurstLength=Reject"],
  ["FirstBurstLength=65536", "FirstBurstLength=65536"],
  ["FirstBurstLength=262144", "FirstBurstLength=131072"],
  ["FirstBurstLength=0", "FirstBurstLength=Reject"],
  ["FirstBurstLength=65536 MaxBurstLength=8192", "FirstBurstLength=8192 MaxBurstLength=8192"],
  // 13.15, 13.16: maximum and minimum
  ["DefaultTime2Wait=0", "DefaultTime2Wait=0"],
  ["DefaultTime2Wait=3600", "DefaultTime2Wait=3600"],
  ["DefaultTime2Wait=3601", "DefaultTime2Wait=Reject"],
  ["DefaultTime2Retain=20", "DefaultTime2Retain=0"],
  ["DefaultTime2Retain=3601", "DefaultTime2Retain=Reject"],
  // 13.17
  ["MaxOutstandingR2T=1", "MaxOutstandingR2T=1"],
  ["MaxOutstandingR2T=65535", "MaxOutstandingR2T=8"],
  ["MaxOutstandingR2T=0", "MaxOutstandingR2T=Reject"],
  // 13.18, 13.19: OR with Yes
  ["DataPDUInOrder=No", "DataPDUInOrder=Yes"],
  ["DataPDUInOrder=Yes", "DataPDUInOrder=Yes"],
  ["DataSequenceInOrder=No", "DataSequenceInOrder=Yes"],
  // 13.20
  ["ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0"],
  ["ErrorRecoveryLevel=3", "ErrorRecoveryLevel=Reject"],
  // 13.23, 13.24
  ["TaskReporting=FastAbort,ResponseFence,RFC3720", "TaskReporting=RFC3720"],
  ["TaskReporting=FastAbort", "TaskReporting=Reject"],
  ["iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1"],
  ["iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0"],
  ["iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"],
  // 13.25: must not be NotUnderstood
  ["IFMarker=Yes", "IFMarker=Reject"],
  ["OFMarker=No", "OFMarker=Reject"],
  ["IFMarkInt=2048~8192", "IFMarkInt=Reject"],
  ["OFMarkInt=2048", "OFMarkInt=Reject"],
  // 6.2: not known
  ["X-com.example.speed=11", "X-com.example.speed=NotUnderstood"],
  ["X#NodeArchitecture=x86", "X#NodeArchitecture=NotUnderstood"],
  ["Toast=Yes", "Toast=NotUnderstood"],
  ["__proto__=1", "__proto__=NotUnderstood"],
  ["constructor=1", "constructor=NotUnderstood"],
  // 13.14: irrelevant without unsolicited data, in whatever order
  [
    "FirstBurstLength=65536 InitialR2T=Yes ImmediateData=No",
    "FirstBurstLength=Irrelevant InitialR2T=Yes ImmediateData=No",
  ],
];
for (const [offer, answer] of table) {
  test(`${offer} is answered with ${answer === "" ? "nothing" : answer}`, (t) => {
    t.is(offered(offer).answer, answer);
  });
}

test("every key of the table is tried above", (t) => {
  const tried = new Set(table.flatMap(([offer]) => offer.split(" ").map((pair) => pair.split("=")[0])));
  t.deepEqual(
    Object.keys(OPERATIONAL).filter((key) => !tried.has(key)),
    [],
  );
});

test("in a discovery session keys of SCSI are irrelevant, those of the connection are not", (t) => {
  const irrelevant = Object.entries(OPERATIONAL)
    .filter(([key]) => offered(`${key}=1`, true).answer === `${key}=Irrelevant`)
    .map(([key]) => key);
  t.deepEqual(irrelevant, [
    "MaxConnections",
    "InitialR2T",
    "ImmediateData",
    "MaxBurstLength",
    "FirstBurstLength",
    "MaxOutstandingR2T",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "TaskReporting",
    "iSCSIProtocolLevel",
  ]);
});

test("what nobody negotiates has the default of the standard", (t) => {
  t.deepEqual(new Negotiation(OFFER).result(), {
    headerDigest: false,
    dataDigest: false,
    initiatorMaxRecvDataSegmentLength: 8192,
    maxBurstLength: 262_144,
    firstBurstLength: 65_536,
    initialR2T: true,
    immediateData: true,
    maxOutstandingR2T: 1,
    dataPduInOrder: true,
    dataSequenceInOrder: true,
  });
});

test("what was rejected stays at its default; what was agreed counts", (t) => {
  const { result } = offered(
    "HeaderDigest=CRC32C MaxBurstLength=1 ImmediateData=No InitialR2T=No MaxRecvDataSegmentLength=0x10000 FirstBurstLength=4096",
  );
  t.like(result, {
    headerDigest: true,
    dataDigest: false,
    maxBurstLength: 262_144,
    immediateData: false,
    initialR2T: false,
    initiatorMaxRecvDataSegmentLength: 65_536,
    firstBurstLength: 4096,
  });
});

test("a first burst is never longer than a burst, also when only the burst is negotiated", (t) => {
  t.is(offered("MaxBurstLength=4096").result.firstBurstLength, 4096);
});

test("whatever is offered, what is agreed lies within the bounds of the standard", (t) => {
  const key = fc.constantFrom(...Object.keys(OPERATIONAL));
  const value = fc.oneof(
    fc.nat(0x2000000).map(String),
    fc.constantFrom("Yes", "No", "CRC32C", "None", ""),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ key, value }), { maxLength: 12 }), fc.boolean(), (pairs, discovery) => {
      const negotiation = new Negotiation(OFFER);
      const answers = negotiation.answer(pairs, discovery);
      const agreed = negotiation.result();
      return (
        answers.length <= pairs.length &&
        agreed.firstBurstLength >= 512 &&
        agreed.firstBurstLength <= agreed.maxBurstLength &&
        agreed.maxBurstLength <= OFFER.maxBurstLength &&
        agreed.initiatorMaxRecvDataSegmentLength >= 512 &&
        agreed.initiatorMaxRecvDataSegmentLength <= 0xffffff &&
        agreed.maxOutstandingR2T >= 1 &&
        agreed.maxOutstandingR2T <= OFFER.maxOutstandingR2T &&
        agreed.dataPduInOrder &&
        agreed.dataSequenceInOrder
      );
    }),
    { numRuns: 1000 },
  );
  t.pass();
});
