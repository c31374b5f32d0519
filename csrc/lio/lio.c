/* What the supervisor sees: nexuses, rings, events. */
#include "lio/lio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lio/internal.h"

static int explain(int error, const char *what, char *err, size_t err_len) {
  if (err && err_len) snprintf(err, err_len, "%s: %s", what, strerror(-error));
  return error;
}

static gt_lio_options complete(const gt_lio_options *given) {
  gt_lio_options o = *given;
  const size_t unit = GT_LIO_TRANSFER_MAX;
  if (!o.depth) o.depth = 128;
  if (o.depth > 1024) o.depth = 1024;
  if (!o.pool_bytes) o.pool_bytes = 64u << 20;
  o.pool_bytes = (o.pool_bytes + unit - 1) / unit * unit;
  return o;
}

static void discard(gt_lio *lio) {
  while (lio->letters) {
    gt_lio_letter *next = lio->letters->next;
    free(lio->letters);
    lio->letters = next;
  }
  gt_buffers_close(&lio->pool);
  pthread_mutex_destroy(&lio->lock);
  free(lio);
}

int gt_lio_open(const gt_lio_options *options, gt_lio **out, char *err, size_t err_len) {
  gt_lio *lio = calloc(1, sizeof *lio);
  if (!lio) return explain(-ENOMEM, "no memory for the rings of the kernel's target", err, err_len);
  lio->options = complete(options);
  lio->mail_end = &lio->mail;
  lio->letters_end = &lio->letters;
  lio->waiting_end = &lio->waiting;
  lio->epoll = lio->wake_fd = -1;
  pthread_mutex_init(&lio->lock, NULL);
  int error = gt_buffers_open(&lio->pool, lio->options.pool_bytes);
  if (!error) error = gt_lio_home_open(lio);
  if (!error) return *out = lio, 0;
  discard(lio);
  return explain(error, "cannot start the thread of the kernel target's rings", err, err_len);
}

static void drop_mail(gt_lio *lio) {
  while (lio->mail) {
    gt_lio_mail *next = lio->mail->next;
    if (lio->mail->ring) gt_lio_ring_free(lio->mail->ring);
    free(lio->mail);
    lio->mail = next;
  }
}

void gt_lio_close(gt_lio *lio) {
  gt_lio_home_close(lio);
  drop_mail(lio);
  discard(lio);
}

/* ---- nexuses ---- */

static void wake(void *context) {
  gt_lio_nexus *nexus = context;
  gt_lio *lio = nexus->lio;
  atomic_store_explicit(&nexus->woken, true, memory_order_release);
  atomic_store(&lio->nexus_woken, true);
  gt_lio_wake(lio);
}

int gt_lio_open_nexus(gt_lio *lio, uint32_t *number) {
  gt_lio_nexus *nexus = calloc(1, sizeof *nexus);
  gt_lio_mail *mail = calloc(1, sizeof *mail);
  int error = nexus && mail ? 0 : -ENOMEM;
  if (!error) {
    nexus->lio = lio;
    error = gt_nexus_open(lio->options.plane, wake, nexus, &nexus->number, &nexus->plane);
  }
  if (error) {
    free(nexus);
    free(mail);
    return error;
  }
  *number = nexus->number;
  mail->kind = GT_LIO_MAIL_NEXUS;
  mail->nexus = nexus;
  gt_lio_post(lio, mail);
  return 0;
}

static void post_number(gt_lio *lio, uint8_t kind, uint32_t number) {
  gt_lio_mail *mail = calloc(1, sizeof *mail);
  if (!mail) return; /* the end of the process is near; its rings stay as they are */
  mail->kind = kind;
  mail->number = number;
  gt_lio_post(lio, mail);
}

void gt_lio_close_nexus(gt_lio *lio, uint32_t nexus) { post_number(lio, GT_LIO_MAIL_CLOSE, nexus); }

/* ---- rings ---- */

int gt_lio_attach(gt_lio *lio, uint32_t nexus, uint32_t lun, bool sequential, const gt_lio_ends *ends, uint32_t *number,
                  char *err, size_t err_len) {
  gt_lio_ring *ring = NULL;
  gt_lio_mail *mail = calloc(1, sizeof *mail);
  int error = mail ? gt_lio_ring_make(lio, ends, &ring, err, err_len) : -ENOMEM;
  if (error) return free(mail), error;
  ring->number = ring->detached->event.ring = ring->failed->event.ring = ++lio->next_ring;
  ring->detached->event.kind = GT_LIO_DETACHED;
  ring->nexus_number = nexus;
  ring->lun = lun;
  ring->sequential = sequential;
  *number = ring->number;
  mail->kind = GT_LIO_MAIL_ATTACH;
  mail->ring = ring;
  gt_lio_post(lio, mail);
  return 0;
}

int gt_lio_attach_node(gt_lio *lio, uint32_t nexus, uint32_t lun, bool sequential, const char *node, uint64_t bytes,
                       uint32_t *ring, char *err, size_t err_len) {
  int fd = open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return explain(-errno, node, err, err_len);
  gt_lio_ends ends = {.memory = fd, .events = fd, .doorbell = fd, .bytes = bytes};
  int error = gt_lio_attach(lio, nexus, lun, sequential, &ends, ring, err, err_len);
  close(fd);
  return error;
}

void gt_lio_detach(gt_lio *lio, uint32_t ring) { post_number(lio, GT_LIO_MAIL_DETACH, ring); }

/* ---- events ---- */

void gt_lio_tell(gt_lio *lio, gt_lio_letter *letter) {
  letter->next = NULL;
  pthread_mutex_lock(&lio->lock);
  *lio->letters_end = letter;
  lio->letters_end = &letter->next;
  bool tell = !lio->notified;
  lio->notified = true;
  pthread_mutex_unlock(&lio->lock);
  if (tell && lio->options.notify) lio->options.notify(lio->options.context);
}

size_t gt_lio_take(gt_lio *lio, gt_lio_event *out, size_t max) {
  size_t taken = 0;
  pthread_mutex_lock(&lio->lock);
  while (taken < max && lio->letters) {
    gt_lio_letter *letter = lio->letters;
    lio->letters = letter->next;
    out[taken++] = letter->event;
    free(letter);
  }
  if (!lio->letters) {
    lio->letters_end = &lio->letters;
    lio->notified = false;
  }
  pthread_mutex_unlock(&lio->lock);
  return taken;
}

void gt_lio_stat(gt_lio *lio, gt_lio_stats *out) {
  const gt_lio_counters *c = &lio->counters;
#define READ(what) atomic_load_explicit(&c->what, memory_order_relaxed)
  *out = (gt_lio_stats){.rings = (uint32_t)READ(rings),
                        .commands = READ(commands),
                        .in_place = READ(in_place),
                        .gathered = READ(gathered),
                        .aborted = READ(aborted),
                        .full = READ(full),
                        .inherited = READ(inherited),
                        .broken = READ(broken),
                        .starved = READ(starved)};
#undef READ
}
