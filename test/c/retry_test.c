/* Every answer that matters, in every role: what the engine makes of it. */
#include "copy/retry.h"

#include "check.h"
#include "core/scsi.h"

typedef struct row {
  const char *answer;
  gt_outcome outcome;
  uint8_t status;
  gt_sense sense;
  int32_t resid;
  gt_verdict disk_read, disk_write, tape_read, tape_write, locate, query;
} row;

#define CHECKED GT_DELIVERED, GT_STATUS_CHECK_CONDITION
#define SENSE(k, a, ...)                                                                                               \
  { .key = (k), .asc = (a), __VA_ARGS__ }

static const row rows[] = {
    {"GOOD", GT_DELIVERED, GT_STATUS_GOOD, {0}, 0, GT_FINE, GT_FINE, GT_FINE, GT_FINE, GT_FINE, GT_FINE},
    {"GOOD for less than asked",
     GT_DELIVERED,
     GT_STATUS_GOOD,
     {0},
     512,
     GT_RETRY_LINK,
     GT_RETRY_LINK,
     GT_SHORT,
     GT_HARD,
     GT_FINE,
     GT_FINE},
    {"CONDITION MET",
     GT_DELIVERED,
     GT_STATUS_CONDITION_MET,
     {0},
     0,
     GT_FINE,
     GT_FINE,
     GT_FINE,
     GT_FINE,
     GT_FINE,
     GT_FINE},
    {"BUSY",
     GT_DELIVERED,
     GT_STATUS_BUSY,
     {0},
     0,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER},
    {"TASK SET FULL",
     GT_DELIVERED,
     GT_STATUS_TASK_SET_FULL,
     {0},
     0,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER,
     GT_RETRY_LATER},
    {"TASK ABORTED",
     GT_DELIVERED,
     GT_STATUS_TASK_ABORTED,
     {0},
     0,
     GT_RETRY_NOW,
     GT_RETRY_NOW,
     GT_HARD,
     GT_HARD,
     GT_RETRY_NOW,
     GT_RETRY_NOW},
    {"RESERVATION CONFLICT",
     GT_DELIVERED,
     GT_STATUS_RESERVATION_CONFLICT,
     {0},
     0,
     GT_HARD,
     GT_HARD,
     GT_HARD,
     GT_HARD,
     GT_HARD,
     GT_HARD},
    {"ACA ACTIVE", GT_DELIVERED, GT_STATUS_ACA_ACTIVE, {0}, 0, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"an unknown status", GT_DELIVERED, 0x77, {0}, 0, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"link lost",
     GT_TRANSPORT,
     0,
     {0},
     0,
     GT_RETRY_LINK,
     GT_RETRY_LINK,
     GT_HARD,
     GT_HARD,
     GT_RETRY_LINK,
     GT_RETRY_LINK},
    {"timed out",
     GT_TIMED_OUT,
     0,
     {0},
     0,
     GT_RETRY_LINK,
     GT_RETRY_LINK,
     GT_HARD,
     GT_HARD,
     GT_RETRY_LINK,
     GT_RETRY_LINK},
    {"aborted", GT_ABORTED, 0, {0}, 0, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"recovered error", CHECKED, SENSE(GT_KEY_RECOVERED_ERROR, 0x1701), 0, GT_FINE, GT_FINE, GT_FINE, GT_FINE, GT_FINE,
     GT_FINE},
    {"recovered error for less than asked", CHECKED, SENSE(GT_KEY_RECOVERED_ERROR, 0x1701), 512, GT_RETRY_LINK,
     GT_RETRY_LINK, GT_SHORT, GT_HARD, GT_FINE, GT_FINE},
    {"becoming ready", CHECKED, SENSE(GT_KEY_NOT_READY, GT_ASC_BECOMING_READY), 0, GT_RETRY_LATER, GT_RETRY_LATER,
     GT_RETRY_LATER, GT_RETRY_LATER, GT_RETRY_LATER, GT_RETRY_LATER},
    {"no medium", CHECKED, SENSE(GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT), 0, GT_HARD, GT_HARD, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD},
    {"medium error", CHECKED, SENSE(GT_KEY_MEDIUM_ERROR, GT_ASC_UNRECOVERED_READ_ERROR), 0, GT_MEDIUM, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD},
    {"hardware error", CHECKED, SENSE(GT_KEY_HARDWARE_ERROR, GT_ASC_INTERNAL_TARGET_FAILURE), 0, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"invalid opcode", CHECKED, SENSE(GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE), 0, GT_UNSUPPORTED, GT_UNSUPPORTED,
     GT_UNSUPPORTED, GT_UNSUPPORTED, GT_UNSUPPORTED, GT_UNSUPPORTED},
    {"LBA out of range", CHECKED, SENSE(GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE), 0, GT_HARD, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD},
    {"reset", CHECKED, SENSE(GT_KEY_UNIT_ATTENTION, GT_ASC_POWER_ON_OR_RESET), 0, GT_RETRY_NOW, GT_RETRY_NOW, GT_HARD,
     GT_HARD, GT_RETRY_NOW, GT_HARD},
    {"another medium", CHECKED, SENSE(GT_KEY_UNIT_ATTENTION, GT_ASC_MEDIUM_MAY_HAVE_CHANGED), 0, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"another unit behind the address", CHECKED, SENSE(GT_KEY_UNIT_ATTENTION, 0x3F03), 0, GT_HARD, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD},
    {"mode parameters changed", CHECKED, SENSE(GT_KEY_UNIT_ATTENTION, GT_ASC_MODE_PARAMETERS_CHANGED), 0, GT_RETRY_NOW,
     GT_RETRY_NOW, GT_RETRY_NOW, GT_RETRY_NOW, GT_RETRY_NOW, GT_RETRY_NOW},
    {"capacity changed", CHECKED, SENSE(GT_KEY_UNIT_ATTENTION, 0x2A09), 0, GT_HARD, GT_HARD, GT_RETRY_NOW, GT_RETRY_NOW,
     GT_RETRY_NOW, GT_RETRY_NOW},
    {"write protected", CHECKED, SENSE(GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED), 0, GT_HARD, GT_HARD, GT_HARD,
     GT_HARD, GT_HARD, GT_HARD},
    {"blank check", CHECKED, SENSE(GT_KEY_BLANK_CHECK, GT_ASC_END_OF_DATA), 0, GT_HARD, GT_HARD, GT_DATA_END, GT_HARD,
     GT_HARD, GT_HARD},
    {"aborted command", CHECKED, SENSE(GT_KEY_ABORTED_COMMAND, 0), 0, GT_RETRY_NOW, GT_RETRY_NOW, GT_HARD, GT_HARD,
     GT_RETRY_NOW, GT_RETRY_NOW},
    {"volume overflow", CHECKED, SENSE(GT_KEY_VOLUME_OVERFLOW, GT_ASC_END_OF_MEDIUM, .eom = true), 0, GT_HARD, GT_HARD,
     GT_HARD, GT_NO_ROOM, GT_HARD, GT_HARD},
    {"early warning", CHECKED, SENSE(GT_KEY_NO_SENSE, GT_ASC_END_OF_MEDIUM, .eom = true), 0, GT_FINE, GT_FINE, GT_FINE,
     GT_EARLY_WARNING, GT_FINE, GT_FINE},
    {"early warning of a recovered write", CHECKED, SENSE(GT_KEY_RECOVERED_ERROR, GT_ASC_END_OF_MEDIUM, .eom = true), 0,
     GT_FINE, GT_FINE, GT_FINE, GT_EARLY_WARNING, GT_FINE, GT_FINE},
    {"programmable early warning", CHECKED, SENSE(GT_KEY_NO_SENSE, 0x0007, .eom = true), 0, GT_FINE, GT_FINE, GT_FINE,
     GT_FINE, GT_FINE, GT_FINE},
    {"filemark", CHECKED, SENSE(GT_KEY_NO_SENSE, GT_ASC_FILEMARK_DETECTED, .filemark = true), 0, GT_FINE, GT_FINE,
     GT_FILEMARK, GT_FILEMARK, GT_FILEMARK, GT_FILEMARK},
    {"another length", CHECKED, SENSE(GT_KEY_NO_SENSE, 0, .ili = true, .has_information = true, .information = 100),
     100, GT_RETRY_LINK, GT_RETRY_LINK, GT_SHORT, GT_HARD, GT_FINE, GT_FINE},
    {"end of medium while reading", CHECKED, SENSE(GT_KEY_MEDIUM_ERROR, GT_ASC_END_OF_MEDIUM, .eom = true), 0,
     GT_MEDIUM, GT_HARD, GT_DATA_END, GT_HARD, GT_HARD, GT_HARD},
    {"deferred error", CHECKED, SENSE(GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR, .deferred = true), 0, GT_RETRY_NOW,
     GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD},
    {"deferred recovered error", CHECKED, SENSE(GT_KEY_RECOVERED_ERROR, GT_ASC_WRITE_ERROR, .deferred = true), 0,
     GT_RETRY_NOW, GT_HARD, GT_HARD, GT_HARD, GT_HARD, GT_HARD},
};

static gt_io answer(const row *r, bool descriptor, bool tape) {
  gt_io io = {.outcome = (uint8_t)r->outcome, .status = r->status, .resid = r->resid, .data_len = 65536};
  if (r->status != GT_STATUS_CHECK_CONDITION) return io;
  gt_sense sense = r->sense;
  sense.stream = tape;
  io.sense_len = (uint8_t)gt_sense_build(&sense, descriptor, io.sense, GT_SENSE_MAX);
  return io;
}

static void table(bool descriptor) {
  printf("every answer in every role, %s\n", descriptor ? "descriptor format" : "fixed format");
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const row *r = &rows[i];
    const gt_verdict want[] = {r->disk_read, r->disk_write, r->tape_read, r->tape_write, r->locate, r->query};
    for (int role = GT_ROLE_DISK_READ; role <= GT_ROLE_TAPE_QUERY; role++) {
      gt_sense sense;
      gt_io io = answer(r, descriptor, true);
      gt_verdict got = gt_judge((gt_role)role, &io, &sense);
      CHECK(got == want[role]);
      if (got != want[role]) fprintf(stderr, "  %s, role %d: %d, not %d\n", r->answer, role, got, want[role]);
    }
  }
}

static void no_sense_data(void) {
  TEST("CHECK CONDITION without sense data is no answer: repeated where that is safe, else hard");
  for (int role = GT_ROLE_DISK_READ; role <= GT_ROLE_TAPE_QUERY; role++) {
    gt_io io = {.outcome = GT_DELIVERED, .status = GT_STATUS_CHECK_CONDITION};
    gt_sense sense;
    bool safe = role != GT_ROLE_TAPE_READ && role != GT_ROLE_TAPE_WRITE;
    CHECK_EQ(gt_judge((gt_role)role, &io, &sense), safe ? GT_RETRY_LINK : GT_HARD);
  }
}

int main(void) {
  table(false);
  table(true);
  no_sense_data();
  return check_end();
}
