/* The way of a task on its home thread: judged, started, ended, answered. */
#include "plane/impl.h"

#include <string.h>

enum { ATTRIBUTE_ACA = 4 };

static void count(atomic_uint_fast64_t *counter, uint64_t more) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/* iSCSI carries every CDB in 16 bytes; a device gets as many as its operation code says (SPC-4 4.2.5.1).
 * Vendor-specific groups say nothing. False: there are fewer. */
static bool trim_cdb(gt_io *io) {
  static const uint8_t lengths[8] = {6, 10, 10, 0, 16, 12, 0, 0};
  uint8_t length = lengths[io->cdb[0] >> 5];
  if (io->cdb_len < 6 || io->cdb_len > GT_CDB_MAX || io->cdb_len < length) return false;
  if (length) io->cdb_len = length;
  return true;
}

static void link_task(gt_plane_nexus *nexus, gt_task *task) {
  task->ticket = nexus->ticket++;
  task->previous = NULL;
  task->next = nexus->tasks;
  if (nexus->tasks) nexus->tasks->previous = task;
  nexus->tasks = task;
  if (!task->path) return;
  gt_counters *counters = &task->path->counters;
  count(&counters->commands, 1);
  unsigned outstanding = atomic_load_explicit(&counters->outstanding, memory_order_relaxed);
  atomic_store_explicit(&counters->outstanding, outstanding + 1, memory_order_relaxed);
}

/* Takes it off the nexus. The path may be gone afterwards. */
static void unlink_task(gt_task *task) {
  if (task->previous)
    task->previous->next = task->next;
  else
    task->nexus->tasks = task->next;
  if (task->next) task->next->previous = task->previous;
  task->state = GT_TASK_FREE;
  if (!task->path) return;
  gt_counters *counters = &task->path->counters;
  unsigned outstanding = atomic_load_explicit(&counters->outstanding, memory_order_relaxed);
  atomic_store_explicit(&counters->outstanding, outstanding - 1, memory_order_relaxed);
  if (task->path->dead) gt_path_settle(task->path);
}

static enum gt_admit admit(gt_plane_nexus *nexus, gt_task *task) {
  task->ending = task->at_once = task->ran = task->passed = false;
  task->path = task->lun < GT_LUNS_MAX ? atomic_load_explicit(&nexus->paths[task->lun], memory_order_acquire) : NULL;
  if (nexus->closing) {
    gt_answer_status(&task->io, GT_STATUS_BUSY);
    return GT_ADMIT_ANSWERED;
  }
  if (!trim_cdb(&task->io)) {
    gt_answer_field(&task->io, 0, -1);
    return GT_ADMIT_ANSWERED;
  }
  if (gt_task_judge(nexus, task) == GT_JUDGED_ANSWERED) return GT_ADMIT_ANSWERED;
  /* There is never an auto contingent allegiance that its tasks could belong to (SAM-5 8.9). */
  if (task->attribute >= ATTRIBUTE_ACA) {
    gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_MESSAGE);
    return GT_ADMIT_ANSWERED;
  }
  task->state = GT_TASK_ADMITTED;
  link_task(nexus, task);
  if (task->handling == GT_FORWARD || task->handling == GT_IDENTITY)
    task->at_once = task->path->unit && !gt_identity_is_punted(task) && gt_unit_at_once(task->path->unit, task);
  return GT_ADMIT_GO;
}

enum gt_admit gt_task_admit(gt_plane_nexus *nexus, gt_task *task) {
  task->nexus = nexus;
  task->began_ns = gt_trace_now(&nexus->plane->trace);
  enum gt_admit admitted = admit(nexus, task);
  if (task->began_ns && admitted == GT_ADMIT_ANSWERED) gt_trace_task(&nexus->plane->trace, task);
  return admitted;
}

void gt_task_forward(gt_task *task) {
  task->ran = true;
  if (gt_unit_submit(task->path->unit, task)) gt_task_finish(task);
}

/* The supervisor has judged it; but the path may have gone meanwhile. */
void gt_task_resume(gt_task *task) {
  task->passed = task->at_once = false;
  if (task->path->unit && gt_path_judge(task->path).exists) return gt_task_forward(task);
  gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LU_NOT_SUPPORTED);
  gt_task_finish(task);
}

/* A pending unit attention is the sense data, and is told thereby (SPC-4 6.39). True: answered. */
static bool request_sense(gt_task *task) {
  uint16_t attention = gt_path_attention(task->path, false);
  if (!attention && task->path->unit) return false;
  gt_local_sense(&task->io, attention ? GT_KEY_UNIT_ATTENTION : GT_KEY_NO_SENSE, attention);
  return true;
}

static void answer_nowhere(gt_task *task) {
  switch (task->io.cdb[0]) {
  case GT_INQUIRY: gt_local_inquiry(&task->io, 0x7F); break;
  case GT_REQUEST_SENSE: gt_local_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LU_NOT_SUPPORTED); break;
  default: gt_local_luns(task); break;
  }
}

/* True: answered in task->io. */
static bool handled_here(gt_task *task) {
  switch (task->handling) {
  case GT_PUNT: return !gt_punt_submit(task->nexus->plane, task);
  case GT_LUNS: gt_local_luns(task); return true;
  case GT_SENSE: return request_sense(task);
  case GT_HANDLED_NOWHERE: answer_nowhere(task); return true;
  case GT_IDENTITY:
    if (gt_identity_is_punted(task)) return !gt_punt_submit(task->nexus->plane, task);
    if (task->path->unit) return false;
    gt_local_inquiry(&task->io, 0x3F);
    return true;
  default: return false;
  }
}

void gt_task_start(gt_task *task) {
  if (task->ending || gt_task_judge(task->nexus, task) == GT_JUDGED_ANSWERED || handled_here(task))
    return gt_task_finish(task);
  if (task->state == GT_TASK_ADMITTED) gt_task_forward(task);
}

void gt_task_drop(gt_task *task) {
  gt_plane_nexus *nexus = task->nexus;
  if (task->state == GT_TASK_ENDED) gt_io_list_remove(&nexus->ended, &task->io);
  unlink_task(task);
  if (nexus->orders) gt_orders_settle(nexus);
}

/* All front nexuses are one nexus behind a pass-through unit: what its device tells that one concerns them all, and
 * what it would have told the others of this one's doing it does not know (SAM-5 5.14, SPC-4 6.9, SSC-4 7.2). */
static void spread_attention(gt_task *task) {
  gt_unit *unit = task->path->unit;
  const gt_io *io = &task->io;
  gt_sense sense;
  if (io->status == GT_STATUS_CHECK_CONDITION) {
    if (!gt_sense_parse(io->sense, io->sense_len, &sense) || sense.key != GT_KEY_UNIT_ATTENTION) return;
    gt_attention_spread(unit, sense.asc, task->path);
  } else if (io->status == GT_STATUS_GOOD) {
    bool tape = atomic_load_explicit(&unit->type, memory_order_relaxed) == GT_TYPE_TAPE;
    switch (io->cdb[0]) {
    case GT_MODE_SELECT_6:
    case GT_MODE_SELECT_10: gt_attention_spread(unit, GT_ASC_MODE_PARAMETERS_CHANGED, task->path); break;
    case GT_LOAD_UNLOAD:
      if (tape) gt_attention_spread(unit, GT_ASC_MEDIUM_MAY_HAVE_CHANGED, task->path);
      break;
    default: break;
    }
  }
}

/* What the plane makes of the unit's answer. */
static void polish(gt_task *task) {
  gt_io *io = &task->io;
  gt_path *path = task->path;
  gt_counters *counters = &path->counters;
  if (io->outcome != GT_DELIVERED) gt_unit_undelivered(io);
  if (path->unit && !path->unit->device) spread_attention(task);
  if (io->cdb[0] == GT_MODE_SENSE_6 || io->cdb[0] == GT_MODE_SENSE_10) {
    uint64_t word = atomic_load_explicit(&path->word, memory_order_relaxed);
    if (word & GT_WORD_PROTECTED) gt_local_protect(io);
  }
  if (task->handling == GT_IDENTITY) gt_identity_polish(task);
  if (io->status != GT_STATUS_GOOD) {
    count(&counters->errors, 1);
    return;
  }
  uint32_t moved = io->resid <= 0 ? io->data_len : io->data_len - (uint32_t)io->resid;
  if (io->dir == GT_DIR_IN) count(&counters->bytes_in, moved);
  if (io->dir == GT_DIR_OUT) count(&counters->bytes_out, moved);
}

static void cut_short(gt_task *task) {
  gt_answer_status(&task->io, task->final);
  if (!task->final) task->io.outcome = GT_ABORTED;
}

static bool may_have_written(const gt_task *task) {
  if (!task->ran || !(task->flags & GT_CLASS_WRITES) || !task->path->unit) return false;
  uint8_t type = atomic_load_explicit(&task->path->unit->type, memory_order_relaxed);
  return type == GT_TYPE_DISK || type == GT_TYPE_UNKNOWN;
}

void gt_task_finish(gt_task *task) {
  gt_plane_nexus *nexus = task->nexus;
  /* Before the answer: who hears of the answer and then asks what was written must find it. */
  if (may_have_written(task)) gt_writes_note(&task->path->unit->writes, &task->io);
  if (task->ending)
    cut_short(task);
  else if (task->path)
    polish(task);
  if (task->began_ns) gt_trace_task(&nexus->plane->trace, task);
  unlink_task(task);
  task->answered(task);
  if (nexus->orders) gt_orders_settle(nexus);
}

static void end_here(gt_task *task) {
  task->state = GT_TASK_ENDED;
  gt_io_list_push(&task->nexus->ended, &task->io);
  gt_nexus_call(task->nexus);
}

void gt_task_end(gt_task *task, uint8_t status, bool by_home) {
  if (!task->ending || !status) task->final = status;
  task->ending = true;
  switch (task->state) {
  case GT_TASK_ADMITTED:
    if (by_home) end_here(task);
    break;
  case GT_TASK_UNIT:
    if (gt_unit_withdraw(task->path->unit, task)) {
      task->ran = false;
      end_here(task);
    }
    break;
  case GT_TASK_PUNTED:
    if (gt_punt_withdraw(task->nexus->plane, task)) end_here(task);
    break;
  default: break; /* on its way home */
  }
}

void gt_task_abort(gt_task *task) { gt_task_end(task, 0, true); }
