/* iSCSI initiator transport (RFC 7143), by libiscsi, on the poller's thread. Data goes straight between the
 * socket and the caller's buffer.
 *
 * The library's callbacks only note what happened; `done` is called after the library has returned. A
 * session is never reconnected: when the link is lost everything ends as GT_TRANSPORT, and whoever needs the
 * LU opens it anew, so that no command is ever repeated behind the caller's back.
 *
 * The library may still hold Data-Out PDUs that point at the buffer of a command that has been answered or
 * aborted. Such a command is not given back before they have left (LINGERING, ABORTED); nothing new is sent
 * meanwhile, so that this ends.
 *
 * Known gap: libiscsi 1.19 looks at the response code of a SCSI Response only when a residual flag is set. A
 * target that says "target failure" (RFC 7143 11.4.3, code 01h) with neither flag is taken for GOOD there.
 * READ commands are guarded against that (iscsi_task.c); for others nothing that the library offers tells
 * the two apart. Nor does looking ahead into the socket: the library reads on until there is nothing more while any
 * command is outstanding, and so may take a response that has come after the look.
 *
 * Cost per command: the library takes its PDU and header from a cache of its own; a CHECK CONDITION costs
 * it two small allocations. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "iscsi_session.h"

static bool can_start(const gt_iscsi *session) { return session->free_slots && !session->settling && !session->lost; }

static void start_waiting(gt_iscsi *session) {
  while (session->waiting.first && can_start(session)) {
    gt_io *io = gt_io_list_pop(&session->waiting);
    if (gt_iscsi_start(session, io, io->priv[1]) == 0) continue;
    session->busy--;
    gt_io_list_push(&session->finished, io); /* outcome is still GT_TRANSPORT */
  }
}

static int iscsi_submit(gt_lu *lu, gt_io *io) {
  gt_iscsi *session = (gt_iscsi *)lu;
  if (!session->context || session->lost) return -ENOTCONN;
  if (io->cdb_len < 6 || io->cdb_len > SCSI_CDB_MAX_SIZE) return -EINVAL; /* no AHS: no 32-byte CDBs */
  if (io->dir > GT_DIR_OUT || io->data_len > lu->limits.max_transfer) return -EINVAL;
  if (io->dir != GT_DIR_NONE && io->data_len && !io->data) return -EINVAL;
  gt_io_clear_answer(io);
  if (io->dir == GT_DIR_NONE) io->resid = 0;
  uint64_t deadline_ns = io->timeout_ms ? gt_now_ns() + (uint64_t)io->timeout_ms * 1000000u : UINT64_MAX;
  if (session->waiting.first || !can_start(session)) {
    io->priv[0] = 0;
    io->priv[1] = deadline_ns;
    if (deadline_ns < session->next_deadline_ns) session->next_deadline_ns = deadline_ns;
    gt_io_list_push(&session->waiting, io);
  } else {
    int result = gt_iscsi_start(session, io, deadline_ns);
    if (result) return result;
  }
  session->busy++;
  return 0;
}

static int iscsi_abort(gt_lu *lu, gt_io *io) {
  gt_iscsi *session = (gt_iscsi *)lu;
  if (gt_io_list_remove(&session->waiting, io)) {
    io->outcome = GT_ABORTED;
    session->busy--;
    gt_io_list_push(&session->finished, io);
    return 0;
  }
  for (gt_iscsi_slot *slot = session->slots; slot < session->slots + GT_ISCSI_SLOTS; slot++) {
    if (slot->io != io) continue;
    if (slot->state == GT_SLOT_SENT && !session->lost) gt_iscsi_begin_abort(slot, GT_ABORTED);
    return 0;
  }
  return -ENOENT;
}

static void expire_waiting(gt_iscsi *session, uint64_t now, uint64_t *next) {
  for (gt_io *io = session->waiting.first, *following; io; io = following) {
    following = io->next;
    if (io->priv[1] > now) {
      if (io->priv[1] < *next) *next = io->priv[1];
      continue;
    }
    gt_io_list_remove(&session->waiting, io);
    io->outcome = GT_TIMED_OUT;
    session->busy--;
    gt_io_list_push(&session->finished, io);
  }
}

static void check_deadlines(gt_iscsi *session, uint64_t now) {
  if (now < session->next_deadline_ns) return;
  session->next_deadline_ns = UINT64_MAX;
  for (gt_iscsi_slot *slot = session->slots; slot < session->slots + GT_ISCSI_SLOTS; slot++) {
    if (slot->deadline_ns <= now) {
      if (slot->state == GT_SLOT_SENT)
        gt_iscsi_begin_abort(slot, GT_TIMED_OUT);
      else
        session->lost = true; /* the target does not even answer ABORT TASK */
    } else if (slot->deadline_ns < session->next_deadline_ns)
      session->next_deadline_ns = slot->deadline_ns;
  }
  uint64_t next = session->next_deadline_ns;
  expire_waiting(session, now, &next);
  session->next_deadline_ns = next;
}

static void on_nop(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context, (void)status, (void)data, (void)private_data;
}

static void keep_alive(gt_iscsi *session, uint64_t now) {
  uint64_t silence_ns = (uint64_t)GT_ISCSI_NOP_MS * 1000000u;
  if (now - session->heard_ns < silence_ns || now - session->nop_ns < silence_ns) return;
  session->nop_ns = now;
  iscsi_nop_out_async(session->context, on_nop, NULL, 0, NULL);
}

static void service(gt_iscsi *session, int revents) {
  if (!session->context) return;
  if (revents & POLLIN) session->heard_ns = gt_now_ns();
  if (iscsi_service(session->context, revents) || (revents & (POLLERR | POLLHUP | POLLNVAL)) ||
      !iscsi_is_logged_in(session->context))
    session->lost = true;
}

/* Everything that is due without waiting. */
static void advance(gt_iscsi *session) {
  if (!session->context) return;
  uint64_t now = gt_now_ns();
  check_deadlines(session, now);
  keep_alive(session, now);
  if (!session->lost) gt_iscsi_settle(session);
  start_waiting(session);
  if (!session->lost && (iscsi_which_events(session->context) & POLLOUT)) service(session, POLLOUT);
  if (session->lost) gt_iscsi_lose(session, GT_TRANSPORT);
}

static uint64_t next_event_ns(const gt_iscsi *session) {
  uint64_t nop_ns = (session->heard_ns > session->nop_ns ? session->heard_ns : session->nop_ns) +
                    (uint64_t)GT_ISCSI_NOP_MS * 1000000u;
  return session->next_deadline_ns < nop_ns ? session->next_deadline_ns : nop_ns;
}

/* Waits for the socket, a wake or a time; true when woken. */
static bool wait_once(gt_iscsi *session, int limit_ms) {
  struct pollfd wait[2] = {{.fd = session->wake_fd, .events = POLLIN}, {.fd = -1}};
  if (session->context) {
    wait[1].fd = iscsi_get_fd(session->context);
    wait[1].events = (short)iscsi_which_events(session->context);
  }
  int wait_ms = session->finished.first ? 0 : gt_wait_ms(gt_now_ns(), next_event_ns(session), limit_ms);
  if (poll(wait, 2, wait_ms) <= 0) return false;
  if (wait[1].revents) service(session, wait[1].revents);
  uint64_t count;
  return (wait[0].revents & POLLIN) && read(session->wake_fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static int run_done(gt_iscsi *session) {
  /* Those that finish because of what `done` does are for the next poll, so that this one ends. */
  gt_io_list ready = session->finished;
  session->finished = (gt_io_list){NULL, NULL};
  int count = 0;
  for (gt_io *io; (io = gt_io_list_pop(&ready)); count++)
    gt_lu_done(&session->lu, io);
  return count;
}

static int iscsi_poll(gt_lu *lu, int timeout_ms) {
  gt_iscsi *session = (gt_iscsi *)lu;
  uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : gt_now_ns() + (uint64_t)timeout_ms * 1000000u;
  for (;;) {
    advance(session);
    bool idle = !session->busy;
    int limit_ms = idle ? 0 : gt_wait_ms(gt_now_ns(), until_ns, -1);
    bool woken = wait_once(session, limit_ms);
    advance(session);
    int count = run_done(session);
    if (count || woken || idle || gt_now_ns() >= until_ns) return count;
  }
}

static void iscsi_wake(gt_lu *lu) {
  uint64_t one = 1;
  /* Fails only when the counter is at its limit, and then a wake is pending already. */
  ssize_t written = write(((gt_iscsi *)lu)->wake_fd, &one, sizeof one);
  (void)written;
}

static void iscsi_close(gt_lu *lu) {
  gt_iscsi *session = (gt_iscsi *)lu;
  if (session->context && !session->busy && !session->lost) {
    session->dying = true;
    gt_iscsi_logout(session->context);
    session->context = NULL;
  }
  gt_iscsi_lose(session, GT_ABORTED);
  while (session->finished.first)
    run_done(session); /* a submit from here is refused: there is no context */
  close(session->wake_fd);
  free(session);
}

static const gt_lu_ops iscsi_ops = {
    .name = "iscsi",
    .submit = iscsi_submit,
    .poll = iscsi_poll,
    .wake = iscsi_wake,
    .abort = iscsi_abort,
    .close = iscsi_close,
};

/* libiscsi takes the first two bytes of the LUN field; SAM-5 4.7.7.1 peripheral and 4.7.7.2 flat addressing. */
static int encode_lun(uint32_t lun, uint32_t *out) {
  if (lun > 0x3fff) return -EINVAL;
  *out = lun < 256 ? lun : 0x4000 | lun;
  return 0;
}

/* libiscsi writes with writev(2), which raises SIGPIPE on a connection that the peer has closed; the default
 * action would end the process. */
static void spare_sigpipe(void) {
  struct sigaction action;
  if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

static gt_iscsi *new_session(void) {
  gt_iscsi *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  session->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (session->wake_fd < 0) {
    free(session);
    return NULL;
  }
  session->lu.ops = &iscsi_ops;
  session->lu.limits = (gt_lu_limits){.max_transfer = GT_ISCSI_MAX_TRANSFER, .max_queue = GT_ISCSI_SLOTS / 2};
  session->next_deadline_ns = UINT64_MAX;
  if (getrandom(&session->random, sizeof session->random, 0) < 0) session->random = gt_now_ns();
  session->heard_ns = session->nop_ns = gt_now_ns();
  for (gt_iscsi_slot *slot = session->slots; slot < session->slots + GT_ISCSI_SLOTS; slot++) {
    slot->session = session;
    gt_iscsi_release(slot);
  }
  return session;
}

int gt_iscsi_open(const gt_iscsi_options *options, gt_lu **out, char *err, size_t err_len) {
  uint32_t lun;
  if (encode_lun(options->lun, &lun)) {
    if (err && err_len) snprintf(err, err_len, "LUN %u is larger than 16383", options->lun);
    return -EINVAL;
  }
  gt_iscsi *session = new_session();
  if (!session) {
    if (err && err_len) snprintf(err, err_len, "no memory or no file descriptor for an iSCSI session");
    return -ENOMEM;
  }
  spare_sigpipe();
  int result = gt_iscsi_login(options, &session->context, err, err_len);
  if (result) {
    close(session->wake_fd);
    free(session);
    return result;
  }
  session->lun = lun;
  *out = &session->lu;
  return 0;
}
