/* What the ring does not say of a command: which way its data go, and whether it may run a second time. */
#include <string.h>

#include "core/scsi.h"
#include "lio/internal.h"

enum { VARIABLE_LENGTH = 0x7F, READ_32 = 0x0009 };

/* Parameter lists and data to be written (SPC-4, SBC-3, SSC-4, SMC-3). Whatever else has data brings it. */
static const uint8_t takes_data[] = {
    0x04, /* FORMAT UNIT, FORMAT MEDIUM */
    0x07, /* REASSIGN BLOCKS */
    GT_WRITE_6,
    0x13, /* VERIFY(6) of tapes */
    GT_MODE_SELECT_6,
    GT_SEND_DIAGNOSTIC,
    GT_WRITE_10,
    GT_WRITE_AND_VERIFY_10,
    GT_VERIFY_10,
    0x3B, /* WRITE BUFFER */
    0x3F, /* WRITE LONG(10) */
    GT_WRITE_SAME_10,
    GT_UNMAP,
    GT_SANITIZE,
    GT_LOG_SELECT,
    GT_MODE_SELECT_10,
    GT_RESERVE_10,
    GT_RELEASE_10,
    GT_PERSISTENT_RESERVE_OUT,
    GT_THIRD_PARTY_COPY_OUT,
    GT_COMPARE_AND_WRITE,
    GT_WRITE_16,
    GT_ORWRITE_16,
    GT_WRITE_ATTRIBUTE,
    GT_WRITE_AND_VERIFY_16,
    GT_VERIFY_16,
    GT_WRITE_SAME_16,
    0x9A, /* WRITE STREAM(16) */
    GT_WRITE_ATOMIC_16,
    0x9F, /* SERVICE ACTION OUT(16) */
    0xA4, /* MAINTENANCE OUT */
    0xA9, /* SERVICE ACTION OUT(12) */
    GT_WRITE_12,
    GT_WRITE_AND_VERIFY_12,
    GT_VERIFY_12,
    GT_SECURITY_PROTOCOL_OUT,
    0xB6, /* SEND VOLUME TAG */
};

/* Nothing changes by them, wherever they are sent: no medium, no position, no reservation. */
static const uint8_t repeatable[] = {
    GT_TEST_UNIT_READY,
    GT_READ_BLOCK_LIMITS,
    GT_INQUIRY,
    GT_MODE_SENSE_6,
    0x1C,
    0x3C,
    GT_LOG_SENSE,
    GT_MODE_SENSE_10,
    0x5E,
    GT_READ_ATTRIBUTE,
    GT_REPORT_LUNS,
    GT_MAINTENANCE_IN,
    GT_READ_POSITION,
    GT_READ_CAPACITY_10,
    GT_SERVICE_ACTION_IN_16,
    GT_REPORT_DENSITY_SUPPORT,
};
/* The same of a disk, where they move nothing. */
static const uint8_t repeatable_on_disks[] = {
    GT_READ_6,
    GT_READ_10,
    GT_READ_12,
    GT_READ_16,
    GT_PRE_FETCH_10,
    GT_PRE_FETCH_16,
    GT_SYNCHRONIZE_CACHE_10,
    GT_SYNCHRONIZE_CACHE_16,
    GT_VERIFY_10,
    GT_VERIFY_12,
    GT_VERIFY_16,
    GT_READ_DEFECT_DATA_10,
    GT_READ_DEFECT_DATA_12,
};

bool gt_lio_takes_data(const uint8_t *cdb) {
  if (cdb[0] == VARIABLE_LENGTH) return !(cdb[8] == READ_32 >> 8 && cdb[9] == (READ_32 & 0xFF));
  return memchr(takes_data, cdb[0], sizeof takes_data) != NULL;
}

bool gt_lio_may_repeat(const uint8_t *cdb, bool sequential) {
  if (memchr(repeatable, cdb[0], sizeof repeatable)) return true;
  return !sequential && memchr(repeatable_on_disks, cdb[0], sizeof repeatable_on_disks);
}
