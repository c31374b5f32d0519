/* Punts: commands that the supervisor answers. Whoever takes the task out of its slot under the lock (the answer, the
 * time-out, an abort) owns it, and so it is answered once. What the supervisor has taken keeps its slot until it is
 * answered, or the supervisor knows that nobody waits for it any more: that news can neither be lost nor pile up.
 *
 * A patient punt is a command that works on devices while it waits. Once the supervisor has it, who aborts it gets its
 * end only when it is answered, as of a command that a unit carries out: nothing of it happens behind that (SAM-5
 * 7.2). */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TIMEOUT_MS = 5000, SLOT_BITS = 8 };
_Static_assert(1 << SLOT_BITS == GT_PUNTS_MAX, "the slot of a punt is the low bits of its id");

int gt_punts_open(gt_punts *punts) {
  punts->data = calloc(GT_PUNTS_MAX, GT_PUNT_DATA_MAX); /* the kernel gives what is touched */
  if (!punts->data) return -ENOMEM;
  pthread_mutex_init(&punts->lock, NULL);
  for (unsigned i = 0; i < GT_PUNTS_MAX; i++)
    punts->free[punts->free_count++] = (uint16_t)(GT_PUNTS_MAX - 1 - i);
  return 0;
}

void gt_punts_free(gt_punts *punts) {
  pthread_mutex_destroy(&punts->lock);
  free(punts->data);
}

static uint8_t *data_of(gt_punts *punts, unsigned slot) { return punts->data + (size_t)slot * GT_PUNT_DATA_MAX; }

/* Lock held. */
static void release(gt_punts *punts, gt_punt_slot *slot) {
  slot->task = NULL;
  slot->taken = slot->leaving = false;
  punts->gone -= slot->untold;
  slot->untold = false;
  punts->patient -= slot->patient;
  slot->patient = false;
  punts->free[punts->free_count++] = (uint16_t)(slot - punts->slots);
}

/* Lock held. True: the supervisor is to be told, and has not been called for others. */
static bool tell(gt_punts *punts, gt_punt_slot *slot) {
  slot->untold = true;
  return punts->gone++ == 0;
}

/* Lock held. As tell. */
static bool give_up(gt_punts *punts, gt_punt_slot *slot) {
  slot->task = NULL;
  if (slot->taken) return tell(punts, slot);
  if (!slot->queued) release(punts, slot);
  return false;
}

/* Lock held. As tell. */
static bool leave(gt_punts *punts, gt_punt_slot *slot) {
  if (slot->leaving) return false;
  slot->leaving = true;
  return tell(punts, slot);
}

static void fill(gt_plane *plane, gt_punt_slot *slot, gt_task *task) {
  gt_punts *punts = &plane->punts;
  unsigned index = (unsigned)(slot - punts->slots);
  const gt_io *io = &task->io;
  uint32_t timeout_ms = plane->options.punt_timeout_ms ? plane->options.punt_timeout_ms : DEFAULT_TIMEOUT_MS;
  slot->task = task;
  slot->nexus = task->nexus;
  slot->id = ++punts->serial << SLOT_BITS | index;
  slot->patient = task->flags & GT_CLASS_PATIENT;
  punts->patient += slot->patient;
  slot->deadline_ns = slot->patient ? UINT64_MAX : gt_now_ns() + timeout_ms * 1000000ull;
  slot->queued = true;
  slot->taken = false;
  gt_punt *punt = &slot->punt;
  *punt = (gt_punt){.id = slot->id,
                    .nexus = task->nexus->number,
                    .lun = task->lun,
                    .unit = task->path->unit ? task->path->unit->number : GT_NO_UNIT,
                    .cdb_len = io->cdb_len,
                    .data = data_of(punts, index)};
  memcpy(punt->cdb, io->cdb, io->cdb_len);
  if (io->dir == GT_DIR_IN) punt->alloc = io->data_len < GT_PUNT_DATA_MAX ? io->data_len : GT_PUNT_DATA_MAX;
  if (io->dir != GT_DIR_OUT || !io->data_len) return;
  punt->data_len = io->data_len;
  memcpy(data_of(punts, index), io->data, io->data_len);
}

bool gt_punt_submit(gt_plane *plane, gt_task *task) {
  gt_punts *punts = &plane->punts;
  if (task->io.dir == GT_DIR_OUT && task->io.data_len > GT_PUNT_DATA_MAX) {
    gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
    return false;
  }
  pthread_mutex_lock(&punts->lock);
  bool room = punts->free_count && !(task->flags & GT_CLASS_PATIENT && punts->patient >= GT_PATIENT_PUNTS_MAX);
  gt_punt_slot *slot = room ? &punts->slots[punts->free[--punts->free_count]] : NULL;
  bool first = punts->queued == 0;
  uint64_t deadline_ns = 0;
  if (slot) {
    task->state = GT_TASK_PUNTED;
    task->seat = (uint32_t)(slot - punts->slots);
    fill(plane, slot, task);
    deadline_ns = slot->deadline_ns;
    punts->queue[(punts->head + punts->queued++) % GT_PUNTS_MAX] = (uint16_t)task->seat;
  }
  pthread_mutex_unlock(&punts->lock);
  if (!slot) {
    gt_answer_status(&task->io, GT_STATUS_BUSY);
    return false;
  }
  gt_plane_due(plane, deadline_ns);
  if (first) gt_plane_told(plane);
  return true;
}

bool gt_punt_withdraw(gt_plane *plane, gt_task *task) {
  gt_punts *punts = &plane->punts;
  pthread_mutex_lock(&punts->lock);
  gt_punt_slot *slot = &punts->slots[task->seat];
  bool ours = slot->task == task;
  bool stays = ours && slot->patient && slot->taken && !punts->unattended;
  bool call = stays ? leave(punts, slot) : ours && give_up(punts, slot);
  pthread_mutex_unlock(&punts->lock);
  if (call) gt_plane_told(plane);
  return ours && !stays;
}

void gt_plane_unattended(gt_plane *plane) {
  gt_punts *punts = &plane->punts;
  for (unsigned i = 0; i < GT_PUNTS_MAX; i++) {
    gt_punt_slot *slot = &punts->slots[i];
    pthread_mutex_lock(&punts->lock);
    punts->unattended = true;
    gt_task *task = slot->leaving ? slot->task : NULL;
    if (task) release(punts, slot);
    pthread_mutex_unlock(&punts->lock);
    if (task) gt_nexus_post(task->nexus, task);
  }
}

size_t gt_punts_take_gone(gt_punts *punts, gt_note *out, size_t max) {
  size_t taken = 0;
  for (unsigned i = 0; i < GT_PUNTS_MAX && punts->gone && taken < max; i++) {
    gt_punt_slot *slot = &punts->slots[i];
    if (!slot->untold) continue;
    const gt_punt *punt = &slot->punt;
    out[taken++] = (gt_note){
        .kind = GT_NOTE_PUNT_GONE, .nexus = punt->nexus, .lun = punt->lun, .unit = punt->unit, .cookie = punt->id};
    punts->gone--;
    slot->untold = false;
    if (!slot->task) release(punts, slot);
  }
  return taken;
}

size_t gt_plane_take_punts(gt_plane *plane, gt_punt *out, size_t max) {
  gt_punts *punts = &plane->punts;
  size_t taken = 0;
  pthread_mutex_lock(&punts->lock);
  while (taken < max && punts->queued) {
    gt_punt_slot *slot = &punts->slots[punts->queue[punts->head]];
    punts->head = (punts->head + 1) % GT_PUNTS_MAX;
    punts->queued--;
    slot->queued = false;
    if (!slot->task) {
      release(punts, slot);
      continue;
    }
    slot->taken = true;
    out[taken++] = slot->punt;
  }
  pthread_mutex_unlock(&punts->lock);
  return taken;
}

/* Takes the task of a punt out of its slot; NULL: it ended. */
static gt_task *redeem(gt_plane *plane, uint64_t id) {
  gt_punts *punts = &plane->punts;
  gt_punt_slot *slot = &punts->slots[id % GT_PUNTS_MAX];
  pthread_mutex_lock(&punts->lock);
  gt_task *task = slot->id == id && slot->taken ? slot->task : NULL;
  if (task) release(punts, slot);
  pthread_mutex_unlock(&punts->lock);
  return task;
}

/* The task is ours alone until it is posted. */
static void fill_answer(gt_io *io, uint8_t status, const uint8_t *sense, size_t sense_len, const uint8_t *data,
                        size_t len) {
  if (io->dir == GT_DIR_OUT) {
    gt_answer_status(io, status);
    io->resid = status == GT_STATUS_GOOD ? 0 : io->resid;
  } else {
    gt_answer_data(io, data, len, SIZE_MAX);
    io->status = status;
  }
  if (sense_len > GT_SENSE_MAX) sense_len = GT_SENSE_MAX;
  if (sense_len) memcpy(io->sense, sense, sense_len);
  io->sense_len = (uint8_t)sense_len;
}

int gt_plane_answer(gt_plane *plane, uint64_t id, uint8_t status, const uint8_t *sense, size_t sense_len,
                    const uint8_t *data, size_t len) {
  gt_task *task = redeem(plane, id);
  if (!task) return -ENOENT;
  fill_answer(&task->io, status, sense, sense_len, data, len);
  gt_nexus_post(task->nexus, task);
  return 0;
}

int gt_plane_pass(gt_plane *plane, uint64_t id) {
  gt_task *task = redeem(plane, id);
  if (!task) return -ENOENT;
  task->passed = true;
  gt_nexus_post(task->nexus, task);
  return 0;
}

uint64_t gt_punts_expire(gt_plane *plane, uint64_t now_ns) {
  gt_punts *punts = &plane->punts;
  uint64_t next_ns = UINT64_MAX;
  for (unsigned i = 0; i < GT_PUNTS_MAX; i++) {
    gt_punt_slot *slot = &punts->slots[i];
    pthread_mutex_lock(&punts->lock);
    gt_task *task = slot->task;
    bool late = task && slot->deadline_ns <= now_ns;
    if (task && !late && slot->deadline_ns < next_ns) next_ns = slot->deadline_ns;
    bool call = late && give_up(punts, slot);
    pthread_mutex_unlock(&punts->lock);
    if (call) gt_plane_told(plane);
    if (!late) continue;
    gt_answer_status(&task->io, GT_STATUS_BUSY);
    gt_nexus_post(task->nexus, task);
  }
  return next_ns;
}
