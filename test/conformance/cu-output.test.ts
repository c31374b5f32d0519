// The runner of iscsi-test-cu reads what that program really prints, and lets nothing pass that is not on its lists.
import test from "ava";
import { judgeDisk, judgeThrough, readKnown } from "./cu-lists.js";
import { agrees, readList, readOutput, type TestOutcome } from "./cu-output.js";

const OUTPUT = `found matching LU device identifier for all (2) paths

Suite: ModeSense6
  Test: AllPages ...passed
  Test: Control ...    [WARNING] BUSY_TIMEOUT_PERIOD is undefined.
passed
  Test: Unmap ...    [SKIPPED] Logical unit is fully provisioned. Skipping test
passed
  Test: Ownership ...    [FAILED] PRIN command: failed with sense: UNIT_ATTENTION(6)
FAILED
    1. test_prout_reserve_ownership.c:84  - CU_ASSERT_EQUAL(0,ret)
  Test: DataSn ...FAILED
    1. test_iscsi_datasn_invalid.c:98  - CU_ASSERT_NOT_EQUAL(ret,0)
    2. test_iscsi_datasn_invalid.c:116  - CU_ASSERT_NOT_EQUAL(ret,0)
  Test: Residuals ...passed    [FAILED] PRIN command: failed with sense. MODE PARAMETERS CHANGED(0x2a01)


Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      1      1    n/a      0        0
               tests      6      6      4      2        0
             asserts     36     36     36      0      n/a
`;

const outcome = (name: string, result: TestOutcome["result"]): TestOutcome => ({ test: name, result, said: "" });

test("a test is passed only when it neither failed nor skipped itself", (t) => {
  const outcomes = readOutput(OUTPUT);
  t.deepEqual(
    outcomes.map(({ test: name, result }) => `${name} ${result}`),
    [
      "ModeSense6.AllPages passed",
      "ModeSense6.Control passed",
      "ModeSense6.Unmap skipped",
      "ModeSense6.Ownership failed",
      "ModeSense6.DataSn failed",
      "ModeSense6.Residuals passed",
    ],
  );
  t.is(outcomes[2]?.said, "Logical unit is fully provisioned. Skipping test");
  t.is(outcomes[3]?.said, "PRIN command: failed with sense: UNIT_ATTENTION(6)");
  t.is(outcomes[4]?.said, "test_iscsi_datasn_invalid.c:98  - CU_ASSERT_NOT_EQUAL(ret,0)");
  t.true(agrees(OUTPUT, outcomes));
  t.false(agrees(OUTPUT, outcomes.slice(1)), "what was misread is noticed");
});

test("a test in whose middle the program dies has failed", (t) => {
  const [died] = readOutput("Suite: Read16\n  Test: Simple ...    [WARNING] slow\n");
  t.is(died?.result, "failed");
  t.is(died?.said, "the program ended in the middle of it");
});

test("suites and tests are those of the family ALL", (t) => {
  const listed = readList("ALL\nALL.Read6\nALL.Read6.Simple\nALL.Read6.BeyondEol\nSCSI.Read6\nSCSI.Read6.Simple\n");
  t.deepEqual([...listed], [["Read6", ["Read6.Simple", "Read6.BeyondEol"]]]);
});

test("what is skipped has to be listed, and what is listed has to be skipped", (t) => {
  const known = readKnown("# why\n* A.skips the reason\nbig A.only for this disk\n", "list");
  const judged = (disk: string, results: Record<string, TestOutcome["result"]>) =>
    judgeDisk(
      disk,
      Object.entries(results).map(([name, result]) => outcome(name, result)),
      known,
    );
  t.deepEqual(judged("big", { "A.skips": "skipped", "A.only": "skipped", "A.other": "passed" }), []);
  t.is(judged("small", { "A.only": "skipped" }).length, 1, "listed for another disk");
  t.is(judged("big", { "A.other": "skipped" }).length, 1, "not listed");
  t.is(judged("big", { "A.skips": "passed" }).length, 1, "no longer needed");
  t.is(judged("big", { "A.skips": "failed" }).length, 1, "a skipped test may not fail");
  t.throws(() => readKnown("* A.without-a-reason\n", "list"), { message: /list:1/ });
});

test("a disk behind the bridge does nothing worse than alone but what is listed, and what the bridge repairs", (t) => {
  const alone = [outcome("A.good", "passed"), outcome("A.skips", "skipped"), outcome("A.bad", "failed")];
  const lists = { worse: readKnown("", "list"), repaired: readKnown("* A.bad the bridge does it", "list") };
  const judged = (results: readonly TestOutcome["result"][], worse = "") =>
    judgeThrough(
      "disk",
      results.map((result, index) => outcome(alone[index]?.test ?? "A.new", result)),
      alone,
      { ...lists, worse: readKnown(worse, "list") },
    );
  t.deepEqual(judged(["passed", "skipped", "passed"]), []);
  t.deepEqual(judged(["passed", "passed", "passed"]), [], "better is welcome");
  t.is(judged(["skipped", "skipped", "passed"]).length, 1, "worse");
  t.is(judged(["passed", "failed", "passed"]).length, 1, "worse than skipped");
  t.is(judged(["passed", "skipped", "failed"]).length, 1, "repaired no longer");
  t.deepEqual(judged(["skipped", "skipped", "passed"], "disk A.good for a reason"), []);
  t.is(judged(["passed", "skipped", "passed"], "disk A.good for a reason").length, 1, "listed in vain");
  t.is(judged(["passed", "skipped", "passed", "passed"]).length, 1, "not compared");
});
