/* Where an engine thread waits for the other one: an event count. The thread notes the count, looks whether
 * it can go on, and if not sleeps unless the count has moved since. While it has commands outstanding it sleeps
 * in the poll of its logical unit, and a signal wakes it through gt_lu_wake; else in a futex. Signalling a
 * thread that is not asleep costs no system call. */
#ifndef GT_PARK_H
#define GT_PARK_H

#include <stdatomic.h>

#include "../transport/lu.h"

typedef struct gt_park {
  _Atomic uint32_t count;
  _Atomic uint32_t asleep; /* 0 no, 1 in the futex, 2 in the poll of lu */
  gt_lu *_Atomic lu;
  /* Position of the other side from which on it is worth to be woken; below it only gt_park_signal wakes. */
  _Atomic uint64_t need;
} gt_park;

/* First of the three steps of waiting: look, find nothing to do, sleep. While a thread looks, every signal counts. */
static inline uint32_t gt_park_look(gt_park *park) {
  atomic_store(&park->need, 0);
  return atomic_load(&park->count);
}

/* Second step, where it applies: of the other side's positions only those from need on are worth to be woken for. */
static inline void gt_park_want(gt_park *park, uint64_t need) { atomic_store(&park->need, need); }

/* Third step. seen: what gt_park_look gave before the conditions were looked at. lu: unit with commands outstanding,
 * or NULL. until_ns: CLOCK_MONOTONIC, UINT64_MAX: no limit. Polls lu at least once. Returns what gt_lu_poll
 * returned, 0 where there was none. */
int gt_park_sleep(gt_park *park, uint32_t seen, gt_lu *lu, uint64_t until_ns);
void gt_park_signal(gt_park *park);
/* Signals if position has reached what the sleeper needs. */
static inline void gt_park_reached(gt_park *park, uint64_t position) {
  if (position >= atomic_load(&park->need)) gt_park_signal(park);
}

uint64_t gt_clock_ns(void);

#endif
