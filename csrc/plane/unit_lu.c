/* A real device behind a transport: one thread polls it. Every CDB goes through as it came, as many at a time as the
 * transport likes; to a tape drive or a changer one after the other, for their order means something. */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  IDLE_S = 2,
  PATIENCE_MS = 2000,
  IDENTIFY_MS = 10000,
  ATTENTIONS = 4,
  POLL_FAILED_PAUSE_NS = 10000000,
  DEPTH = 256
};

static void pause_a_while(void) { nanosleep(&(struct timespec){.tv_nsec = POLL_FAILED_PAUSE_NS}, NULL); }

/* The nexus of the bridge is new to the device, and so is told of a reset; every nexus in front hears the same from its
 * path. What is taken away here was for the bridge alone. */
static void identify(gt_unit *unit) {
  uint8_t data[36] = {GT_TYPE_UNKNOWN};
  gt_io io = {.cdb = {GT_INQUIRY, 0, 0, 0, sizeof data},
              .cdb_len = 6,
              .dir = GT_DIR_IN,
              .timeout_ms = IDENTIFY_MS,
              .data = data,
              .data_len = sizeof data};
  if (gt_lu_execute(unit->lu, &io) || io.outcome != GT_DELIVERED || io.status != GT_STATUS_GOOD) return;
  atomic_store(&unit->type, data[0] & 0x1F);
  for (int i = 0; i < ATTENTIONS; i++) {
    gt_sense sense;
    io = (gt_io){.cdb = {GT_TEST_UNIT_READY}, .cdb_len = 6, .timeout_ms = IDENTIFY_MS};
    if (gt_lu_execute(unit->lu, &io) || io.outcome != GT_DELIVERED || io.status != GT_STATUS_CHECK_CONDITION) return;
    if (!gt_sense_parse(io.sense, io.sense_len, &sense) || sense.key != GT_KEY_UNIT_ATTENTION) return;
  }
}

static unsigned depth_of(const gt_unit *unit) {
  uint8_t type = atomic_load(&unit->type);
  if (type != GT_TYPE_DISK) return 1;
  unsigned depth = unit->lu->limits.max_queue;
  return depth < 1 ? 1 : depth > DEPTH ? DEPTH : depth;
}

/* The transport gives a task back, inside poll: the lock is free. */
static void done(gt_io *io) {
  gt_task *task = (gt_task *)io;
  gt_unit *unit = task->path->unit;
  if (task->lent) gt_identity_give_back(task, &unit->loans[task->seat]);
  pthread_mutex_lock(&unit->lock);
  unit->slots[task->seat] = NULL;
  gt_unit_ended(unit, task);
  pthread_mutex_unlock(&unit->lock);
  gt_nexus_post(task->nexus, task);
}

/* It was never sent. What is wrong with the command is the initiator's; what is wrong with the link is told once. */
static void refuse(gt_unit *unit, gt_task *task, int error) {
  if (task->lent) gt_identity_give_back(task, &unit->loans[task->seat]);
  if (!unit->lu)
    gt_answer_status(&task->io, GT_STATUS_TASK_ABORTED); /* the unit is being removed */
  else if (error == -EINVAL)
    gt_answer_sense(&task->io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
  else
    gt_answer_sense(&task->io, GT_KEY_HARDWARE_ERROR, GT_ASC_COMMUNICATION_FAILURE);
  bool gone = unit->lu && (error == -ENOTCONN || error == -ENODEV || error == -ESHUTDOWN);
  gt_note_node *note = NULL;
  pthread_mutex_lock(&unit->lock);
  unit->slots[task->seat] = NULL;
  gt_unit_ended(unit, task);
  if (gone && !unit->down) {
    note = unit->down_note;
    unit->down_note = NULL;
    unit->down = true;
  }
  pthread_mutex_unlock(&unit->lock);
  if (note) gt_note_push(unit->plane, note);
  gt_nexus_post(task->nexus, task);
}

static void seat(gt_unit *unit, gt_task *task) {
  uint32_t place = 0;
  while (unit->slots[place])
    place++;
  unit->slots[place] = task;
  task->seat = place;
}

/* Lock held on entry and return. */
static void send_waiting(gt_unit *unit, unsigned depth) {
  while (unit->busy < depth || (unit->busy < DEPTH && gt_unit_identity_next(unit))) {
    gt_task *task = gt_unit_next(unit);
    if (!task) return;
    seat(unit, task);
    pthread_mutex_unlock(&unit->lock);
    task->io.done = done;
    task->lent = gt_identity_lend(task, &unit->loans[task->seat]);
    int error = unit->lu ? gt_lu_submit(unit->lu, &task->io) : -ESHUTDOWN;
    if (error) refuse(unit, task, error);
    pthread_mutex_lock(&unit->lock);
  }
}

/* A transport that cannot abort leaves it to the time-out. */
static void send_aborts(gt_unit *unit) {
  if (!atomic_exchange(&unit->aborts, false) || !unit->lu) return;
  for (unsigned i = 0; i < DEPTH; i++) {
    gt_task *task = unit->slots[i];
    if (task && atomic_load(&task->asked)) gt_lu_abort(unit->lu, &task->io);
  }
}

static void wait_for_task(gt_unit *unit) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += IDLE_S;
  if (pthread_cond_timedwait(&unit->changed, &unit->lock, &until) != ETIMEDOUT || !unit->lu) return;
  pthread_mutex_unlock(&unit->lock);
  gt_lu_poll(unit->lu, 0); /* an idle session answers its target's pings here */
  pthread_mutex_lock(&unit->lock);
}

static void wait_for_answer(gt_unit *unit, int timeout_ms) {
  unit->polling = true;
  pthread_mutex_unlock(&unit->lock);
  if (gt_lu_poll(unit->lu, timeout_ms) < 0) pause_a_while();
  pthread_mutex_lock(&unit->lock);
  unit->polling = false;
}

/* The unit is removed: its tasks were asked to end, and those that do not are ended by closing. */
static void leave(gt_unit *unit) {
  uint64_t until_ns = gt_now_ns() + PATIENCE_MS * 1000000ull;
  for (uint64_t now_ns; unit->busy && (now_ns = gt_now_ns()) < until_ns;) {
    send_aborts(unit);
    wait_for_answer(unit, gt_wait_ms(now_ns, until_ns, -1));
  }
  pthread_mutex_unlock(&unit->lock);
  gt_lu_close(unit->lu);
  pthread_mutex_lock(&unit->lock);
  unit->lu = NULL;
}

static void *serve(void *argument) {
  gt_unit *unit = argument;
  identify(unit);
  unsigned depth = depth_of(unit);
  pthread_mutex_lock(&unit->lock);
  for (;;) {
    if (unit->abandoned && unit->lu) leave(unit);
    send_waiting(unit, depth);
    send_aborts(unit);
    if (unit->busy && unit->lu)
      wait_for_answer(unit, -1);
    else if (unit->stopping && !unit->waiting.first)
      break;
    else if (!unit->waiting.first)
      wait_for_task(unit);
  }
  pthread_mutex_unlock(&unit->lock);
  return NULL;
}

int gt_unit_start_lu(gt_unit *unit, gt_lu *lu) {
  unit->slots = calloc(DEPTH, sizeof *unit->slots);
  unit->loans = malloc(DEPTH * sizeof *unit->loans); /* the kernel gives what is touched */
  if (!unit->slots || !unit->loans) return -ENOMEM;
  unit->lu = lu;
  int error = gt_unit_thread(unit, &unit->thread, serve);
  if (error) unit->lu = NULL; /* still the caller's */
  unit->started = !error;
  return error;
}
