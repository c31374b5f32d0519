/* A reactor: one thread with its epoll set, pool and connections. A round: what the kernel and other threads say, a
 * read of each connection that has something, answers out, then those that were put off, then those that end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fabric/internal.h"

enum { EVENTS = 128, TICK_MS = 250 };
/* What an epoll event is about: the place of a connection, or one of these. */
#define WAKE (UINT64_C(1) << 62)
#define PORTAL (UINT64_C(1) << 63)

uint64_t gt_fabric_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void gt_reactor_wake(gt_reactor *reactor) {
  uint64_t one = 1;
  if (atomic_exchange(&reactor->wake_sent, true)) return;
  while (write(reactor->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

void gt_reactor_post(gt_reactor *reactor, gt_mail *mail) {
  mail->next = NULL;
  pthread_mutex_lock(&reactor->mail_lock);
  *reactor->mail_end = mail;
  reactor->mail_end = &mail->next;
  pthread_mutex_unlock(&reactor->mail_lock);
  gt_reactor_wake(reactor);
}

void gt_reactor_ready(gt_conn *conn) {
  gt_reactor *reactor = conn->reactor;
  if (conn->in_ready) return;
  conn->in_ready = true;
  conn->next_ready = NULL;
  *reactor->ready_end = conn;
  reactor->ready_end = &conn->next_ready;
}

/* ---- letters of the supervisor and of other reactors ---- */

static gt_conn *conn_of(gt_reactor *reactor, uint32_t id) {
  gt_target *target = reactor->target;
  gt_conn *conn = &target->conns[id % target->options.connections];
  pthread_mutex_lock(&target->lock);
  bool mine = id && conn->reactor == reactor && conn->id == id;
  pthread_mutex_unlock(&target->lock);
  return mine && conn->state < GT_CONN_DOOMED ? conn : NULL;
}

static void start_listening(gt_reactor *reactor, const gt_mail *mail) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = PORTAL | mail->portal};
  reactor->listeners[mail->portal] = mail->fd;
  if (epoll_ctl(reactor->epoll, EPOLL_CTL_ADD, mail->fd, &event)) return; /* the tick accepts */
  gt_portal_accept(reactor, mail->portal);
}

static void stop_listening(gt_reactor *reactor, uint32_t portal) {
  if (reactor->listeners[portal] >= 0) close(reactor->listeners[portal]);
  reactor->listeners[portal] = -1;
}

/* Frees what of the letter was not taken. */
static void open_mail(gt_reactor *reactor, gt_mail *mail) {
  gt_conn *conn = conn_of(reactor, mail->connection);
  switch (mail->kind) {
  case GT_MAIL_ADOPT: gt_conn_adopt(reactor, mail->fd, mail->portal, mail->peer); break;
  case GT_MAIL_LISTEN: start_listening(reactor, mail); break;
  case GT_MAIL_UNLISTEN: stop_listening(reactor, mail->portal); break;
  case GT_MAIL_STOP: reactor->stopping = true; break;
  case GT_MAIL_CLOSE_NEXUS:
    if (conn) gt_session_leave(conn, mail->async_event);
    break;
  case GT_MAIL_ANSWER:
    if (conn) {
      gt_session_answer(conn, mail->control, mail->enter ? &mail->params : NULL, mail->last);
      mail->control = NULL;
    }
    break;
  }
  free(mail->control);
}

static void take_mail(gt_reactor *reactor) {
  pthread_mutex_lock(&reactor->mail_lock);
  gt_mail *mail = reactor->mail;
  reactor->mail = NULL;
  reactor->mail_end = &reactor->mail;
  pthread_mutex_unlock(&reactor->mail_lock);
  while (mail) {
    gt_mail *next = mail->next;
    open_mail(reactor, mail);
    free(mail);
    mail = next;
  }
}

/* Units of other threads have answered. */
static void run_nexuses(gt_reactor *reactor) {
  if (!atomic_exchange(&reactor->nexus_woken, false)) return;
  for (uint32_t i = 0; i < reactor->mine_count; i++) {
    gt_conn *conn = reactor->mine[i];
    if (!atomic_exchange_explicit(&conn->woken, false, memory_order_acquire)) continue;
    if (conn->state == GT_CONN_FULL || conn->state == GT_CONN_LEAVING) {
      gt_nexus_run(conn->nexus);
      gt_conn_flush(conn);
    }
  }
}

static void hear(gt_reactor *reactor, const struct epoll_event *event) {
  if (event->data.u64 == WAKE) {
    uint64_t count;
    if (read(reactor->wake_fd, &count, sizeof count) < 0) return;
    atomic_store(&reactor->wake_sent, false);
    take_mail(reactor);
    return run_nexuses(reactor);
  }
  if (event->data.u64 & PORTAL) {
    uint32_t portal = (uint32_t)(event->data.u64 & 0xFF);
    if (reactor->listeners[portal] >= 0) gt_portal_accept(reactor, portal);
    return;
  }
  /* Connections end behind all events of a round, so none of these is about one that is no more. */
  gt_conn *conn = &reactor->target->conns[event->data.u64];
  if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) conn->hung_up = conn->readable = true;
  if (event->events & EPOLLIN) conn->readable = true;
  if (event->events & EPOLLOUT) conn->writable = true;
  gt_reactor_ready(conn);
}

/* ---- a round ---- */

static void serve(gt_conn *conn) {
  gt_conn_read(conn);
  gt_conn_flush(conn);
  bool more = conn->readable && !conn->paused && !conn->rx.left;
  if (more && (conn->state == GT_CONN_LOGIN || conn->state == GT_CONN_FULL)) gt_reactor_ready(conn);
}

static void serve_ready(gt_reactor *reactor) {
  gt_conn *conn = reactor->ready;
  reactor->ready = NULL;
  reactor->ready_end = &reactor->ready;
  while (conn) {
    gt_conn *next = conn->next_ready;
    conn->in_ready = false;
    serve(conn);
    conn = next;
  }
}

static void serve_stalled(gt_reactor *reactor) {
  if (!reactor->freed || !reactor->stalled) return;
  reactor->freed = reactor->stalled = false;
  for (uint32_t i = 0; i < reactor->mine_count; i++) {
    gt_conn *conn = reactor->mine[i];
    if (conn->state != GT_CONN_FULL || !(conn->paused || conn->waiting)) continue;
    gt_command_go_on(conn);
    if (conn->paused) gt_conn_resume(conn);
    if (conn->waiting) reactor->stalled = true;
    gt_conn_flush(conn);
  }
}

/* A connection that is still among the ready ones is settled a round later. */
static void serve_ending(gt_reactor *reactor) {
  if (!reactor->dooming && !reactor->ending) return;
  reactor->dooming = false;
  for (uint32_t i = 0; i < reactor->mine_count;) {
    gt_conn *conn = reactor->mine[i];
    if (conn->state == GT_CONN_DOOMED) gt_conn_bury(conn);
    if (conn->state == GT_CONN_ENDING && !conn->in_ready && gt_conn_settle(conn))
      reactor->mine[i] = reactor->mine[--reactor->mine_count];
    else
      i++;
  }
}

static void tick(gt_reactor *reactor) {
  if (reactor->now_ns - reactor->ticked_ns < TICK_MS * UINT64_C(1000000)) return;
  reactor->ticked_ns = reactor->now_ns;
  for (uint32_t portal = 0; portal < GT_PORTALS_MAX; portal++) {
    if (reactor->listeners[portal] >= 0) gt_portal_accept(reactor, portal);
  }
  for (uint32_t i = 0; i < reactor->mine_count; i++)
    gt_conn_tick(reactor->mine[i]);
}

static void stop(gt_reactor *reactor) {
  for (uint32_t portal = 0; portal < GT_PORTALS_MAX; portal++)
    stop_listening(reactor, portal);
  for (uint32_t i = 0; i < reactor->mine_count; i++)
    gt_conn_doom(reactor->mine[i]);
}

/* How long to sleep: not at all while there is work, or was a moment ago; else until the next look at the clock. */
static int patience(const gt_reactor *reactor, uint64_t worked_ns) {
  if (reactor->ready || (reactor->stalled && reactor->freed)) return 0;
  if (reactor->now_ns - worked_ns < reactor->target->options.spin_us * UINT64_C(1000)) return 0;
  if (reactor->ending) return 1;
  return reactor->mine_count ? TICK_MS : -1;
}

static void *run(void *context) {
  gt_reactor *reactor = context;
  struct epoll_event events[EVENTS];
  uint64_t worked_ns = 0;
  reactor->now_ns = gt_fabric_now();
  while (!reactor->stopping || reactor->mine_count) {
    int n = epoll_wait(reactor->epoll, events, EVENTS, patience(reactor, worked_ns));
    reactor->now_ns = gt_fabric_now();
    for (int i = 0; i < n; i++)
      hear(reactor, &events[i]);
    if (n > 0 || reactor->ready) worked_ns = reactor->now_ns;
    serve_ready(reactor);
    tick(reactor);
    serve_stalled(reactor);
    if (reactor->stopping) stop(reactor);
    serve_ending(reactor);
  }
  stop(reactor);
  return NULL;
}

/* ---- life ---- */

static int prepare(gt_reactor *reactor) {
  const gt_target_options *options = &reactor->target->options;
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};
  reactor->mine = calloc(options->connections, sizeof *reactor->mine);
  reactor->rx = malloc(GT_RX_BYTES);
  if (!reactor->mine || !reactor->rx) return -ENOMEM;
  int error = gt_buffers_open(&reactor->pool, options->pool_bytes);
  if (error) return error;
  reactor->epoll = epoll_create1(EPOLL_CLOEXEC);
  reactor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (reactor->epoll < 0 || reactor->wake_fd < 0) return -errno;
  return epoll_ctl(reactor->epoll, EPOLL_CTL_ADD, reactor->wake_fd, &event) ? -errno : 0;
}

static void release(gt_reactor *reactor) {
  gt_buffers_close(&reactor->pool);
  free(reactor->mine);
  free(reactor->rx);
  if (reactor->epoll >= 0) close(reactor->epoll);
  if (reactor->wake_fd >= 0) close(reactor->wake_fd);
  pthread_mutex_destroy(&reactor->mail_lock);
}

int gt_reactor_open(gt_reactor *reactor, gt_target *target, uint32_t number) {
  reactor->target = target;
  reactor->number = number;
  reactor->epoll = reactor->wake_fd = -1;
  reactor->mail_end = &reactor->mail;
  reactor->ready_end = &reactor->ready;
  for (uint32_t i = 0; i < GT_PORTALS_MAX; i++)
    reactor->listeners[i] = -1;
  pthread_mutex_init(&reactor->mail_lock, NULL);
  int error = prepare(reactor);
  if (!error) error = -pthread_create(&reactor->thread, NULL, run, reactor);
  if (error) release(reactor);
  return error;
}

static void drop_mail(gt_reactor *reactor) {
  while (reactor->mail) {
    gt_mail *next = reactor->mail->next;
    if (reactor->mail->kind == GT_MAIL_ADOPT || reactor->mail->kind == GT_MAIL_LISTEN) close(reactor->mail->fd);
    free(reactor->mail->control);
    free(reactor->mail);
    reactor->mail = next;
  }
}

void gt_reactor_close(gt_reactor *reactor) {
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) abort(); /* a thread that cannot be stopped must not outlive what it uses */
  mail->kind = GT_MAIL_STOP;
  gt_reactor_post(reactor, mail);
  pthread_join(reactor->thread, NULL);
  drop_mail(reactor);
  release(reactor);
}
