/* Events on their way to the controlling thread: bounded, in order. An engine thread that finds the queue
 * full waits; nothing is lost and nothing grows. */
#ifndef GT_EVENTS_H
#define GT_EVENTS_H

#include <pthread.h>
#include <stdbool.h>

#include "engine.h"

enum { GT_EVENTS_MAX = 2048 };

typedef struct gt_events {
  pthread_mutex_t lock;
  pthread_cond_t room;
  gt_event *slots; /* GT_EVENTS_MAX + 1: DONE always fits */
  size_t first, count;
  bool discard;  /* nobody takes events any more: drop them instead of waiting */
  bool notified; /* since the queue was last empty */
  void (*notify)(void *context);
  void *context;
} gt_events;

int gt_events_init(gt_events *events, void (*notify)(void *context), void *context);
void gt_events_free(gt_events *events);
/* Takes over event->data. Waits for room; DONE never waits. */
void gt_events_post(gt_events *events, const gt_event *event);
/* Does not wait: false where there is no room, and event->data is still the caller's. */
bool gt_events_try(gt_events *events, const gt_event *event);
size_t gt_events_take(gt_events *events, gt_event *out, size_t max);
void gt_events_discard(gt_events *events);

#endif
