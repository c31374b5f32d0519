#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = GT_EVENTS_MAX + 1 };

int gt_events_init(gt_events *events, void (*notify)(void *context), void *context) {
  memset(events, 0, sizeof *events);
  pthread_mutex_init(&events->lock, NULL);
  pthread_cond_init(&events->room, NULL);
  events->notify = notify;
  events->context = context;
  events->slots = malloc(SLOTS * sizeof *events->slots);
  return events->slots ? 0 : -ENOMEM;
}

void gt_events_free(gt_events *events) {
  for (; events->count; events->count--, events->first = (events->first + 1) % SLOTS)
    gt_event_release(&events->slots[events->first]);
  free(events->slots);
  pthread_cond_destroy(&events->room);
  pthread_mutex_destroy(&events->lock);
}

void gt_event_release(gt_event *event) {
  free(event->data);
  event->data = NULL;
}

static bool post(gt_events *events, const gt_event *event, bool wait) {
  size_t limit = event->type == GT_EV_DONE ? SLOTS : GT_EVENTS_MAX;
  pthread_mutex_lock(&events->lock);
  while (wait && events->count >= limit && !events->discard)
    pthread_cond_wait(&events->room, &events->lock);
  bool dropped = events->discard, kept = !dropped && events->count < limit;
  bool tell = kept && !events->notified;
  if (kept) {
    events->slots[(events->first + events->count++) % SLOTS] = *event;
    events->notified = true;
  }
  pthread_mutex_unlock(&events->lock);
  if (dropped) free(event->data);
  if (tell && events->notify) events->notify(events->context);
  return kept || dropped;
}

void gt_events_post(gt_events *events, const gt_event *event) { post(events, event, true); }

bool gt_events_try(gt_events *events, const gt_event *event) { return post(events, event, false); }

size_t gt_events_take(gt_events *events, gt_event *out, size_t max) {
  pthread_mutex_lock(&events->lock);
  size_t taken = 0;
  for (; taken < max && events->count; taken++, events->count--) {
    out[taken] = events->slots[events->first];
    events->first = (events->first + 1) % SLOTS;
  }
  if (!events->count) events->notified = false;
  if (taken) pthread_cond_broadcast(&events->room);
  pthread_mutex_unlock(&events->lock);
  return taken;
}

void gt_events_discard(gt_events *events) {
  pthread_mutex_lock(&events->lock);
  events->discard = true;
  pthread_cond_broadcast(&events->room);
  pthread_mutex_unlock(&events->lock);
}
