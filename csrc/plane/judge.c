/* The questions, in order: is there a path, is the opcode known, does the key admit its class, is a unit attention
 * pending, does a reservation forbid it. Of the two the reservation goes first, except before resets (SAM-5 5.3.3).
 * What no table knows is refused. */
#include "plane/impl.h"

/* Counts it, tells the supervisor, and leaves the answer as it is. */
static enum gt_judged refused(gt_plane_nexus *nexus, gt_task *task, uint8_t why) {
  gt_path *path = task->path;
  uint32_t unit = path && path->unit ? path->unit->number : UINT32_MAX;
  if (path) {
    uint64_t count = atomic_load_explicit(&path->counters.refused, memory_order_relaxed);
    atomic_store_explicit(&path->counters.refused, count + 1, memory_order_relaxed);
  }
  gt_note_refusal(nexus->plane, nexus->number, task->lun, unit, why, task->io.cdb[0]);
  return GT_JUDGED_ANSWERED;
}

/* The three commands that a target answers for a logical unit that it has not (SPC-4 6.6, 6.33, 6.39). */
static enum gt_judged judge_nowhere(gt_plane_nexus *nexus, gt_task *task, uint8_t why) {
  uint8_t opcode = task->io.cdb[0];
  task->handling = GT_HANDLED_NOWHERE;
  if (opcode == GT_INQUIRY || opcode == GT_REQUEST_SENSE) return GT_JUDGED_GO;
  if (opcode == GT_REPORT_LUNS && task->lun == 0) return GT_JUDGED_GO;
  gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LU_NOT_SUPPORTED);
  return refused(nexus, task, why);
}

static enum gt_judged refuse_opcode(gt_plane_nexus *nexus, gt_task *task, bool opcode_known) {
  if (opcode_known)
    gt_answer_field(&task->io, task->io.cdb[0] == 0x7F ? 8 : 1, task->io.cdb[0] == 0x7F ? 7 : 4);
  else
    gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE);
  return refused(nexus, task, GT_NO_OPCODE);
}

static enum gt_judged refuse_class(gt_plane_nexus *nexus, gt_task *task) {
  bool writes = task->flags & GT_CLASS_WRITES;
  if (writes)
    gt_answer_sense(&task->io, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED);
  else
    gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_NO_ACCESS_RIGHTS);
  return refused(nexus, task, writes ? GT_READ_ONLY : GT_NO_RIGHT);
}

static bool admitted(const gt_task *task, uint64_t word) {
  if (task->flags & GT_CLASS_WRITES && word & GT_WORD_PROTECTED) return false;
  return gt_word_gate(word) >> task->class_ & 1;
}

static bool heeds_attention(const gt_task *task) {
  if (task->flags & GT_CLASS_NO_ATTENTION) return false;
  return task->handling != GT_LUNS && task->handling != GT_SENSE && task->handling != GT_IDENTITY;
}

enum gt_judged gt_task_judge(gt_plane_nexus *nexus, gt_task *task) {
  gt_path *path = task->path;
  gt_judgement judgement = path ? gt_path_judge(path) : (gt_judgement){.why = GT_NO_PATH};
  if (!judgement.exists) return judge_nowhere(nexus, task, judgement.why);
  bool opcode_known;
  const gt_class_row *row = gt_classes_find(&nexus->plane->classes, task->io.cdb, task->io.cdb_len, &opcode_known);
  if (!row) return refuse_opcode(nexus, task, opcode_known);
  task->class_ = row->class_;
  task->handling = row->handling;
  task->flags = row->flags;
  if (!admitted(task, judgement.word)) return refuse_class(nexus, task);
  bool reserved = task->handling != GT_IDENTITY && !(gt_word_reservation(judgement.word) >> task->class_ & 1);
  uint16_t attention = heeds_attention(task) ? gt_path_attention(path, reserved) : 0;
  if (attention) {
    gt_answer_sense(&task->io, GT_KEY_UNIT_ATTENTION, attention);
    return GT_JUDGED_ANSWERED;
  }
  if (reserved) {
    gt_answer_status(&task->io, GT_STATUS_RESERVATION_CONFLICT);
    return refused(nexus, task, GT_RESERVED);
  }
  if (path->unit || task->handling != GT_FORWARD) return GT_JUDGED_GO;
  gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LU_NOT_SUPPORTED);
  return refused(nexus, task, GT_NO_PATH);
}
