/* Devices in virtual time for the tests of pace: a source that gives at a rate and stalls now and then, and a tape
 * drive that moves at one speed (device/stream.h). The clock stands still while the engine has anything to do and
 * goes on to the next answer when both of its threads are asleep: the engine is as fast as it can be, whatever else
 * the machine does, and the figures are the same each time. */
#ifndef PACED_RIG_H
#define PACED_RIG_H

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "device/stream.h"
#include "engine_rig.h"

enum { PACED_QUEUE = 64, PACED_MS = 1000000, PACED_PERIOD_MS = 100 };

typedef struct paced_world {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  uint64_t now_ns;
} paced_world;

typedef struct paced {
  gt_lu lu;
  paced_world *world;
  gt_io *queue[PACED_QUEUE]; /* in order of their answers */
  uint64_t due_ns[PACED_QUEUE];
  unsigned queued;
  bool woken;
  /* Source: bytes per second while it gives, and how much of each PACED_PERIOD_MS it stalls. */
  uint64_t bytes_per_s, stall_ns, free_ns;
  gt_stream stream; /* tape */
} paced;

/* When work of so long that begins at `at` is done, by a source that stalls at the end of each period. */
static inline uint64_t paced_served(const paced *p, uint64_t at, uint64_t work_ns) {
  const uint64_t period = PACED_PERIOD_MS * (uint64_t)PACED_MS, gives = period - p->stall_ns;
  for (;;) {
    uint64_t into = at % period, left = into < gives ? gives - into : 0;
    if (work_ns <= left) return at + work_ns;
    work_ns -= left;
    at += period - into;
  }
}

static inline uint64_t paced_due(paced *p, const gt_io *io) {
  uint64_t now = p->world->now_ns;
  if (io->cdb[0] == GT_WRITE_6) return gt_stream_write(&p->stream, io->data_len, now);
  if (io->cdb[0] == GT_WRITE_FILEMARKS_6) return gt_stream_flush(&p->stream, now);
  if (!p->bytes_per_s) return now;
  uint64_t work_ns = (uint64_t)((double)io->data_len * 1e9 / (double)p->bytes_per_s);
  p->free_ns = paced_served(p, p->free_ns > now ? p->free_ns : now, work_ns);
  return p->free_ns;
}

static int paced_submit(gt_lu *lu, gt_io *io) {
  paced *p = (paced *)lu;
  pthread_mutex_lock(&p->world->lock);
  FAKE_MUST(p->queued < PACED_QUEUE);
  p->queue[p->queued] = io;
  p->due_ns[p->queued++] = paced_due(p, io);
  pthread_mutex_unlock(&p->world->lock);
  return 0;
}

static gt_io *paced_take(paced *p) {
  if (!p->queued || p->due_ns[0] > p->world->now_ns) return NULL;
  gt_io *io = p->queue[0];
  p->queued--;
  memmove(p->queue, p->queue + 1, p->queued * sizeof p->queue[0]);
  memmove(p->due_ns, p->due_ns + 1, p->queued * sizeof p->due_ns[0]);
  return io;
}

/* The engine waits for answers here, and for nothing that has a time limit of its own. */
static int paced_poll(gt_lu *lu, int timeout_ms) {
  paced *p = (paced *)lu;
  int answered = 0;
  pthread_mutex_lock(&p->world->lock);
  for (;;) {
    gt_io *io;
    while ((io = paced_take(p))) {
      pthread_mutex_unlock(&p->world->lock);
      io->done(io); /* all zero: GOOD, and a drive that does not say where it is */
      answered++;
      pthread_mutex_lock(&p->world->lock);
    }
    if (answered || p->woken || !p->queued || timeout_ms == 0) break;
    pthread_cond_wait(&p->world->moved, &p->world->lock);
  }
  p->woken = false;
  pthread_mutex_unlock(&p->world->lock);
  return answered;
}

static void paced_wake(gt_lu *lu) {
  paced *p = (paced *)lu;
  pthread_mutex_lock(&p->world->lock);
  p->woken = true;
  pthread_cond_broadcast(&p->world->moved);
  pthread_mutex_unlock(&p->world->lock);
}

static int paced_abort(gt_lu *lu, gt_io *io) {
  (void)lu, (void)io;
  return -EOPNOTSUPP;
}

static inline void paced_open(paced *p, paced_world *world) {
  static const gt_lu_ops ops = {
      .name = "paced", .submit = paced_submit, .poll = paced_poll, .wake = paced_wake, .abort = paced_abort};
  memset(p, 0, sizeof *p);
  p->lu.ops = &ops;
  p->lu.limits = (gt_lu_limits){.max_transfer = 16 << 20, .max_queue = 16};
  p->world = world;
}

/* The engine's threads, by what /proc says of them. */
typedef struct paced_threads {
  int status[2];
} paced_threads;

static inline void paced_find_threads(paced_threads *threads) {
  unsigned found = 0;
  struct dirent *entry;
  DIR *tasks = opendir("/proc/self/task");
  while (tasks && (entry = readdir(tasks))) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.16s/status", entry->d_name);
    int fd = open(path, O_RDONLY);
    if (fd >= 0 && pread(fd, text, sizeof text - 1, 0) > 0 && strstr(text, "gantry-") && found < 2)
      threads->status[found++] = fd;
    else if (fd >= 0)
      close(fd);
  }
  closedir(tasks);
  FAKE_MUST(found == 2);
}

/* How often the thread has gone to sleep, or 0 while it runs. One that has ended sleeps for good. */
static inline unsigned long paced_asleep(int status) {
  char text[4096];
  ssize_t got = pread(status, text, sizeof text - 1, 0);
  if (got <= 0) return 1;
  text[got] = 0;
  if (!strstr(text, "State:\tS")) return 0;
  const char *count = strstr(text, "\nvoluntary_ctxt_switches:");
  return count ? 1 + strtoul(count + strlen("\nvoluntary_ctxt_switches:"), NULL, 10) : 0;
}

/* Both sleep, and neither did anything between two looks at both: only the clock can wake them. */
static inline bool paced_quiet(const paced_threads *threads) {
  unsigned long first[2];
  for (int i = 0; i < 2; i++)
    if (!(first[i] = paced_asleep(threads->status[i]))) return false;
  for (int i = 0; i < 2; i++)
    if (paced_asleep(threads->status[i]) != first[i]) return false;
  return true;
}

/* Runs what was appended to its end. */
static inline uint8_t paced_run(rig *r, paced_world *world, const paced *a, const paced *b) {
  paced_threads threads;
  paced_find_threads(&threads);
  while (!rig_take(r)) {
    if (!paced_quiet(&threads)) {
      sched_yield();
      continue;
    }
    pthread_mutex_lock(&world->lock);
    uint64_t next = UINT64_MAX;
    if (a->queued) next = a->due_ns[0];
    if (b->queued && b->due_ns[0] < next) next = b->due_ns[0];
    if (next > world->now_ns && next != UINT64_MAX) {
      world->now_ns = next;
      pthread_cond_broadcast(&world->moved);
    }
    pthread_mutex_unlock(&world->lock);
  }
  for (int i = 0; i < 2; i++)
    close(threads.status[i]);
  gt_copy_stats_get(r->copy, &r->stats);
  return r->done.result;
}

#endif
