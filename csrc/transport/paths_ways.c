/* The paths of one unit as its poller has them: which one is active, which one is done with, and whether those that
 * wait are still there. */
#include <errno.h>
#include <string.h>

#include "../core/scsi.h"
#include "paths_impl.h"

enum {
  SLICE_MS = 5 /* how long one path is waited for while another one has commands too */,
  CHECK_TIMEOUT_MS = 30000
};

static bool usable(const gt_way *way) { return way->lu && !way->dying; }

/* Another path than this one, the next in the table's order. */
gt_way *gt_ways_another(gt_paths *paths, const gt_way *than) {
  int from = than ? (int)(than - paths->ways) : -1;
  for (int i = 1; i <= GT_PATHS_MAX; i++) {
    gt_way *way = &paths->ways[(from + i) % GT_PATHS_MAX];
    if (way != than && usable(way)) return way;
  }
  return NULL;
}

/* Writes the states down where others read them. */
static void note_states(gt_paths *paths) {
  bool changed = false;
  pthread_mutex_lock(&paths->lock);
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    gt_paths_row *row = &paths->rows[i];
    gt_way *way = &paths->ways[i];
    if (!row->fact.state || row->incoming) continue;
    uint8_t state = !usable(way) ? GT_PATHS_DEAD : way == paths->active ? GT_PATHS_ACTIVE : GT_PATHS_STANDBY;
    changed |= row->fact.state != state;
    row->fact.state = state;
    if (row->leave && !way->lu) *row = (gt_paths_row){0};
  }
  pthread_mutex_unlock(&paths->lock);
  if (changed) gt_paths_tell(paths);
}

void gt_ways_count_failure(gt_paths *paths, const gt_way *way) {
  pthread_mutex_lock(&paths->lock);
  paths->rows[way - paths->ways].fact.failures++;
  pthread_mutex_unlock(&paths->lock);
}

void gt_ways_choose(gt_paths *paths, gt_way *way) {
  if (paths->active == way) return;
  paths->active = way;
  note_states(paths);
}

void gt_ways_let_go(gt_paths *paths, gt_way *way) {
  if (way->dying) return;
  way->dying = true;
  if (paths->active == way) paths->active = gt_ways_another(paths, way);
  note_states(paths);
}

/* Takes over what was added and removed; never closes anything. */
void gt_ways_take_mail(gt_paths *paths) {
  if (!atomic_exchange(&paths->mail, false)) return;
  bool leave[GT_PATHS_MAX];
  pthread_mutex_lock(&paths->lock);
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    gt_paths_row *row = &paths->rows[i];
    leave[i] = row->leave;
    if (!row->incoming) continue;
    paths->ways[i] = (gt_way){.paths = paths,
                              .lu = row->incoming,
                              .held = row->held,
                              .since = paths->sequence,
                              .check_ns = gt_now_ns() + paths->options.check_ms * 1000000ull};
    row->incoming = NULL;
  }
  pthread_mutex_unlock(&paths->lock);
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (leave[i] && paths->ways[i].lu) gt_ways_let_go(paths, &paths->ways[i]);
  if (!paths->active) paths->active = gt_ways_another(paths, NULL);
  note_states(paths);
}

/* ---- paths that wait, and paths that are done with ---- */

static void checked(gt_io *io) {
  gt_way *way = io->owner;
  gt_paths *paths = way->paths;
  way->checking = false;
  if (io->outcome == GT_DELIVERED || paths->closing || way->dying) return;
  gt_ways_count_failure(paths, way);
  if (io->outcome == GT_TRANSPORT && gt_ways_another(paths, way)) gt_ways_let_go(paths, way);
}

/* INQUIRY: answered in any state, and it takes no unit attention away (SPC-4 6.4.1). The nodes of a path are one nexus
 * for all who have them open: what another one is to be told is not ours to take. */
static void check(gt_paths *paths, gt_way *way, uint64_t now_ns) {
  if (!usable(way) || way == paths->active || way->checking || now_ns < way->check_ns) return;
  way->check_ns = now_ns + paths->options.check_ms * 1000000ull;
  way->check = (gt_io){.cdb = {GT_INQUIRY, 0, 0, 0, sizeof way->answer},
                       .cdb_len = 6,
                       .dir = GT_DIR_IN,
                       .timeout_ms = CHECK_TIMEOUT_MS,
                       .data = way->answer,
                       .data_len = sizeof way->answer,
                       .done = checked,
                       .owner = way};
  way->checking = true;
  if (!gt_lu_submit(way->lu, &way->check)) return;
  way->checking = false;
  gt_ways_count_failure(paths, way);
  if (gt_ways_another(paths, way)) gt_ways_let_go(paths, way);
}

/* Closing one calls `done` of what it still has, which may make another one active or send nothing at all. */
static void bury(gt_paths *paths, gt_way *way) {
  if (!way->lu || !way->dying || ((way->sent || way->checking) && !way->broken)) return;
  gt_lu_close(way->lu);
  *way = (gt_way){.paths = paths};
  note_states(paths);
}

void gt_ways_tend(gt_paths *paths) {
  uint64_t now_ns = gt_now_ns();
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    if (!paths->ways[i].lu) continue;
    check(paths, &paths->ways[i], now_ns);
    bury(paths, &paths->ways[i]);
  }
}

static uint64_t next_check_ns(const gt_paths *paths) {
  uint64_t next = UINT64_MAX;
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    const gt_way *way = &paths->ways[i];
    if (usable(way) && way != paths->active && !way->checking && way->check_ns < next) next = way->check_ns;
  }
  return next;
}

/* Whoever is to be waited for: the active path, else one that has commands. */
static gt_way *busiest(gt_paths *paths) {
  if (paths->active && paths->active->sent) return paths->active;
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (paths->ways[i].lu && paths->ways[i].sent) return &paths->ways[i];
  return NULL;
}

static void poll_way(gt_paths *paths, gt_way *way, int wait_ms) {
  if (gt_lu_poll(way->lu, wait_ms) >= 0) return;
  way->broken = true;
  gt_ways_let_go(paths, way);
}

static bool take_wake(gt_paths *paths, gt_lu *polled) {
  pthread_mutex_lock(&paths->lock);
  bool woken = paths->woken;
  paths->polled = woken ? NULL : polled;
  paths->woken = false;
  pthread_mutex_unlock(&paths->lock);
  return woken;
}

bool gt_ways_wait(gt_paths *paths, int wait_ms) {
  gt_way *main = busiest(paths);
  bool others = false;
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    gt_way *way = &paths->ways[i];
    bool busy = way->sent || way->checking;
    if (!way->lu || way == main || (main && !busy)) continue;
    poll_way(paths, way, 0); /* with nothing to do also where nothing is outstanding: some answer their peers there */
    others |= busy;
  }
  if (!main || !main->lu) return take_wake(paths, NULL);
  wait_ms = gt_wait_ms(gt_now_ns(), next_check_ns(paths), wait_ms);
  if (others && (wait_ms < 0 || wait_ms > SLICE_MS)) wait_ms = SLICE_MS;
  if (paths->finished.first || paths->waiting.first) wait_ms = 0;
  bool woken = take_wake(paths, main->lu);
  poll_way(paths, main, woken ? 0 : wait_ms);
  return take_wake(paths, NULL) || woken;
}
