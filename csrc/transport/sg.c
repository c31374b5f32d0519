/* Linux SCSI generic transport: commands are written to and read from /dev/sgN as sg_io_hdr, version 3, to a disk up
 * to SG_MAX_QUEUE at a time; more wait here. To a tape or a changer there is one at a time: what the block layer cannot
 * dispatch at once it puts back behind what has come meanwhile (block/blk-mq.c, blk_mq_dispatch_rq_list), so that tape
 * blocks sent ahead would change places.
 *
 * Limits of the driver: it has no way to abort one command, so abort() takes back only what has not been
 * given to the kernel; the rest ends by its answer or by timeout_ms, after which the kernel's error handler
 * aborts it and the answer is GT_TIMED_OUT. A transfer that has more data than room is cut without telling:
 * resid is never negative.
 *
 * A device that is removed: the driver takes nothing more and says POLLHUP at once, but what it has it still carries
 * out and answers, or the host adapter gives it up (drivers/scsi/sg.c, sg_poll, sg_rq_end_io). That is waited for: the
 * answers are true, and until they are there the adapter may still use the caller's pages. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io_list.h"
#include "sg_header.h"

enum {
  SG_QUEUE = 16,          /* SG_MAX_QUEUE of the driver: commands outstanding on one descriptor */
  LEAVING_SLICE_MS = 5,   /* POLLHUP stays, so that poll(2) does not wait any more */
  LEAVING_MOST_MS = 30000 /* for the answers of a removed device, unless its adapter may use the caller's pages */
};

typedef struct gt_sg {
  gt_lu lu;
  int fd, wake_fd;
  bool direct_io;
  bool gone;           /* the device was removed: nothing is sent any more */
  uint64_t leaving_ns; /* since when, while answers may still come; else 0 */
  uint32_t sent, depth;
  gt_io *slots[SG_QUEUE]; /* what the kernel has */
  gt_io_list waiting, finished;
} gt_sg;

/* 0, or a negative errno; -EAGAIN: the driver has no room or memory now, and will when another ends. */
static int send_one(gt_sg *sg, gt_io *io) {
  sg_io_hdr_t header;
  gt_sg_request(io, sg->direct_io, &header);
  ssize_t written = write(sg->fd, &header, sizeof header);
  if (written == (ssize_t)sizeof header) {
    for (int i = 0; i < SG_QUEUE; i++) {
      if (sg->slots[i]) continue;
      sg->slots[i] = io;
      break;
    }
    sg->sent++;
    return 0;
  }
  int error = written < 0 ? errno : EIO;
  bool full = error == EDOM || error == ENOMEM || error == EAGAIN || error == EINTR;
  if (full && sg->sent) return -EAGAIN;
  /* With nothing outstanding no answer would ever send it again: a command that waits for that would hang. */
  return error == EAGAIN ? -EBUSY : -error;
}

static void send_waiting(gt_sg *sg) {
  while (sg->waiting.first && sg->sent < sg->depth && !sg->gone) {
    gt_io *io = sg->waiting.first;
    int result = send_one(sg, io);
    if (result == -EAGAIN) return;
    gt_io_list_pop(&sg->waiting);
    if (result) gt_io_list_push(&sg->finished, io); /* outcome is still GT_TRANSPORT */
  }
}

static int sg_submit(gt_lu *lu, gt_io *io) {
  gt_sg *sg = (gt_sg *)lu;
  if (sg->gone) return -ENODEV;
  if (io->cdb_len < 6 || io->cdb_len > GT_CDB_MAX) return -EINVAL;
  if (io->dir > GT_DIR_OUT || io->data_len > lu->limits.max_transfer) return -EINVAL;
  if (io->dir != GT_DIR_NONE && io->data_len && !io->data) return -EINVAL;
  gt_io_clear_answer(io);
  if (!sg->waiting.first && sg->sent < sg->depth) {
    int result = send_one(sg, io);
    if (result != -EAGAIN) return result;
  }
  gt_io_list_push(&sg->waiting, io);
  return 0;
}

static bool take_slot(gt_sg *sg, const gt_io *io) {
  for (int i = 0; i < SG_QUEUE; i++) {
    if (!io || sg->slots[i] != io) continue;
    sg->slots[i] = NULL;
    sg->sent--;
    return true;
  }
  return false;
}

/* Nobody will answer any more. */
static void give_up(gt_sg *sg, uint8_t outcome) {
  sg->gone = true;
  sg->leaving_ns = 0;
  for (int i = 0; i < SG_QUEUE; i++) {
    gt_io *io = sg->slots[i];
    if (!take_slot(sg, io)) continue;
    io->outcome = outcome;
    gt_io_list_push(&sg->finished, io);
  }
  for (gt_io *io; (io = gt_io_list_pop(&sg->waiting));) {
    io->outcome = outcome;
    gt_io_list_push(&sg->finished, io);
  }
}

/* Reads every answer that is there. */
static void receive(gt_sg *sg) {
  while (sg->sent) {
    sg_io_hdr_t header = {.interface_id = 'S', .pack_id = -1};
    ssize_t got = read(sg->fd, &header, sizeof header);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || (errno == ENODEV && sg->leaving_ns))) return;
    if (got != (ssize_t)sizeof header) {
      give_up(sg, GT_TRANSPORT);
      return;
    }
    gt_io *io = header.usr_ptr;
    if (!take_slot(sg, io)) continue; /* not one of ours; nothing to tell anybody */
    gt_sg_answer(&header, io);
    gt_io_list_push(&sg->finished, io);
  }
}

/* The device was removed. Kernels before 5.6 say ENODEV for "no answer yet" here. */
static void take_leave(gt_sg *sg) {
  sg->gone = true;
  if (!sg->leaving_ns) sg->leaving_ns = gt_now_ns();
  receive(sg);
  bool late = !sg->direct_io && gt_now_ns() - sg->leaving_ns > LEAVING_MOST_MS * 1000000ull;
  if (!sg->sent || late) give_up(sg, GT_TRANSPORT);
}

static bool wait_once(gt_sg *sg, int wait_ms) {
  bool leaving = sg->leaving_ns != 0;
  struct pollfd wait[2] = {{.fd = sg->wake_fd, .events = POLLIN},
                           {.fd = sg->sent && !leaving ? sg->fd : -1, .events = POLLIN}};
  if (leaving && (wait_ms < 0 || wait_ms > LEAVING_SLICE_MS)) wait_ms = LEAVING_SLICE_MS;
  int ready = poll(wait, 2, wait_ms);
  if (leaving) take_leave(sg);
  if (ready <= 0) return false;
  if (wait[1].revents & POLLIN)
    receive(sg);
  else if (wait[1].revents & (POLLHUP | POLLERR | POLLNVAL))
    take_leave(sg);
  uint64_t count;
  return (wait[0].revents & POLLIN) && read(sg->wake_fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static int run_done(gt_sg *sg) {
  /* Those that finish because of what `done` does are for the next poll, so that this one ends. */
  gt_io_list ready = sg->finished;
  sg->finished = (gt_io_list){NULL, NULL};
  int count = 0;
  for (gt_io *io; (io = gt_io_list_pop(&ready)); count++)
    gt_lu_done(&sg->lu, io);
  return count;
}

static int sg_poll(gt_lu *lu, int timeout_ms) {
  gt_sg *sg = (gt_sg *)lu;
  uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : gt_now_ns() + (uint64_t)timeout_ms * 1000000u;
  for (;;) {
    send_waiting(sg);
    bool idle = !sg->sent && !sg->waiting.first;
    bool woken = wait_once(sg, idle || sg->finished.first ? 0 : gt_wait_ms(gt_now_ns(), until_ns, -1));
    int count = run_done(sg);
    send_waiting(sg);
    if (count || woken || idle || gt_now_ns() >= until_ns) return count;
  }
}

static void sg_wake(gt_lu *lu) {
  uint64_t one = 1;
  /* Fails only when the counter is at its limit, and then a wake is pending already. */
  ssize_t written = write(((gt_sg *)lu)->wake_fd, &one, sizeof one);
  (void)written;
}

static int sg_abort(gt_lu *lu, gt_io *io) {
  gt_sg *sg = (gt_sg *)lu;
  if (gt_io_list_remove(&sg->waiting, io)) {
    io->outcome = GT_ABORTED;
    gt_io_list_push(&sg->finished, io);
    return 0;
  }
  for (int i = 0; i < SG_QUEUE; i++)
    if (sg->slots[i] == io) return -EOPNOTSUPP;
  return -ENOENT;
}

/* With direct I/O the adapter writes into the caller's pages whether the descriptor is open or not, so that
 * those commands must be waited for (at most their timeout_ms); else the kernel's own buffers are in between
 * and the driver cleans up by itself. */
static void sg_close(gt_lu *lu) {
  gt_sg *sg = (gt_sg *)lu;
  for (gt_io *io; (io = gt_io_list_pop(&sg->waiting));) {
    io->outcome = GT_ABORTED;
    gt_io_list_push(&sg->finished, io);
  }
  while (sg->direct_io && sg->sent)
    wait_once(sg, -1);
  sg->gone = true; /* a submit from done is refused */
  give_up(sg, GT_ABORTED);
  while (sg->finished.first)
    run_done(sg);
  close(sg->fd);
  close(sg->wake_fd);
  free(sg);
}

static const gt_lu_ops sg_ops = {
    .name = "sg",
    .submit = sg_submit,
    .poll = sg_poll,
    .wake = sg_wake,
    .abort = sg_abort,
    .close = sg_close,
};

int gt_sg_attach(int fd, const gt_lu_limits *limits, bool direct_io, gt_lu **out) {
  gt_sg *sg = calloc(1, sizeof *sg);
  if (!sg) return -ENOMEM;
  sg->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (sg->wake_fd < 0) {
    int error = errno;
    free(sg);
    return -error;
  }
  sg->lu.ops = &sg_ops;
  sg->lu.limits = *limits;
  sg->fd = fd;
  sg->depth = limits->max_queue < SG_QUEUE ? limits->max_queue : SG_QUEUE;
  sg->direct_io = direct_io;
  *out = &sg->lu;
  return 0;
}
