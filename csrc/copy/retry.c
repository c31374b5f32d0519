#include "retry.h"

#include <string.h>

#include "../core/scsi.h"

enum {
  ASC_CAPACITY_CHANGED = 0x2A09,
  ASC_PROGRAMMABLE_EARLY_WARNING = 0x0007,
  ASC_MEDIUM_CHANGED_GROUP = 0x28,
  ASC_RESET_GROUP = 0x29,
  ASC_OPERATING_CONDITIONS_GROUP = 0x3F,
};

static bool on_disk(gt_role role) { return role == GT_ROLE_DISK_READ || role == GT_ROLE_DISK_WRITE; }

/* May be repeated without knowing whether it was done the first time. */
static bool repeatable(gt_role role) { return role != GT_ROLE_TAPE_READ && role != GT_ROLE_TAPE_WRITE; }

static bool moves_tape_data(gt_role role) { return role == GT_ROLE_TAPE_READ || role == GT_ROLE_TAPE_WRITE; }

/* SPC-4 5.14 (unit attention): the command was not executed. */
static gt_verdict judge_unit_attention(gt_role role, uint16_t asc) {
  /* Another medium, or behind the same address another unit (3Fh: INQUIRY DATA, DEVICE IDENTIFIER, REPORTED LUNS DATA
   * HAS CHANGED): nothing that is known of it holds, so whoever opened it has to open it again and look. */
  if (asc >> 8 == ASC_MEDIUM_CHANGED_GROUP || asc >> 8 == ASC_OPERATING_CONDITIONS_GROUP) return GT_HARD;
  if (on_disk(role)) return asc == ASC_CAPACITY_CHANGED ? GT_HARD : GT_RETRY_NOW;
  /* A reset rewinds (SSC-4 4.2.7): in the middle of a stream the position is lost. */
  if (asc >> 8 == ASC_RESET_GROUP && role != GT_ROLE_TAPE_LOCATE) return GT_HARD;
  return GT_RETRY_NOW;
}

static gt_verdict judge_illegal_request(uint16_t asc) {
  return asc == GT_ASC_INVALID_OPCODE || asc == GT_ASC_INVALID_FIELD_IN_CDB ? GT_UNSUPPORTED : GT_HARD;
}

/* NO SENSE and RECOVERED ERROR with the marks of a sequential-access device (SSC-4 4.2.10, 6.3, 6.8). */
static gt_verdict judge_marks(gt_role role, const gt_sense *sense) {
  if (!on_disk(role) && sense->filemark) return GT_FILEMARK;
  if (role == GT_ROLE_TAPE_READ && sense->ili) return GT_SHORT;
  if (role == GT_ROLE_TAPE_WRITE && sense->eom && sense->asc != ASC_PROGRAMMABLE_EARLY_WARNING) return GT_EARLY_WARNING;
  return GT_FINE;
}

static gt_verdict judge_deferred(gt_role role) {
  /* What failed is an earlier command that was answered GOOD. For one who only reads that is another's
   * write, and the command at hand was not executed; for a destination it is our own data. */
  return role == GT_ROLE_DISK_READ ? GT_RETRY_NOW : GT_HARD;
}

static gt_verdict judge_sense(gt_role role, const gt_sense *sense) {
  if (sense->deferred) return judge_deferred(role);
  switch (sense->key) {
  case GT_KEY_NO_SENSE:
  case GT_KEY_RECOVERED_ERROR: return judge_marks(role, sense);
  case GT_KEY_NOT_READY: return sense->asc == GT_ASC_BECOMING_READY ? GT_RETRY_LATER : GT_HARD;
  case GT_KEY_MEDIUM_ERROR:
    if (role == GT_ROLE_TAPE_READ && sense->eom) return GT_DATA_END;
    /* A length other than asked may come with the key of what the device thinks of it. */
    return role == GT_ROLE_DISK_READ ? GT_MEDIUM : GT_HARD;
  case GT_KEY_ILLEGAL_REQUEST: return judge_illegal_request(sense->asc);
  case GT_KEY_UNIT_ATTENTION: return judge_unit_attention(role, sense->asc);
  case GT_KEY_BLANK_CHECK: return role == GT_ROLE_TAPE_READ ? GT_DATA_END : GT_HARD;
  case GT_KEY_ABORTED_COMMAND: return repeatable(role) ? GT_RETRY_NOW : GT_HARD;
  case GT_KEY_VOLUME_OVERFLOW: return role == GT_ROLE_TAPE_WRITE ? GT_NO_ROOM : GT_HARD;
  default: return GT_HARD;
  }
}

/* Done, says the device, but not everything was moved: that is no answer to trust, except where a tape block may be
 * shorter than asked. */
static gt_verdict judge_done(gt_role role, int32_t resid) {
  if (resid == 0) return GT_FINE;
  if (on_disk(role)) return GT_RETRY_LINK;
  if (role == GT_ROLE_TAPE_READ) return GT_SHORT;
  return moves_tape_data(role) ? GT_HARD : GT_FINE;
}

gt_verdict gt_judge(gt_role role, const gt_io *io, gt_sense *sense) {
  memset(sense, 0, sizeof *sense);
  if (io->outcome == GT_ABORTED) return GT_HARD;
  if (io->outcome != GT_DELIVERED) return repeatable(role) ? GT_RETRY_LINK : GT_HARD;
  switch (io->status) {
  case GT_STATUS_GOOD:
  case GT_STATUS_CONDITION_MET: return judge_done(role, io->resid);
  case GT_STATUS_CHECK_CONDITION: break;
  case GT_STATUS_BUSY:
  case GT_STATUS_TASK_SET_FULL: return GT_RETRY_LATER;
  case GT_STATUS_TASK_ABORTED: return repeatable(role) ? GT_RETRY_NOW : GT_HARD;
  default: return GT_HARD;
  }
  if (!gt_sense_parse(io->sense, io->sense_len, sense)) return repeatable(role) ? GT_RETRY_LINK : GT_HARD;
  gt_verdict verdict = judge_sense(role, sense);
  return verdict == GT_FINE ? judge_done(role, io->resid) : verdict;
}
