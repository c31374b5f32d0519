/* Paths: what a nexus may do with a unit. The verdict is one word and one time, read without a lock by the home thread
 * while the supervisor changes them. */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SEQUENCE_SHIFT = 8, COARSE_NS = 20000000 };

static uint64_t pack(const gt_verdict *verdict) {
  return (uint64_t)verdict->gate << 48 | (uint64_t)verdict->reservation << 32 |
         (verdict->write_protected ? GT_WORD_PROTECTED : 0) | (verdict->visible ? GT_WORD_VISIBLE : 0);
}

/* Lock held. The time goes where no reader of the current word looks; the word, whose lowest bit of the sequence says
 * where, makes both valid at once. */
static void publish(gt_path *path, const gt_verdict *verdict) {
  uint64_t old = atomic_load_explicit(&path->word, memory_order_relaxed);
  uint64_t sequence = ((old >> SEQUENCE_SHIFT) + 1) & 0xFFFFFF;
  atomic_store_explicit(&path->expiry[sequence & 1], verdict->expires_ns, memory_order_release);
  atomic_store_explicit(&path->word, pack(verdict) | sequence << SEQUENCE_SHIFT, memory_order_release);
}

/* The coarse clock costs no system call and lags a few milliseconds; near the end the exact one is asked. */
static bool is_past(uint64_t expires_ns) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  if (now_ns + COARSE_NS < expires_ns) return false;
  return now_ns >= expires_ns || gt_now_ns() >= expires_ns;
}

gt_judgement gt_path_judge(const gt_path *path) {
  uint64_t word, expires_ns;
  do {
    word = atomic_load_explicit(&path->word, memory_order_acquire);
    expires_ns = atomic_load_explicit(&path->expiry[word >> SEQUENCE_SHIFT & 1], memory_order_acquire);
  } while (word != atomic_load_explicit(&path->word, memory_order_acquire));
  if (!(word & GT_WORD_VISIBLE) || !gt_word_gate(word)) return (gt_judgement){.why = GT_NO_PATH};
  if (expires_ns && is_past(expires_ns)) return (gt_judgement){.why = GT_EXPIRED};
  return (gt_judgement){.word = word, .exists = true};
}

static gt_path *make(gt_plane_nexus *nexus, uint32_t lun, gt_unit *unit) {
  gt_path *path = calloc(1, sizeof *path);
  if (!path) return NULL;
  path->nexus = nexus;
  path->unit = unit;
  path->lun = lun;
  path->port = nexus->port;
  atomic_init(&path->place, -1);
  path->clearing.path = path;
  nexus->path_count++;
  if (!unit) return path;
  gt_attention_add(path, GT_ASC_POWER_ON_OR_RESET);
  path->unit_next = unit->paths;
  if (unit->paths) unit->paths->unit_previous = path;
  unit->paths = path;
  unit->path_count++;
  return path;
}

/* Lock held. Who comes meanwhile finds one or the other. */
static void replace(gt_path *path, gt_path *successor) {
  atomic_store_explicit(&path->nexus->paths[path->lun], successor, memory_order_release);
  publish(path, &(gt_verdict){0});
  path->orders++;
  gt_nexus_ask(path->nexus, &path->clearing);
}

static int set_locked(gt_plane *plane, uint32_t number, uint32_t lun, uint32_t unit_number, const gt_verdict *verdict) {
  gt_plane_nexus *nexus = gt_nexus_find(plane, number);
  gt_unit *unit = gt_unit_find(plane, unit_number);
  if (!nexus || lun >= GT_LUNS_MAX) return -ENOENT;
  if (unit_number != GT_NO_UNIT && !unit) return -ENOENT;
  gt_path *before = atomic_load_explicit(&nexus->paths[lun], memory_order_relaxed);
  if (before && before->unit == unit) {
    publish(before, verdict);
    return 0;
  }
  if (before && before->unit) return -EBUSY;
  gt_path *path = make(nexus, lun, unit);
  if (!path) return -ENOMEM;
  publish(path, verdict);
  if (before)
    replace(before, path);
  else
    atomic_store_explicit(&nexus->paths[lun], path, memory_order_release);
  return 0;
}

int gt_plane_set_port(gt_plane *plane, uint32_t number, uint16_t relative, uint16_t group, const char *name) {
  gt_port port = {.relative = relative, .group = group};
  if (strlen(name) >= sizeof port.name) return -EINVAL;
  memcpy(port.name, name, strlen(name));
  pthread_mutex_lock(&plane->lock);
  gt_plane_nexus *nexus = gt_nexus_find(plane, number);
  if (nexus) nexus->port = port;
  pthread_mutex_unlock(&plane->lock);
  return nexus ? 0 : -ENOENT;
}

int gt_plane_set_path(gt_plane *plane, uint32_t nexus, uint32_t lun, uint32_t unit, const gt_verdict *verdict) {
  pthread_mutex_lock(&plane->lock);
  int error = set_locked(plane, nexus, lun, unit, verdict);
  pthread_mutex_unlock(&plane->lock);
  return error;
}

void gt_path_retire(gt_path *path) { replace(path, NULL); }

int gt_plane_clear_path(gt_plane *plane, uint32_t number, uint32_t lun) {
  pthread_mutex_lock(&plane->lock);
  gt_plane_nexus *nexus = gt_nexus_find(plane, number);
  gt_path *path = nexus && lun < GT_LUNS_MAX ? atomic_load(&nexus->paths[lun]) : NULL;
  if (path) gt_path_retire(path);
  pthread_mutex_unlock(&plane->lock);
  return path ? 0 : -ENOENT;
}

static void unlink_from_unit(gt_path *path) {
  if (path->unit_previous)
    path->unit_previous->unit_next = path->unit_next;
  else
    path->unit->paths = path->unit_next;
  if (path->unit_next) path->unit_next->unit_previous = path->unit_previous;
}

void gt_path_settle(gt_path *path) {
  gt_plane *plane = path->nexus->plane;
  if (!path->dead || atomic_load_explicit(&path->counters.outstanding, memory_order_relaxed)) return;
  pthread_mutex_lock(&plane->lock);
  if (!path->orders) {
    if (path->unit) unlink_from_unit(path);
    if (path->unit && path->unit->device) gt_device_lose(path->unit->device, atomic_load(&path->place));
    path->nexus->path_count--;
    path->unit_next = plane->dead;
    plane->dead = path;
    pthread_cond_signal(&plane->keep);
  }
  pthread_mutex_unlock(&plane->lock);
}

bool gt_path_match(const gt_path *path, uint32_t nexus, uint32_t except) {
  uint32_t number = path->nexus->number;
  return (nexus == UINT32_MAX || nexus == number) && (except == UINT32_MAX || except != number);
}

int gt_plane_path_stats(gt_plane *plane, uint32_t number, uint32_t lun, gt_path_stats *out) {
  pthread_mutex_lock(&plane->lock);
  gt_plane_nexus *nexus = gt_nexus_find(plane, number);
  gt_path *path = nexus && lun < GT_LUNS_MAX ? atomic_load(&nexus->paths[lun]) : NULL;
  if (path) {
    gt_counters *counters = &path->counters;
    *out = (gt_path_stats){.commands = atomic_load_explicit(&counters->commands, memory_order_relaxed),
                           .bytes_in = atomic_load_explicit(&counters->bytes_in, memory_order_relaxed),
                           .bytes_out = atomic_load_explicit(&counters->bytes_out, memory_order_relaxed),
                           .refused = atomic_load_explicit(&counters->refused, memory_order_relaxed),
                           .errors = atomic_load_explicit(&counters->errors, memory_order_relaxed),
                           .outstanding = atomic_load_explicit(&counters->outstanding, memory_order_relaxed)};
  }
  pthread_mutex_unlock(&plane->lock);
  return path ? 0 : -ENOENT;
}
