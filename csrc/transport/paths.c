/* The poller's half of paths.h: which path a command takes, and what becomes of it when that path fails.
 *
 * A path that lost a command is let go of as soon as there is another one: nothing more is sent over it, and it is
 * closed when the rest of what it has is answered, so that two paths never have the same buffer at the same time. The
 * last path stays, whatever it does, until its transport says that it is gone. */
#include "paths.h"

#include <errno.h>
#include <string.h>

#include "../core/scsi.h"
#include "paths_impl.h"

/* gt_io.priv of a caller's command. */
enum { PRIV_SEQUENCE, PRIV_TRIES, PRIV_LOST };

static gt_paths *of(gt_lu *lu) { return (gt_paths *)lu; }

static bool again(const gt_paths *paths, const gt_io *io) {
  return paths->options.again[io->cdb[0] >> 3] >> (io->cdb[0] & 7) & 1;
}

static void finish(gt_paths *paths, gt_io *io, uint8_t outcome) {
  io->outcome = outcome;
  gt_io_list_push(&paths->finished, io);
}

/* Nobody knows whether it was carried out: what follows it and must keep its place has to wait until its caller knows.
 */
static void finish_lost(gt_paths *paths, gt_io *io) {
  io->priv[PRIV_LOST] = 1;
  paths->lost++;
  finish(paths, io, GT_TRANSPORT);
}

/* In the order in which the commands came. */
static void wait_in_order(gt_paths *paths, gt_io *io) {
  gt_io **at = &paths->waiting.first;
  while (*at && (*at)->priv[PRIV_SEQUENCE] < io->priv[PRIV_SEQUENCE])
    at = &(*at)->next;
  io->next = *at;
  *at = io;
  if (!io->next) paths->waiting.last = io;
}

/* An answer that is no unit attention, to a command that was sent after another path came: the unit was not reset when
 * that path was told of a reset, its nexus was only new. */
static void confirm(gt_paths *paths, const gt_io *io, const gt_way *by) {
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    gt_way *way = &paths->ways[i];
    if (way != by && way->held.len && io->priv[PRIV_SEQUENCE] >= way->since) way->held.len = 0;
  }
}

static void failed(gt_paths *paths, gt_way *way, gt_io *io, bool asked) {
  gt_ways_count_failure(paths, way);
  if (!way->dying && gt_ways_another(paths, way)) gt_ways_let_go(paths, way);
  if (!way->dying) return finish(paths, io, GT_TRANSPORT); /* the last one */
  if (!again(paths, io)) return finish_lost(paths, io);
  if (asked || ++io->priv[PRIV_TRIES] > GT_PATHS_MAX) return finish(paths, io, GT_TRANSPORT);
  gt_io_clear_answer(io);
  wait_in_order(paths, io);
}

static void answered(gt_io *inner) {
  gt_slot *slot = inner->owner;
  gt_paths *paths = slot->paths;
  gt_way *way = slot->way;
  gt_io *io = slot->outer;
  bool asked = slot->asked;
  io->outcome = inner->outcome;
  io->status = inner->status;
  io->sense_len = inner->sense_len;
  memcpy(io->sense, inner->sense, sizeof io->sense);
  io->resid = inner->resid;
  io->host_status = inner->host_status;
  io->driver_status = inner->driver_status;
  slot->outer = NULL;
  slot->next = paths->free;
  paths->free = slot;
  paths->sent--;
  way->sent--;
  if (!again(paths, io)) way->once--;
  if (paths->closing) return finish(paths, io, io->outcome == GT_DELIVERED ? GT_DELIVERED : GT_ABORTED);
  switch (io->outcome) {
  case GT_DELIVERED:
    if (io->status == GT_STATUS_GOOD) confirm(paths, io, way);
    return finish(paths, io, GT_DELIVERED);
  case GT_TIMED_OUT: {
    /* The path may be dead or the device slow: the next ones try the other way, but not while it has commands that must
     * keep their order. */
    gt_ways_count_failure(paths, way);
    gt_way *other = gt_ways_another(paths, way);
    if (other && paths->active == way && !way->once) gt_ways_choose(paths, other);
    return finish(paths, io, GT_TIMED_OUT);
  }
  case GT_ABORTED:
    if (asked) return finish(paths, io, GT_ABORTED);
    break;
  default: break;
  }
  failed(paths, way, io, asked);
}

/* ---- sending ---- */

static bool is_gone(int error) {
  return error == -ENODEV || error == -ENOTCONN || error == -ESHUTDOWN || error == -ENXIO || error == -EPIPE;
}

/* Commands that must keep their place are still with a path that fails, or their callers do not know yet. */
static bool fenced(const gt_paths *paths) {
  if (paths->lost) return true;
  for (int i = 0; i < GT_PATHS_MAX; i++)
    if (paths->ways[i].dying && paths->ways[i].once) return true;
  return false;
}

static bool tells_attention(const gt_io *io) {
  return io->cdb[0] != GT_INQUIRY && io->cdb[0] != GT_REPORT_LUNS && io->cdb[0] != GT_REQUEST_SENSE;
}

static void answer_held(gt_paths *paths, gt_way *way, gt_io *io) {
  io->status = GT_STATUS_CHECK_CONDITION;
  io->sense_len = way->held.len;
  memcpy(io->sense, way->held.sense, way->held.len);
  way->held.len = 0;
  finish(paths, io, GT_DELIVERED);
}

/* 0: sent, or its answer is known; -EAGAIN: not now; -ENODEV: no path is left; else what is wrong with the command. */
static int send(gt_paths *paths, gt_io *io) {
  for (;;) {
    gt_way *way = paths->active;
    if (!way) return -ENODEV;
    if (!again(paths, io) && fenced(paths)) {
      finish_lost(paths, io);
      return 0;
    }
    if (way->held.len && tells_attention(io)) {
      answer_held(paths, way, io);
      return 0;
    }
    gt_slot *slot = paths->free;
    if (!slot) return -EAGAIN;
    slot->io = *io;
    slot->io.done = answered;
    slot->io.owner = slot;
    slot->io.next = NULL;
    slot->way = way;
    slot->asked = false;
    int error = gt_lu_submit(way->lu, &slot->io);
    if (!error) {
      slot->outer = io;
      paths->free = slot->next;
      paths->sent++;
      way->sent++;
      if (!again(paths, io)) way->once++;
      return 0;
    }
    if (!is_gone(error))
      return (error == -EBUSY || error == -EAGAIN || error == -ENOBUFS) && paths->sent ? -EAGAIN : error;
    gt_ways_count_failure(paths, way);
    gt_ways_let_go(paths, way);
  }
}

static void send_waiting(gt_paths *paths) {
  for (gt_io *io; (io = paths->waiting.first);) {
    gt_io_list_pop(&paths->waiting);
    int error = send(paths, io);
    if (error == -EAGAIN) {
      wait_in_order(paths, io);
      return;
    }
    if (error) finish(paths, io, GT_TRANSPORT);
  }
}

static int paths_submit(gt_lu *lu, gt_io *io) {
  gt_paths *paths = of(lu);
  if (paths->closing) return -ESHUTDOWN;
  if (io->cdb_len < 6 || io->cdb_len > GT_CDB_MAX) return -EINVAL;
  if (io->dir > GT_DIR_OUT || io->data_len > lu->limits.max_transfer) return -EINVAL;
  if (io->dir != GT_DIR_NONE && io->data_len && !io->data) return -EINVAL;
  gt_ways_take_mail(paths);
  gt_io_clear_answer(io);
  io->priv[PRIV_SEQUENCE] = paths->sequence++;
  io->priv[PRIV_TRIES] = io->priv[PRIV_LOST] = 0;
  int error = paths->waiting.first ? -EAGAIN : send(paths, io);
  if (error != -EAGAIN) return error;
  gt_io_list_push(&paths->waiting, io);
  return 0;
}

/* ---- waiting ---- */

/* Those that finish because of what `done` does are for the next poll, so that this one ends. */
static int run_done(gt_paths *paths) {
  gt_io_list ready = paths->finished;
  paths->finished = (gt_io_list){NULL, NULL};
  uint32_t told = 0;
  int count = 0;
  for (gt_io *io; (io = gt_io_list_pop(&ready)); count++) {
    told += io->priv[PRIV_LOST] != 0;
    gt_lu_done(&paths->lu, io);
  }
  paths->lost -= told;
  return count;
}

static int paths_poll(gt_lu *lu, int timeout_ms) {
  gt_paths *paths = of(lu);
  uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : gt_now_ns() + (uint64_t)timeout_ms * 1000000u;
  for (;;) {
    gt_ways_take_mail(paths);
    gt_ways_tend(paths);
    send_waiting(paths);
    bool idle = !paths->sent && !paths->waiting.first;
    bool woken = gt_ways_wait(paths, idle || paths->finished.first ? 0 : gt_wait_ms(gt_now_ns(), until_ns, -1));
    send_waiting(paths);
    int count = run_done(paths);
    if (count || woken || idle || gt_now_ns() >= until_ns) return count;
  }
}

static void paths_wake(gt_lu *lu) {
  gt_paths *paths = of(lu);
  pthread_mutex_lock(&paths->lock);
  gt_paths_stir(paths);
  pthread_mutex_unlock(&paths->lock);
}

static int paths_abort(gt_lu *lu, gt_io *io) {
  gt_paths *paths = of(lu);
  if (gt_io_list_remove(&paths->waiting, io)) {
    finish(paths, io, GT_ABORTED);
    return 0;
  }
  for (int i = 0; i < GT_PATHS_SLOTS; i++) {
    gt_slot *slot = &paths->slots[i];
    if (slot->outer != io) continue;
    slot->asked = true;
    return gt_lu_abort(slot->way->lu, &slot->io);
  }
  return -ENOENT;
}

static void paths_close(gt_lu *lu) {
  gt_paths *paths = of(lu);
  paths->closing = true; /* a submit from done is refused */
  gt_lu *unused[GT_PATHS_MAX];
  pthread_mutex_lock(&paths->lock);
  paths->closed = true;
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    unused[i] = paths->rows[i].incoming;
    paths->rows[i].incoming = NULL;
    paths->rows[i].fact.state = 0;
  }
  pthread_mutex_unlock(&paths->lock);
  for (int i = 0; i < GT_PATHS_MAX; i++) {
    if (unused[i]) gt_lu_close(unused[i]);
    if (paths->ways[i].lu) gt_lu_close(paths->ways[i].lu);
    paths->ways[i].lu = NULL;
  }
  for (gt_io *io; (io = gt_io_list_pop(&paths->waiting));)
    finish(paths, io, GT_ABORTED);
  while (paths->finished.first)
    run_done(paths);
  gt_paths_tell(paths);
  gt_paths_unref(paths);
}

const gt_lu_ops gt_paths_ops = {
    .name = "paths",
    .submit = paths_submit,
    .poll = paths_poll,
    .wake = paths_wake,
    .abort = paths_abort,
    .close = paths_close,
};
