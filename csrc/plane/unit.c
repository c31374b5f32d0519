/* What both kinds of units share: life, and a queue that keeps the order which task attributes ask for. */
#include "plane/impl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { ATTRIBUTE_ORDERED = 2, ATTRIBUTE_HEAD = 3, DEFAULT_TIMEOUT_MS = 60000, DEFAULT_SLOW_MS = 4 * 3600 * 1000 };

static int init_waiting(gt_unit *unit) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error) return -error;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  error = pthread_cond_init(&unit->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  return -error;
}

int gt_unit_make(gt_plane *plane, uint32_t number, gt_unit **out) {
  gt_unit *unit = calloc(1, sizeof *unit);
  if (!unit) return -ENOMEM;
  unit->plane = plane;
  unit->number = number;
  unit->gone = gt_note_new(GT_NOTE_UNIT_GONE, number, 0);
  unit->down_note = gt_note_new(GT_NOTE_UNIT_DOWN, number, 0);
  if (!unit->gone || !unit->down_note || init_waiting(unit)) {
    free(unit->gone);
    free(unit->down_note);
    free(unit);
    return -ENOMEM;
  }
  pthread_mutex_init(&unit->lock, NULL);
  pthread_mutex_init(&unit->writes.lock, NULL);
  atomic_init(&unit->type, GT_TYPE_UNKNOWN);
  *out = unit;
  return 0;
}

int gt_unit_thread(gt_unit *unit, pthread_t *thread, void *(*main)(void *)) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, NULL, main, unit);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return -error;
  pthread_setname_np(*thread, "gantry-unit");
  return 0;
}

gt_unit *gt_unit_find(gt_plane *plane, uint32_t number) {
  gt_unit *unit = number < GT_UNITS_MAX ? plane->units[number] : NULL;
  return unit && !unit->leaving ? unit : NULL;
}

static void stir(gt_unit *unit) {
  pthread_cond_broadcast(&unit->changed);
  if (unit->polling) gt_lu_wake(unit->lu);
}

void gt_unit_abandon(gt_unit *unit) {
  pthread_mutex_lock(&unit->lock);
  unit->abandoned = true;
  stir(unit);
  pthread_mutex_unlock(&unit->lock);
}

void gt_unit_destroy(gt_unit *unit) {
  pthread_mutex_lock(&unit->lock);
  unit->stopping = true;
  stir(unit);
  pthread_mutex_unlock(&unit->lock);
  if (unit->started) pthread_join(unit->thread, NULL);
  for (unsigned i = 0; i < unit->helper_count; i++)
    pthread_join(unit->helpers[i], NULL);
  if (unit->device) gt_device_unref(unit->device);
  if (unit->lu) gt_lu_close(unit->lu);
  free(unit->slots);
  free(unit->loans);
  free(unit->gone);
  free(unit->down_note);
  pthread_cond_destroy(&unit->changed);
  pthread_mutex_destroy(&unit->lock);
  pthread_mutex_destroy(&unit->writes.lock);
  free(unit);
}

/* Tasks of other nexuses that run at this moment on their homes came neither before nor after: nobody was told of them
 * yet. ORDERED therefore waits only for what is in the queue, and what is behind an ORDERED task goes there too. */
bool gt_unit_at_once(const gt_unit *unit, const gt_task *task) {
  if (!unit->inline_ok || task->flags & GT_CLASS_SLOW) return false;
  if (atomic_load_explicit(&unit->ordered, memory_order_acquire)) return false;
  return task->attribute != ATTRIBUTE_ORDERED || !atomic_load_explicit(&unit->load, memory_order_acquire);
}

/* INQUIRY asks nothing of the medium: it does not wait for a tape that is being wound. */
static bool goes_ahead(const gt_task *task) {
  return task->attribute == ATTRIBUTE_HEAD || task->handling == GT_IDENTITY;
}

bool gt_unit_identity_next(const gt_unit *unit) {
  const gt_task *task = (const gt_task *)unit->waiting.first;
  return task && task->handling == GT_IDENTITY;
}

static void push(gt_unit *unit, gt_task *task) {
  if (goes_ahead(task)) {
    task->io.next = unit->waiting.first;
    unit->waiting.first = &task->io;
    if (!unit->waiting.last) unit->waiting.last = &task->io;
  } else {
    gt_io_list_push(&unit->waiting, &task->io);
  }
  atomic_fetch_add(&unit->load, 1);
  if (task->attribute == ATTRIBUTE_ORDERED) atomic_fetch_add(&unit->ordered, 1);
}

static void forget(gt_unit *unit, const gt_task *task) {
  atomic_fetch_sub(&unit->load, 1);
  if (task->attribute == ATTRIBUTE_ORDERED) atomic_fetch_sub(&unit->ordered, 1);
}

bool gt_unit_submit(gt_unit *unit, gt_task *task) {
  uint32_t timeout = task->flags & GT_CLASS_SLOW ? unit->slow_timeout_ms : unit->timeout_ms;
  task->io.timeout_ms = timeout ? timeout : task->flags & GT_CLASS_SLOW ? DEFAULT_SLOW_MS : DEFAULT_TIMEOUT_MS;
  if (task->at_once) {
    gt_unit_execute(unit, task);
    return true;
  }
  task->state = GT_TASK_UNIT;
  atomic_store_explicit(&task->asked, false, memory_order_relaxed);
  pthread_mutex_lock(&unit->lock);
  push(unit, task);
  if (unit->polling)
    gt_lu_wake(unit->lu);
  else if (unit->mixed)
    pthread_cond_broadcast(&unit->changed);
  else
    pthread_cond_signal(&unit->changed);
  pthread_mutex_unlock(&unit->lock);
  return false;
}

bool gt_unit_withdraw(gt_unit *unit, gt_task *task) {
  pthread_mutex_lock(&unit->lock);
  bool waited = gt_io_list_remove(&unit->waiting, &task->io);
  if (waited) {
    forget(unit, task);
    stir(unit); /* it may have stood in the way of others */
  } else {
    atomic_store(&task->asked, true);
    if (unit->slots) {
      atomic_store(&unit->aborts, true);
      stir(unit);
    }
  }
  pthread_mutex_unlock(&unit->lock);
  return waited;
}

/* SAM-5 8.9: HEAD OF QUEUE starts at once; ORDERED when everything before it has ended; SIMPLE when every ORDERED one
 * before it has. The queue is in the order of arrival. */
gt_task *gt_unit_next(gt_unit *unit) {
  gt_task *task = (gt_task *)unit->waiting.first;
  if (!task) return NULL;
  bool ordered = task->attribute == ATTRIBUTE_ORDERED;
  if (!goes_ahead(task) && (unit->ordered_busy || (ordered && unit->busy))) return NULL;
  gt_io_list_pop(&unit->waiting);
  unit->busy++;
  unit->ordered_busy += ordered;
  return task;
}

void gt_unit_ended(gt_unit *unit, const gt_task *task) {
  bool was_ordered = task->attribute == ATTRIBUTE_ORDERED;
  unit->busy--;
  unit->ordered_busy -= was_ordered;
  forget(unit, task);
  if (unit->waiting.first) pthread_cond_broadcast(&unit->changed);
}

/* Nobody knows what became of the command (SPC-4 annex D.2: 08h/00h, 08h/01h). ABORTED COMMAND lets the initiator
 * decide whether it can be repeated. */
void gt_unit_undelivered(gt_io *io) {
  bool late = io->outcome == GT_TIMED_OUT;
  gt_answer_sense(io, GT_KEY_ABORTED_COMMAND, late ? GT_ASC_COMMUNICATION_TIMEOUT : GT_ASC_COMMUNICATION_FAILURE);
}
