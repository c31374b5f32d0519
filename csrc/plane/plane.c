/* Life of the plane, its table of units, and its keeper: the thread that does what no home thread may wait for. */
#include "plane/impl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

void gt_plane_told(gt_plane *plane) {
  if (plane->options.notify) plane->options.notify(plane->options.context);
}

void gt_plane_due(gt_plane *plane, uint64_t due_ns) {
  pthread_mutex_lock(&plane->lock);
  if (due_ns < plane->due_ns) {
    plane->due_ns = due_ns;
    pthread_cond_signal(&plane->keep);
  }
  pthread_mutex_unlock(&plane->lock);
}

/* ---- keeper; lock held on entry and return ---- */

static void bury_paths(gt_plane *plane) {
  for (gt_path *path; (path = plane->dead);) {
    plane->dead = path->unit_next;
    pthread_mutex_unlock(&plane->lock);
    if (path->unit) gt_unit_detach(path->unit, path);
    pthread_mutex_lock(&plane->lock);
    if (path->unit) path->unit->path_count--;
    free(path);
  }
}

static void bury_units(gt_plane *plane) {
  for (unsigned i = 0; i < GT_UNITS_MAX; i++) {
    gt_unit *unit = plane->units[i];
    if (!unit || !unit->leaving || unit->path_count) continue;
    gt_note_node *note = unit->gone;
    unit->gone = NULL;
    pthread_mutex_unlock(&plane->lock);
    gt_unit_destroy(unit);
    pthread_mutex_lock(&plane->lock);
    plane->units[i] = NULL;
    gt_note_push(plane, note);
  }
}

static void end_late_punts(gt_plane *plane) {
  uint64_t now_ns = gt_now_ns();
  if (plane->due_ns > now_ns) return;
  plane->due_ns = UINT64_MAX;
  pthread_mutex_unlock(&plane->lock);
  uint64_t due_ns = gt_punts_expire(plane, now_ns);
  pthread_mutex_lock(&plane->lock);
  if (due_ns < plane->due_ns) plane->due_ns = due_ns;
}

static bool has_work(const gt_plane *plane) {
  if (plane->dead || plane->due_ns <= gt_now_ns()) return true;
  for (unsigned i = 0; i < GT_UNITS_MAX; i++)
    if (plane->units[i] && plane->units[i]->leaving && !plane->units[i]->path_count) return true;
  return false;
}

static void *keep(void *argument) {
  gt_plane *plane = argument;
  pthread_mutex_lock(&plane->lock);
  while (!plane->stopping || has_work(plane)) {
    bury_paths(plane);
    bury_units(plane);
    end_late_punts(plane);
    if (plane->stopping || has_work(plane)) continue;
    if (plane->due_ns == UINT64_MAX) {
      pthread_cond_wait(&plane->keep, &plane->lock);
    } else {
      struct timespec until = {.tv_sec = (time_t)(plane->due_ns / 1000000000u),
                               .tv_nsec = (long)(plane->due_ns % 1000000000u)};
      pthread_cond_timedwait(&plane->keep, &plane->lock, &until);
    }
  }
  pthread_mutex_unlock(&plane->lock);
  return NULL;
}

/* ---- life ---- */

static int start_keeper(gt_plane *plane) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error) return -error;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  error = pthread_cond_init(&plane->keep, &attributes);
  pthread_condattr_destroy(&attributes);
  if (error) return -error;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&plane->keeper, NULL, keep, plane);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) pthread_cond_destroy(&plane->keep);
  return -error;
}

int gt_plane_open(const gt_plane_options *options, gt_plane **out) {
  gt_plane *plane = calloc(1, sizeof *plane);
  if (!plane) return -ENOMEM;
  plane->options = *options;
  plane->due_ns = UINT64_MAX;
  plane->notes.last = &plane->notes.first;
  int error = gt_punts_open(&plane->punts);
  if (error) {
    free(plane);
    return error;
  }
  pthread_mutex_init(&plane->lock, NULL);
  pthread_mutex_init(&plane->notes.lock, NULL);
  error = start_keeper(plane);
  if (error) {
    gt_punts_free(&plane->punts);
    gt_notes_free(&plane->notes);
    pthread_mutex_destroy(&plane->lock);
    free(plane);
    return error;
  }
  *out = plane;
  return 0;
}

void gt_plane_close(gt_plane *plane) {
  pthread_mutex_lock(&plane->lock);
  plane->stopping = true;
  plane->due_ns = UINT64_MAX; /* no nexus is left whose punt it could be */
  for (unsigned i = 0; i < GT_UNITS_MAX; i++) {
    if (!plane->units[i]) continue;
    plane->units[i]->leaving = true;
    gt_unit_abandon(plane->units[i]);
  }
  pthread_cond_signal(&plane->keep);
  pthread_mutex_unlock(&plane->lock);
  pthread_join(plane->keeper, NULL);
  pthread_cond_destroy(&plane->keep);
  gt_punts_free(&plane->punts);
  gt_notes_free(&plane->notes);
  pthread_mutex_destroy(&plane->lock);
  free(plane->classes.rows);
  gt_trace_queue_free(&plane->trace.queue);
  free(plane);
}

/* ---- units ---- */

/* Lock held. The unit takes its place in the table, or nothing remains of it. */
static int enter(gt_plane *plane, gt_unit *unit, int error) {
  if (!error) {
    plane->units[unit->number] = unit;
    return 0;
  }
  gt_unit_destroy(unit);
  return error;
}

int gt_plane_add_device(gt_plane *plane, uint32_t number, gt_device *device, bool inline_ok) {
  gt_unit *unit;
  if (number >= GT_UNITS_MAX) return -EINVAL;
  pthread_mutex_lock(&plane->lock);
  int error = plane->units[number] ? -EBUSY : gt_unit_make(plane, number, &unit);
  if (!error) error = enter(plane, unit, gt_unit_start_device(unit, device, inline_ok));
  pthread_mutex_unlock(&plane->lock);
  return error;
}

int gt_plane_add_lu(gt_plane *plane, uint32_t number, gt_lu *lu, uint32_t timeout_ms, uint32_t slow_timeout_ms) {
  gt_unit *unit;
  if (number >= GT_UNITS_MAX) return -EINVAL;
  pthread_mutex_lock(&plane->lock);
  int error = plane->units[number] ? -EBUSY : gt_unit_make(plane, number, &unit);
  if (!error) {
    unit->timeout_ms = timeout_ms;
    unit->slow_timeout_ms = slow_timeout_ms;
    error = enter(plane, unit, gt_unit_start_lu(unit, lu));
  }
  pthread_mutex_unlock(&plane->lock);
  return error;
}

int gt_plane_remove_unit(gt_plane *plane, uint32_t number) {
  pthread_mutex_lock(&plane->lock);
  gt_unit *unit = gt_unit_find(plane, number);
  bool found = unit != NULL;
  if (found) {
    unit->leaving = true;
    for (gt_path *path = unit->paths; path; path = path->unit_next)
      if (atomic_load(&path->nexus->paths[path->lun]) == path) gt_path_retire(path);
    gt_unit_abandon(unit);
    pthread_cond_signal(&plane->keep);
  }
  pthread_mutex_unlock(&plane->lock);
  return found ? 0 : -ENOENT;
}
