/* Paths come and go: the table that any thread may use. The poller takes from it what is new for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/scsi.h"
#include "../core/sense.h"
#include "paths_impl.h"

enum { CHECK_MS = 10000, SETTLE_MS = 10000, ATTENTIONS = 8 };

int gt_paths_new(const gt_paths_options *options, gt_paths **out) {
  gt_paths *paths = calloc(1, sizeof *paths);
  if (!paths) return -ENOMEM;
  paths->options = *options;
  if (!paths->options.check_ms) paths->options.check_ms = CHECK_MS;
  atomic_init(&paths->shares, 1);
  atomic_init(&paths->mail, false);
  pthread_mutex_init(&paths->lock, NULL);
  *out = paths;
  return 0;
}

gt_paths *gt_paths_ref(gt_paths *paths) {
  atomic_fetch_add(&paths->shares, 1);
  return paths;
}

void gt_paths_unref(gt_paths *paths) {
  if (atomic_fetch_sub(&paths->shares, 1) != 1) return;
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (paths->rows[i].incoming) gt_lu_close(paths->rows[i].incoming);
  pthread_mutex_destroy(&paths->lock);
  if (paths->options.released) paths->options.released(paths->options.context);
  free(paths->slots);
  free(paths);
}

void gt_paths_tell(gt_paths *paths) {
  if (paths->options.changed) paths->options.changed(paths->options.context);
}

void gt_paths_stir(gt_paths *paths) {
  paths->woken = true;
  if (paths->polled) gt_lu_wake(paths->polled);
}

/* SPC-4 5.14: a new nexus is told of a reset (29h) first, and then of what else happened. All of it is taken away; the
 * reset is what is remembered, or else the last. */
static void take_attention(gt_lu *lu, gt_held *held) {
  bool reset = false;
  for (int i = 0; i < ATTENTIONS; i++) {
    gt_sense sense;
    gt_io io = {.cdb = {GT_TEST_UNIT_READY}, .cdb_len = 6, .timeout_ms = SETTLE_MS};
    if (gt_lu_execute(lu, &io) || io.outcome != GT_DELIVERED || io.status != GT_STATUS_CHECK_CONDITION) return;
    if (!gt_sense_parse(io.sense, io.sense_len, &sense) || sense.key != GT_KEY_UNIT_ATTENTION) return;
    if (reset) continue;
    reset = sense.asc >> 8 == GT_ASC_POWER_ON_OR_RESET >> 8;
    held->len = io.sense_len < GT_SENSE_MAX ? io.sense_len : GT_SENSE_MAX;
    memcpy(held->sense, io.sense, held->len);
  }
}

/* One that is to leave is not there any more. */
static gt_paths_row *find(gt_paths *paths, uint32_t id) {
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    gt_paths_row *row = &paths->rows[i];
    if (row->fact.state && !row->leave && row->fact.id == id) return row;
  }
  return NULL;
}

static gt_paths_row *find_free(gt_paths *paths) {
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (!paths->rows[i].fact.state) return &paths->rows[i];
  return NULL;
}

/* Lock held. */
static int enter(gt_paths *paths, uint32_t id, gt_lu *lu, const gt_held *held) {
  if (paths->closed) return -ESHUTDOWN;
  if (find(paths, id)) return -EEXIST;
  if (paths->opened && lu->limits.max_transfer < paths->lu.limits.max_transfer) return -EMSGSIZE;
  gt_paths_row *row = find_free(paths);
  if (!row) return -ENOSPC;
  *row = (gt_paths_row){.fact = {.id = id, .state = GT_PATHS_STANDBY}, .incoming = lu, .held = *held};
  atomic_store(&paths->mail, true);
  gt_paths_stir(paths);
  return 0;
}

int gt_paths_add(gt_paths *paths, uint32_t id, gt_lu *lu, bool settle) {
  gt_held held = {0};
  if (settle) take_attention(lu, &held);
  pthread_mutex_lock(&paths->lock);
  int error = enter(paths, id, lu, &held);
  pthread_mutex_unlock(&paths->lock);
  if (!error) gt_paths_tell(paths);
  return error;
}

void gt_paths_remove(gt_paths *paths, uint32_t id) {
  gt_lu *unused = NULL;
  pthread_mutex_lock(&paths->lock);
  gt_paths_row *row = find(paths, id);
  if (row && !paths->opened) {
    unused = row->incoming;
    *row = (gt_paths_row){0};
  } else if (row) {
    row->leave = true;
    atomic_store(&paths->mail, true);
    gt_paths_stir(paths);
  }
  pthread_mutex_unlock(&paths->lock);
  if (unused) gt_lu_close(unused);
}

size_t gt_paths_facts(gt_paths *paths, gt_paths_fact out[GT_PATHS_MAX], bool *closed) {
  size_t count = 0;
  pthread_mutex_lock(&paths->lock);
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (paths->rows[i].fact.state && !paths->rows[i].leave) out[count++] = paths->rows[i].fact;
  if (closed) *closed = paths->closed;
  pthread_mutex_unlock(&paths->lock);
  return count;
}

static bool limit(gt_paths *paths) {
  gt_lu_limits least = {.max_transfer = UINT32_MAX, .max_queue = GT_PATHS_SLOTS};
  bool any = false;
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    const gt_lu *lu = paths->rows[i].incoming;
    if (!lu) continue;
    any = true;
    paths->rows[i].held.len = 0; /* who opens a unit looks at it as it is */
    if (lu->limits.max_transfer < least.max_transfer) least.max_transfer = lu->limits.max_transfer;
    if (lu->limits.max_queue < least.max_queue) least.max_queue = lu->limits.max_queue;
  }
  paths->lu.limits = least;
  return any;
}

int gt_paths_open(gt_paths *paths, gt_lu **out) {
  gt_slot *slots = calloc(GT_PATHS_SLOTS, sizeof *slots);
  if (!slots) return -ENOMEM;
  pthread_mutex_lock(&paths->lock);
  int error = paths->opened ? -EALREADY : limit(paths) ? 0 : -ENODEV;
  if (!error) paths->opened = true;
  pthread_mutex_unlock(&paths->lock);
  if (error) {
    free(slots);
    return error;
  }
  paths->slots = slots;
  for (int i = 0; i < GT_PATHS_SLOTS; i++) {
    slots[i].paths = paths;
    slots[i].next = paths->free;
    paths->free = &slots[i];
  }
  paths->lu.ops = &gt_paths_ops;
  *out = &gt_paths_ref(paths)->lu;
  return 0;
}
