/* What concerns all tasks of a path: aborts, drains, resets. Whoever asks leaves an order with the home of each nexus,
 * and the last home that is done with it says so. */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>

/* A task that was not started yet is judged again when it is, and is waited for by nobody. */
static bool concerns(const gt_order *order, const gt_task *task) {
  if (task->path != order->path || task->ticket >= order->before) return false;
  if (task->state == GT_TASK_ADMITTED) return false;
  return !order->op || order->op->classes >> task->class_ & 1;
}

static bool is_done(const gt_order *order, const gt_plane_nexus *nexus) {
  for (const gt_task *task = nexus->tasks; task; task = task->next)
    if (concerns(order, task)) return false;
  return true;
}

/* The order is not looked at after this: the operation may be over. */
static void let_go(gt_order *order) {
  gt_path *path = order->path;
  gt_op *op = order->op;
  gt_plane *plane = path->nexus->plane;
  pthread_mutex_lock(&plane->lock);
  path->orders--;
  pthread_mutex_unlock(&plane->lock);
  gt_path_settle(path);
  if (op && atomic_fetch_sub(&op->left, 1) == 1) gt_op_over(op);
}

void gt_orders_settle(gt_plane_nexus *nexus) {
  gt_order *done = NULL;
  for (gt_order **at = &nexus->orders; *at;) {
    gt_order *order = *at;
    if (!is_done(order, nexus)) {
      at = &order->next;
      continue;
    }
    *at = order->next;
    order->next = done;
    done = order;
  }
  for (gt_order *next; done; done = next) {
    next = done->next;
    let_go(done);
  }
}

/* Ends the tasks of a path; how many. */
static unsigned end_tasks(gt_plane_nexus *nexus, const gt_path *path, uint8_t status) {
  unsigned ended = 0;
  for (gt_task *task = nexus->tasks, *next; task; task = next) {
    next = task->next;
    if (task->path != path) continue;
    gt_task_end(task, status, false);
    ended++;
  }
  return ended;
}

void gt_order_take(gt_plane_nexus *nexus, gt_order *order) {
  gt_op *op = order->op;
  gt_path *path = order->path;
  order->before = nexus->ticket;
  order->next = nexus->orders;
  nexus->orders = order;
  if (!op) path->dead = true;
  if (op && !op->aborts) return;
  unsigned ended = end_tasks(nexus, path, op ? op->status : GT_STATUS_TASK_ABORTED);
  if (!op || !op->tells_cleared || !ended || op->origin == nexus) return;
  pthread_mutex_lock(&nexus->plane->lock);
  gt_attention_add(path, GT_ASC_COMMANDS_CLEARED);
  pthread_mutex_unlock(&nexus->plane->lock);
}

void gt_op_over(gt_op *op) {
  if (op->origin) return gt_nexus_reset_over(op->origin, op);
  gt_note_push(op->plane, op->node);
  free(op);
}

/* Lock held. Leaves an order with every path of the unit that matches. */
static gt_op *make(gt_unit *unit, uint32_t nexus, uint32_t except) {
  size_t count = 0;
  for (gt_path *path = unit->paths; path; path = path->unit_next)
    count += gt_path_match(path, nexus, except);
  gt_op *op = calloc(1, sizeof *op + count * sizeof op->orders[0]);
  if (!op) return NULL;
  op->plane = unit->plane;
  op->classes = UINT16_MAX;
  for (gt_path *path = unit->paths; path; path = path->unit_next)
    if (gt_path_match(path, nexus, except)) op->orders[op->count++] = (gt_order){.path = path, .op = op};
  atomic_init(&op->left, (unsigned)count + 1); /* one is the asker's own, until all are posted */
  return op;
}

/* Lock held. True: it is over already. */
static bool post(gt_op *op) {
  for (size_t i = 0; i < op->count; i++) {
    op->orders[i].path->orders++;
    gt_nexus_ask(op->orders[i].path->nexus, &op->orders[i]);
  }
  return atomic_fetch_sub(&op->left, 1) == 1;
}

static int ask(gt_plane *plane, uint32_t number, uint32_t nexus, uint32_t except, const gt_op *what, uint8_t kind,
               uint64_t cookie) {
  gt_note_node *node = gt_note_new(kind, number, cookie);
  if (!node) return -ENOMEM;
  pthread_mutex_lock(&plane->lock);
  gt_unit *unit = gt_unit_find(plane, number);
  gt_op *op = unit ? make(unit, nexus, except) : NULL;
  bool over = false;
  if (op) {
    op->node = node;
    op->aborts = what->aborts;
    op->status = what->status;
    op->classes = what->classes;
    over = post(op);
  }
  pthread_mutex_unlock(&plane->lock);
  if (!op) free(node);
  if (over) gt_op_over(op);
  return op ? 0 : unit ? -ENOMEM : -ENOENT;
}

int gt_plane_abort(gt_plane *plane, uint32_t unit, uint32_t nexus, uint32_t except, uint8_t status, uint64_t cookie) {
  gt_op what = {.aborts = true, .status = status, .classes = UINT16_MAX};
  return ask(plane, unit, nexus, except, &what, GT_NOTE_ABORTED, cookie);
}

int gt_plane_drain(gt_plane *plane, uint32_t unit, uint32_t nexus, uint16_t classes, uint64_t cookie) {
  gt_op what = {.classes = classes};
  return ask(plane, unit, nexus, UINT32_MAX, &what, GT_NOTE_DRAINED, cookie);
}

/* Lock held. */
static gt_op *begin_reset(gt_plane_nexus *nexus, gt_unit *unit, bool clear_only) {
  gt_op *op = make(unit, UINT32_MAX, UINT32_MAX);
  if (!op) return NULL;
  op->aborts = true;
  op->tells_cleared = clear_only;
  op->origin = nexus;
  return op;
}

/* home. */
static int reset(gt_plane_nexus *nexus, uint32_t lun, bool clear_only, void (*done)(void *context), void *context) {
  gt_path *path = lun < GT_LUNS_MAX ? atomic_load(&nexus->paths[lun]) : NULL;
  if (!path || !path->unit || !gt_path_judge(path).exists) return -ENXIO;
  gt_unit *unit = path->unit;
  gt_note_node *node = clear_only ? NULL : gt_note_new(GT_NOTE_RESET, unit->number, 0);
  if (!node && !clear_only) return -ENOMEM;
  pthread_mutex_lock(&nexus->plane->lock);
  gt_op *op = begin_reset(nexus, unit, clear_only);
  bool over = false;
  if (op) {
    op->done = done;
    op->context = context;
    nexus->resets++;
    /* Every nexus, also the one that asked for it (SAM-5 6.3.3). */
    for (gt_path *each = clear_only ? NULL : unit->paths; each; each = each->unit_next)
      gt_attention_add(each, GT_ASC_BUS_DEVICE_RESET);
    if (!clear_only && unit->device) gt_device_reset(unit->device);
    over = post(op);
  }
  pthread_mutex_unlock(&nexus->plane->lock);
  if (!op) {
    free(node);
    return -ENOMEM;
  }
  if (node) {
    node->note.nexus = nexus->number;
    node->note.lun = lun;
    node->note.function = 0x08;
    gt_note_push(nexus->plane, node);
  }
  if (over) gt_op_over(op);
  return 0;
}

int gt_nexus_reset_unit(gt_plane_nexus *nexus, uint32_t lun, void (*done)(void *context), void *context) {
  return reset(nexus, lun, false, done, context);
}

int gt_nexus_clear_unit(gt_plane_nexus *nexus, uint32_t lun, void (*done)(void *context), void *context) {
  return reset(nexus, lun, true, done, context);
}
