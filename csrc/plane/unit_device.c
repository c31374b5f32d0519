/* Units of this process: emulated devices, on the home thread where they never wait, else on threads of their own. A
 * nexus gets its place at the device with its first command, since that may have to wait as well. */
#include "plane/impl.h"

#include <errno.h>

/* Its first unit attention, power on, is told by the plane already. */
static int place_of(gt_unit *unit, gt_path *path) {
  int place = atomic_load_explicit(&path->place, memory_order_acquire);
  if (place >= 0) return place;
  int fresh = gt_device_attach(unit->device), none = -1;
  if (fresh < 0) return fresh;
  gt_device_take_attention(unit->device, fresh);
  if (path->port.relative) gt_device_set_port(unit->device, fresh, &path->port);
  if (atomic_compare_exchange_strong(&path->place, &none, fresh)) return fresh;
  gt_device_detach(unit->device, fresh); /* another thread of the unit was faster */
  return none;
}

void gt_unit_execute(gt_unit *unit, gt_task *task) {
  gt_page_loan loan;
  int place = place_of(unit, task->path);
  task->io.abandoned = (const volatile bool *)&task->asked;
  if (place < 0) return gt_answer_status(&task->io, GT_STATUS_BUSY);
  bool lent = gt_identity_lend(task, &loan);
  gt_device_execute(unit->device, place, &task->io);
  if (lent) gt_identity_give_back(task, &loan);
}

void gt_unit_detach(gt_unit *unit, gt_path *path) {
  int place = atomic_load(&path->place);
  if (unit->device && place >= 0) gt_device_detach(unit->device, place);
}

static void identify(gt_unit *unit) {
  uint8_t data[36] = {GT_TYPE_UNKNOWN};
  gt_io io = {
      .cdb = {GT_INQUIRY, 0, 0, 0, sizeof data}, .cdb_len = 6, .dir = GT_DIR_IN, .data = data, .data_len = sizeof data};
  int place = gt_device_attach(unit->device);
  if (place < 0) return;
  gt_device_execute(unit->device, place, &io);
  gt_device_detach(unit->device, place);
  atomic_store(&unit->type, data[0] & 0x1F);
}

static void serve(gt_unit *unit, bool identity_only) {
  pthread_mutex_lock(&unit->lock);
  for (;;) {
    gt_task *task = !identity_only || gt_unit_identity_next(unit) ? gt_unit_next(unit) : NULL;
    if (!task && unit->stopping) break;
    if (!task) {
      pthread_cond_wait(&unit->changed, &unit->lock);
      continue;
    }
    pthread_mutex_unlock(&unit->lock);
    gt_unit_execute(unit, task);
    pthread_mutex_lock(&unit->lock);
    gt_unit_ended(unit, task);
    pthread_mutex_unlock(&unit->lock);
    gt_nexus_post(task->nexus, task);
    pthread_mutex_lock(&unit->lock);
  }
  pthread_mutex_unlock(&unit->lock);
}

static void *serve_all(void *argument) {
  serve(argument, false);
  return NULL;
}

static void *serve_identity(void *argument) {
  serve(argument, true);
  return NULL;
}

static void help(gt_unit *unit, void *(*main)(void *)) {
  if (!gt_unit_thread(unit, &unit->helpers[unit->helper_count], main)) unit->helper_count++;
}

/* A disk has several threads that do everything, for what they wait for is not the same. Everything else keeps its
 * order by having one, and another for INQUIRY alone. */
static void *serve_first(void *argument) {
  gt_unit *unit = argument;
  identify(unit);
  if (atomic_load(&unit->type) != GT_TYPE_DISK) {
    pthread_mutex_lock(&unit->lock);
    unit->mixed = true;
    pthread_mutex_unlock(&unit->lock);
    help(unit, serve_identity);
  } else if (!unit->inline_ok) {
    for (int i = 0; i < GT_UNIT_HELPERS; i++)
      help(unit, serve_all);
  }
  return serve_all(argument);
}

int gt_unit_start_device(gt_unit *unit, gt_device *device, bool inline_ok) {
  unit->device = gt_device_ref(device);
  unit->inline_ok = inline_ok;
  int error = gt_unit_thread(unit, &unit->thread, serve_first);
  unit->started = !error;
  return error;
}
