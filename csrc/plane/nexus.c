/* A nexus: what others leave for its home thread, and its end. */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOT_BITS = 10, GENERATIONS = (1 << 22) - 1 };
_Static_assert(1 << SLOT_BITS == GT_NEXUSES_MAX, "the slot of a nexus is the low bits of its number");

gt_plane_nexus *gt_nexus_find(gt_plane *plane, uint32_t number) {
  gt_plane_nexus *nexus = plane->nexuses[number % GT_NEXUSES_MAX];
  return nexus && nexus->number == number ? nexus : NULL;
}

/* A number comes again only after four million nexuses on its slot: a verdict for one that is gone must not meet its
 * successor. */
static int give_number(gt_plane *plane, gt_plane_nexus *nexus) {
  for (uint32_t i = 0; i < GT_NEXUSES_MAX; i++) {
    uint32_t slot = (plane->next_nexus + i) % GT_NEXUSES_MAX;
    if (plane->nexuses[slot]) continue;
    plane->next_nexus = slot + 1;
    nexus->number = plane->generation[slot] << SLOT_BITS | slot;
    plane->generation[slot] = (plane->generation[slot] + 1) % GENERATIONS;
    plane->nexuses[slot] = nexus;
    return 0;
  }
  return -EBUSY;
}

int gt_nexus_open(gt_plane *plane, void (*wake)(void *context), void *context, uint32_t *number, gt_plane_nexus **out) {
  gt_plane_nexus *nexus = calloc(1, sizeof *nexus);
  gt_note_node *note = gt_note_new(GT_NOTE_NEXUS_CLOSED, UINT32_MAX, 0);
  int error = -ENOMEM;
  if (nexus && note) {
    nexus->plane = plane;
    nexus->wake = wake;
    nexus->context = context;
    nexus->closed_note = note;
    nexus->asked_last = &nexus->asked;
    pthread_mutex_init(&nexus->lock, NULL);
    pthread_mutex_lock(&plane->lock);
    error = give_number(plane, nexus);
    pthread_mutex_unlock(&plane->lock);
    if (error) pthread_mutex_destroy(&nexus->lock);
  }
  if (error) {
    free(nexus);
    free(note);
    return error;
  }
  note->note.nexus = *number = nexus->number;
  *out = nexus;
  return 0;
}

/* Lock held. Waking inside the lock means that a nexus which was found empty under it has no waker left. */
static void call(gt_plane_nexus *nexus) {
  if (!atomic_exchange(&nexus->posted, true)) nexus->wake(nexus->context);
}

void gt_nexus_call(gt_plane_nexus *nexus) {
  pthread_mutex_lock(&nexus->lock);
  call(nexus);
  pthread_mutex_unlock(&nexus->lock);
}

void gt_nexus_post(gt_plane_nexus *nexus, gt_task *task) {
  pthread_mutex_lock(&nexus->lock);
  gt_io_list_push(&nexus->finished, &task->io);
  call(nexus);
  pthread_mutex_unlock(&nexus->lock);
}

void gt_nexus_ask(gt_plane_nexus *nexus, gt_order *order) {
  order->next = NULL;
  pthread_mutex_lock(&nexus->lock);
  *nexus->asked_last = order;
  nexus->asked_last = &order->next;
  call(nexus);
  pthread_mutex_unlock(&nexus->lock);
}

void gt_nexus_reset_over(gt_plane_nexus *nexus, gt_op *op) {
  pthread_mutex_lock(&nexus->lock);
  op->next = nexus->over;
  nexus->over = op;
  call(nexus);
  pthread_mutex_unlock(&nexus->lock);
}

static int answer_all(gt_io_list *list) {
  int answered = 0;
  for (gt_io *io; (io = gt_io_list_pop(list)); answered++) {
    gt_task *task = (gt_task *)io;
    if (task->passed && !task->ending)
      gt_task_resume(task);
    else
      gt_task_finish(task);
  }
  return answered;
}

static void take_orders(gt_plane_nexus *nexus, gt_order *orders) {
  for (gt_order *next; orders; orders = next) {
    next = orders->next;
    gt_order_take(nexus, orders);
  }
}

static void tell_resets(gt_plane_nexus *nexus, gt_op *over) {
  for (gt_op *next; over; over = next) {
    next = over->next;
    nexus->resets--;
    over->done(over->context);
    free(over);
  }
}

int gt_nexus_run(gt_plane_nexus *nexus) {
  if (!atomic_load_explicit(&nexus->posted, memory_order_acquire)) return 0;
  pthread_mutex_lock(&nexus->lock);
  atomic_store(&nexus->posted, false);
  gt_io_list finished = nexus->finished;
  gt_order *asked = nexus->asked;
  gt_op *over = nexus->over;
  nexus->finished = (gt_io_list){0};
  nexus->asked = NULL;
  nexus->asked_last = &nexus->asked;
  nexus->over = NULL;
  pthread_mutex_unlock(&nexus->lock);
  int answered = answer_all(&finished);
  take_orders(nexus, asked);
  answered += answer_all(&nexus->ended);
  if (nexus->orders) gt_orders_settle(nexus);
  tell_resets(nexus, over);
  return answered;
}

void gt_nexus_close(gt_plane_nexus *nexus) {
  gt_plane *plane = nexus->plane;
  if (nexus->closing) return;
  nexus->closing = true;
  for (gt_task *task = nexus->tasks, *next; task; task = next) {
    next = task->next;
    gt_task_end(task, 0, true);
  }
  pthread_mutex_lock(&plane->lock);
  plane->nexuses[nexus->number % GT_NEXUSES_MAX] = NULL;
  for (unsigned lun = 0; lun < GT_LUNS_MAX; lun++) {
    gt_path *path = atomic_load_explicit(&nexus->paths[lun], memory_order_relaxed);
    if (path) gt_path_retire(path);
  }
  pthread_mutex_unlock(&plane->lock);
}

/* Nobody asks anything of a nexus that is in no table and has no path; what was asked before is in the mailbox, or
 * being put there with the lock held. */
bool gt_nexus_closed(const gt_plane_nexus *nexus) {
  gt_plane_nexus *own = (gt_plane_nexus *)nexus;
  if (!own->closing || own->tasks || own->orders || own->resets) return false;
  pthread_mutex_lock(&own->plane->lock);
  bool closed = own->path_count == 0;
  pthread_mutex_unlock(&own->plane->lock);
  pthread_mutex_lock(&own->lock);
  closed = closed && !own->finished.first && !own->asked && !own->over;
  pthread_mutex_unlock(&own->lock);
  return closed;
}

void gt_nexus_free(gt_plane_nexus *nexus) {
  gt_note_push(nexus->plane, nexus->closed_note);
  pthread_mutex_destroy(&nexus->lock);
  free(nexus);
}
