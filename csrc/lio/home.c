/* The home thread: one epoll set for all rings. A round: what rings and other threads say, the doorbells of those that
 * have answers, then what ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lio/internal.h"

enum { EVENTS = 64, ENDING_MS = 1 };

void gt_lio_wake(gt_lio *lio) {
  uint64_t one = 1;
  if (atomic_exchange(&lio->wake_sent, true)) return;
  while (write(lio->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

void gt_lio_post(gt_lio *lio, gt_lio_mail *mail) {
  mail->next = NULL;
  pthread_mutex_lock(&lio->lock);
  *lio->mail_end = mail;
  lio->mail_end = &mail->next;
  pthread_mutex_unlock(&lio->lock);
  gt_lio_wake(lio);
}

void gt_lio_touch(gt_lio_ring *ring) {
  if (ring->touched) return;
  ring->touched = true;
  ring->next_touched = ring->lio->touched;
  ring->lio->touched = ring;
}

/* ---- letters of the supervisor ---- */

static gt_lio_nexus *nexus_of(gt_lio *lio, uint32_t number) {
  gt_lio_nexus *nexus = lio->nexuses;
  while (nexus && nexus->number != number)
    nexus = nexus->next;
  return nexus && !nexus->closing ? nexus : NULL;
}

static void bury(gt_lio_ring *ring) {
  gt_lio *lio = ring->lio;
  gt_lio_tell(lio, ring->detached);
  ring->detached = NULL;
  gt_lio_ring_free(ring);
}

static void attach(gt_lio *lio, gt_lio_ring *ring) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = ring};
  uint32_t head;
  ring->nexus = nexus_of(lio, ring->nexus_number);
  if (!ring->nexus) return bury(ring);
  ring->nexus->rings++;
  ring->next = lio->rings;
  lio->rings = ring;
  atomic_fetch_add_explicit(&lio->counters.rings, 1, memory_order_relaxed);
  if (gt_tcmu_head(&ring->shared, &head) || gt_tcmu_rescue(&ring->shared, head))
    return gt_lio_fail(ring, GT_LIO_BROKEN);
  if (epoll_ctl(lio->epoll, EPOLL_CTL_ADD, ring->events, &event)) return gt_lio_fail(ring, GT_LIO_GONE);
  /* What is there already no event will tell of. */
  gt_lio_serve(ring);
}

static void close_nexus(gt_lio *lio, gt_lio_nexus *nexus) {
  if (!nexus) return;
  nexus->closing = true;
  lio->ending++;
  for (gt_lio_ring *ring = lio->rings; ring; ring = ring->next) {
    if (ring->nexus == nexus) gt_lio_leave(ring);
  }
}

static void detach(gt_lio *lio, uint32_t number) {
  for (gt_lio_ring *ring = lio->rings; ring; ring = ring->next) {
    if (ring->number == number) return gt_lio_leave(ring);
  }
}

static void stop(gt_lio *lio) {
  lio->stopping = true;
  for (gt_lio_nexus *nexus = lio->nexuses; nexus; nexus = nexus->next) {
    if (!nexus->closing) close_nexus(lio, nexus);
  }
}

static void open_mail(gt_lio *lio, const gt_lio_mail *mail) {
  switch (mail->kind) {
  case GT_LIO_MAIL_NEXUS:
    mail->nexus->next = lio->nexuses;
    lio->nexuses = mail->nexus;
    break;
  case GT_LIO_MAIL_CLOSE: close_nexus(lio, nexus_of(lio, mail->number)); break;
  case GT_LIO_MAIL_ATTACH: attach(lio, mail->ring); break;
  case GT_LIO_MAIL_DETACH: detach(lio, mail->number); break;
  case GT_LIO_MAIL_STOP: stop(lio); break;
  }
}

static void take_mail(gt_lio *lio) {
  pthread_mutex_lock(&lio->lock);
  gt_lio_mail *mail = lio->mail;
  lio->mail = NULL;
  lio->mail_end = &lio->mail;
  pthread_mutex_unlock(&lio->lock);
  while (mail) {
    gt_lio_mail *next = mail->next;
    open_mail(lio, mail);
    free(mail);
    mail = next;
  }
}

/* ---- what rings say ---- */

static void run_nexuses(gt_lio *lio) {
  if (!atomic_exchange(&lio->nexus_woken, false)) return;
  for (gt_lio_nexus *nexus = lio->nexuses; nexus; nexus = nexus->next) {
    if (atomic_exchange_explicit(&nexus->woken, false, memory_order_acquire)) gt_nexus_run(nexus->plane);
  }
}

static void listen_no_more(gt_lio_ring *ring) { epoll_ctl(ring->lio->epoll, EPOLL_CTL_DEL, ring->events, NULL); }

/* Userspace I/O: four bytes that count events, and an error for good when the device is unregistered. */
static void hear_ring(gt_lio_ring *ring) {
  uint32_t count;
  ssize_t n = read(ring->events, &count, sizeof count);
  if (n == (ssize_t)sizeof count) return gt_lio_serve(ring);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  listen_no_more(ring);
  gt_lio_fail(ring, GT_LIO_GONE);
}

static void hear(gt_lio *lio, const struct epoll_event *event) {
  uint64_t count;
  if (event->data.ptr) return hear_ring(event->data.ptr);
  if (read(lio->wake_fd, &count, sizeof count) < 0) return;
  atomic_store(&lio->wake_sent, false);
  take_mail(lio);
  run_nexuses(lio);
}

/* ---- a round ---- */

static void finish(gt_lio *lio) {
  uint32_t one = 1;
  gt_lio_go_on(lio);
  while (lio->touched) {
    gt_lio_ring *ring = lio->touched;
    lio->touched = ring->next_touched;
    ring->touched = false;
    if (ring->stalled && ring->count < ring->room) gt_lio_serve(ring);
    /* A doorbell nobody hears is of a device that is gone; its events tell. */
    if (ring->answered && write(ring->doorbell, &one, sizeof one) < 0 && errno == EINTR) gt_lio_touch(ring);
    ring->answered = ring->touched;
    gt_lio_go_on(lio);
  }
}

static void settle_rings(gt_lio *lio) {
  for (gt_lio_ring **at = &lio->rings; *at;) {
    gt_lio_ring *ring = *at;
    if (ring->state != GT_LIO_LEAVING || ring->busy || ring->resets || ring->touched) {
      at = &ring->next;
      continue;
    }
    *at = ring->next;
    ring->nexus->rings--;
    lio->ending--;
    atomic_fetch_sub_explicit(&lio->counters.rings, 1, memory_order_relaxed);
    listen_no_more(ring);
    bury(ring);
  }
}

static void settle_nexuses(gt_lio *lio) {
  for (gt_lio_nexus **at = &lio->nexuses; *at;) {
    gt_lio_nexus *nexus = *at;
    if (nexus->closing && !nexus->rings) {
      gt_nexus_close(nexus->plane);
      gt_nexus_run(nexus->plane);
    }
    if (!nexus->closing || nexus->rings || !gt_nexus_closed(nexus->plane)) {
      at = &nexus->next;
      continue;
    }
    *at = nexus->next;
    lio->ending--;
    gt_nexus_free(nexus->plane);
    free(nexus);
  }
}

static void *run(void *context) {
  gt_lio *lio = context;
  struct epoll_event events[EVENTS];
  while (!lio->stopping || lio->ending) {
    int n = epoll_wait(lio->epoll, events, EVENTS, lio->ending ? ENDING_MS : -1);
    for (int i = 0; i < n; i++)
      hear(lio, &events[i]);
    finish(lio);
    if (!lio->ending) continue;
    settle_rings(lio);
    settle_nexuses(lio);
  }
  return NULL;
}

/* ---- life ---- */

int gt_lio_home_open(gt_lio *lio) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  lio->epoll = epoll_create1(EPOLL_CLOEXEC);
  lio->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = lio->epoll < 0 || lio->wake_fd < 0 ? -errno : 0;
  if (!error && epoll_ctl(lio->epoll, EPOLL_CTL_ADD, lio->wake_fd, &event)) error = -errno;
  if (!error) error = -pthread_create(&lio->thread, NULL, run, lio);
  if (!error) return 0;
  if (lio->epoll >= 0) close(lio->epoll);
  if (lio->wake_fd >= 0) close(lio->wake_fd);
  return error;
}

void gt_lio_home_close(gt_lio *lio) {
  gt_lio_mail *mail = calloc(1, sizeof *mail);
  if (!mail) abort(); /* a thread that cannot be stopped must not outlive what it uses */
  mail->kind = GT_LIO_MAIL_STOP;
  gt_lio_post(lio, mail);
  pthread_join(lio->thread, NULL);
  close(lio->epoll);
  close(lio->wake_fd);
}
