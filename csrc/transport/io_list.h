/* A queue of commands threaded through gt_io.next: what a transport keeps of commands that wait to be sent
 * or wait for their `done`. One command is in one queue at a time. */
#ifndef GT_IO_LIST_H
#define GT_IO_LIST_H

#include <time.h>

#include "lu.h"

typedef struct gt_io_list {
  gt_io *first, *last;
} gt_io_list;

static inline void gt_io_list_push(gt_io_list *list, gt_io *io) {
  io->next = NULL;
  if (list->last)
    list->last->next = io;
  else
    list->first = io;
  list->last = io;
}

static inline gt_io *gt_io_list_pop(gt_io_list *list) {
  gt_io *io = list->first;
  if (!io) return NULL;
  list->first = io->next;
  if (!list->first) list->last = NULL;
  io->next = NULL;
  return io;
}

/* True when io was in the queue. */
static inline bool gt_io_list_remove(gt_io_list *list, gt_io *io) {
  gt_io *before = NULL;
  for (gt_io *at = list->first; at; before = at, at = at->next) {
    if (at != io) continue;
    if (before)
      before->next = at->next;
    else
      list->first = at->next;
    if (list->last == at) list->last = before;
    at->next = NULL;
    return true;
  }
  return false;
}

/* Sets the answer's fields to "nothing was delivered, no byte moved". */
static inline void gt_io_clear_answer(gt_io *io) {
  io->outcome = GT_TRANSPORT;
  io->status = 0;
  io->sense_len = 0;
  io->resid = io->data_len > INT32_MAX ? INT32_MAX : (int32_t)io->data_len;
  io->host_status = 0;
  io->driver_status = 0;
}

static inline uint64_t gt_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Milliseconds for poll(2) until `at_ns`, rounded up so that it does not spin, at most `limit_ms` (-1: no
 * limit). UINT64_MAX: never. */
static inline int gt_wait_ms(uint64_t now_ns, uint64_t at_ns, int limit_ms) {
  if (at_ns == UINT64_MAX) return limit_ms;
  uint64_t wait_ms = at_ns <= now_ns ? 0 : (at_ns - now_ns + 999999u) / 1000000u;
  if (limit_ms >= 0 && wait_ms > (uint64_t)limit_ms) return limit_ms;
  return wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
}

#endif
