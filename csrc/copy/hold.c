/* Bytes of the stream that the caller is told: those of HOLD, and copies of those that go elsewhere (GT_SEG_HELD). */
#include <stdlib.h>
#include <string.h>

#include "scatter.h"

void gt_scatter_hold_open(gt_copy *copy, const gt_seg *seg) {
  gt_scatter *s = &copy->scatter;
  bool copied = seg->skip & GT_SEG_HELD;
  if (seg->op != GT_OP_HOLD && !copied) return;
  s->held = malloc(seg->bytes); /* append saw to it that it is no more than GT_HOLD_MAX */
  s->held_len = 0;
  s->held_cookie = copied ? copy->options.stream_offset + s->position : seg->addr;
  if (!s->held) gt_scatter_no_memory(copy);
}

void gt_scatter_hold(gt_copy *copy, uint64_t bytes) {
  gt_scatter *s = &copy->scatter;
  if (!s->held || !bytes) return;
  memcpy(s->held + s->held_len, gt_ring_at(&copy->ring, s->position), bytes);
  s->held_len += (uint32_t)bytes;
}

void gt_scatter_tell_held(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  if (!s->held || !s->held_len) return;
  gt_event event = {.type = GT_EV_HELD,
                    .cookie = s->held_cookie,
                    .data = s->held,
                    .data_len = s->held_len,
                    .bytes = s->held_len,
                    .stream_offset = copy->options.stream_offset + s->position};
  s->held = NULL;
  gt_events_post(&copy->events, &event);
}
