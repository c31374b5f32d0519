/* The virtual transport: an emulated device of this process, as one I_T nexus. submit only queues; the
 * commands run in order on the poller's thread inside poll. A command that a fault delays or the pace holds
 * back has done its work already, and keeps its answer until it is due: that wait is poll's own, so that
 * wake and close end it at once. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "device/impl.h"
#include "transport/lu.h"

enum { MAX_TRANSFER = 16 << 20, MAX_QUEUE = 64 };

typedef struct gt_virtual {
  gt_lu lu;
  gt_device *device;
  int nexus;
  bool closing;
  /* The poller's own: commands in order. Only the first may have run, and then waits for `due_ns`. */
  gt_io *first, **last;
  unsigned queued;
  bool first_ran;
  uint64_t due_ns;
  /* wake, from any thread. */
  atomic_bool woken;
  pthread_mutex_t lock;
  pthread_cond_t condition;
} gt_virtual;

/* gt_io.priv[0]: the caller asked for this command to be aborted. */
enum { PRIV_ABORTED = 0 };

static int virtual_submit(gt_lu *lu, gt_io *io) {
  gt_virtual *self = (gt_virtual *)lu;
  if (self->closing) return -ESHUTDOWN;
  if (io->cdb_len < 6 || io->cdb_len > GT_CDB_MAX || (io->data_len && !io->data)) return -EINVAL;
  if (io->dir > GT_DIR_OUT || io->data_len > lu->limits.max_transfer) return -EINVAL;
  io->next = NULL;
  io->priv[PRIV_ABORTED] = 0;
  *self->last = io;
  self->last = &io->next;
  self->queued++;
  return 0;
}

static void finish_first(gt_virtual *self) {
  gt_io *io = self->first;
  self->first = io->next;
  if (!self->first) self->last = &self->first;
  self->first_ran = false;
  self->queued--;
  io->next = NULL;
  gt_lu_done(&self->lu, io);
}

static void unanswered(gt_io *io, gt_outcome outcome) {
  io->outcome = (uint8_t)outcome;
  io->status = 0;
  io->sense_len = 0;
  io->resid = io->data_len > INT32_MAX ? INT32_MAX : (int32_t)io->data_len;
  io->host_status = io->driver_status = 0;
}

/* Runs the first command, or looks again at one that ran. False: its answer is not due yet. */
static bool first_is_ready(gt_virtual *self) {
  gt_io *io = self->first;
  if (io->priv[PRIV_ABORTED]) {
    unanswered(io, GT_ABORTED);
    return true;
  }
  if (!self->first_ran) {
    gt_device_run(self->device, self->nexus, io, &self->due_ns);
    self->first_ran = true;
    if (!self->due_ns) return true;
    /* The time that a command may take counts from its start: in order, it does not pay for others. */
    uint64_t limit_ns = gt_now_ns() + (uint64_t)io->timeout_ms * 1000000u;
    if (io->timeout_ms && self->due_ns > limit_ns) {
      unanswered(io, GT_TIMED_OUT);
      self->due_ns = limit_ns;
    }
  }
  return gt_now_ns() >= self->due_ns;
}

static struct timespec as_timespec(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* Sleeps until a time or a wake. */
static void wait_until(gt_virtual *self, uint64_t until_ns) {
  struct timespec until = as_timespec(until_ns);
  int error = 0;
  pthread_mutex_lock(&self->lock);
  while (!atomic_load(&self->woken) && error != ETIMEDOUT)
    error = pthread_cond_timedwait(&self->condition, &self->lock, &until);
  pthread_mutex_unlock(&self->lock);
}

static int virtual_poll(gt_lu *lu, int timeout_ms) {
  gt_virtual *self = (gt_virtual *)lu;
  uint64_t until_ns = timeout_ms > 0 ? gt_now_ns() + (uint64_t)timeout_ms * 1000000u : 0;
  /* Commands that done submits wait for the next poll, so that this one ends. */
  unsigned budget = self->queued;
  int completed = 0;
  while ((unsigned)completed < budget) {
    if (first_is_ready(self)) {
      finish_first(self);
      completed++;
      continue;
    }
    if (completed || timeout_ms == 0 || atomic_load(&self->woken)) break;
    if (timeout_ms > 0 && gt_now_ns() >= until_ns) break;
    bool sooner = timeout_ms > 0 && until_ns < self->due_ns;
    wait_until(self, sooner ? until_ns : self->due_ns);
  }
  atomic_exchange(&self->woken, false); /* what the waker did before is seen by our caller */
  return completed;
}

static void virtual_wake(gt_lu *lu) {
  gt_virtual *self = (gt_virtual *)lu;
  pthread_mutex_lock(&self->lock);
  atomic_store(&self->woken, true);
  pthread_cond_signal(&self->condition);
  pthread_mutex_unlock(&self->lock);
}

/* A command that waits for its answer is given up, though its work is done; one that waits for its turn
 * never starts. */
static int virtual_abort(gt_lu *lu, gt_io *io) {
  gt_virtual *self = (gt_virtual *)lu;
  for (gt_io *each = self->first; each; each = each->next) {
    if (each != io) continue;
    io->priv[PRIV_ABORTED] = 1;
    return 0;
  }
  return -ENOENT;
}

static void virtual_close(gt_lu *lu) {
  gt_virtual *self = (gt_virtual *)lu;
  self->closing = true;
  while (self->first) {
    unanswered(self->first, GT_ABORTED);
    finish_first(self);
  }
  gt_device_detach(self->device, self->nexus);
  gt_device_unref(self->device);
  pthread_cond_destroy(&self->condition);
  pthread_mutex_destroy(&self->lock);
  free(self);
}

static const gt_lu_ops virtual_ops = {
    .name = "virtual",
    .submit = virtual_submit,
    .poll = virtual_poll,
    .wake = virtual_wake,
    .abort = virtual_abort,
    .close = virtual_close,
};

static int init_waiting(gt_virtual *self) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error) return -error;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  error = pthread_cond_init(&self->condition, &attributes);
  pthread_condattr_destroy(&attributes);
  if (error) return -error;
  error = pthread_mutex_init(&self->lock, NULL);
  if (error) pthread_cond_destroy(&self->condition);
  return -error;
}

int gt_virtual_open(gt_device *device, gt_lu **out) {
  gt_virtual *self = calloc(1, sizeof *self);
  if (!self) return -ENOMEM;
  self->lu.ops = &virtual_ops;
  bool paced = atomic_load(&device->bytes_per_s) != 0;
  self->lu.limits = (gt_lu_limits){.max_transfer = MAX_TRANSFER, .max_queue = MAX_QUEUE, .immediate = !paced};
  self->last = &self->first;
  atomic_init(&self->woken, false);
  int error = init_waiting(self);
  if (error) {
    free(self);
    return error;
  }
  self->nexus = gt_device_attach(device);
  if (self->nexus < 0) {
    error = self->nexus;
    pthread_cond_destroy(&self->condition);
    pthread_mutex_destroy(&self->lock);
    free(self);
    return error;
  }
  self->device = gt_device_ref(device);
  *out = &self->lu;
  return 0;
}
